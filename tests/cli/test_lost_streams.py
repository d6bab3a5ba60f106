"""Every command with an output that is full, broken or closed: its work is done, its exit code says what happened."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

import numpy as np
import pytest

from autofit import api
from autofit.api.predictions import Predictions
from autofit.cli import run_command_line
from autofit.cli.output import do_all
from autofit.errors import StorageError
from tests.cli.fake_api import Calls

COMMANDS = {
    "train": ["train", "photos"],
    "resume": ["resume", "runs/a"],
    "report": ["report", "runs/a"],
    "demo": ["demo"],
    "probe": ["probe"],
    "probe of several": ["probe", "--backbone", "VGG16", "--backbone", "MobileNetV2"],
    "estimate": ["estimate", "--backbone", "VGG16", "--memory", "16GB"],
    "check": ["check", "photos"],
    "extract": ["extract", "photos"],
    "predict": ["predict", "runs/a", "a.jpg"],
    "evaluate": ["evaluate", "runs/a", "photos"],
    "export": ["export", "runs/a"],
    "doctor": ["doctor"],
    "cache list": ["cache", "list"],
    "cache path": ["cache", "path"],
    "profiles list": ["profiles", "list"],
}


@contextmanager
def lost(kind: str) -> Iterator[TextIO]:
    """A stream that is `full`, `broken` (nobody reads it any more) or `closed`."""
    if kind == "broken":
        reading, handle = os.pipe()
        os.close(reading)
    else:
        handle = os.open("/dev/full", os.O_WRONLY)
    with os.fdopen(handle, "w", buffering=1) as stream:
        if kind == "closed":
            stream.close()
        yield stream
        if kind != "closed":
            with Path(os.devnull).open("w") as nothing:
                os.dup2(nothing.fileno(), stream.fileno())  # so that closing it does not raise


@pytest.fixture(autouse=True)
def _all_commands(calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What each command does is replaced, what it shows is not, but for texts that need a whole run."""
    monkeypatch.chdir(tmp_path)
    given = {"to_json": lambda: "{}", "summary": lambda: "found", "has_problems": False, "path": "runs/a/model.tflite"}
    for name in ("check", "evaluate", "export", "extract"):
        asked = calls.function(name)
        monkeypatch.setattr(
            api, name, lambda *to, asked=asked, **named: [asked(*to, **named), SimpleNamespace(**given)][1]
        )
    monkeypatch.setattr("autofit.report.prediction_text.evaluation_text", lambda _: "0.9 of them are right")
    monkeypatch.setattr("autofit.report.export_text.export_lines", lambda *_: ["written"])

    def predict_in_parts(images: list[str], **_: object) -> Iterator[Predictions]:
        calls.made.append(("predict", (), {}))
        for image in images:
            yield Predictions.of(np.array([[0.9, 0.1]], np.float32), ("cat", "dog"), [image], [])

    monkeypatch.setattr("autofit.api.result.Result", lambda _: SimpleNamespace(predict_in_parts=predict_in_parts))
    output, errors = sys.stdout, sys.stderr
    yield
    sys.stdout, sys.stderr = output, errors


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("kind", "code"), [("full", 4), ("broken", 0)])
def test_an_output_that_is_lost_costs_only_itself(calls: Calls, command: str, kind: str, code: int) -> None:
    """A full disk would end a command with a traceback, or with success; `| head` would be a failure."""
    with lost(kind) as sys.stdout, lost("broken") as sys.stderr:
        assert run_command_line(COMMANDS[command]) == code
    assert len(calls.made) == (command.split(" ", 1)[0] not in {"doctor", "cache", "profiles"})


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["full", "broken", "closed"])
def test_remarks_that_are_lost_are_no_failure(command: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A job whose log is full would lose its result."""
    with lost(kind) as sys.stderr:
        assert run_command_line(COMMANDS[command]) == 0
    assert capsys.readouterr().out


def test_what_goes_to_files_is_whole_where_the_output_is_full() -> None:
    """A CSV of a million predictions would end with the first image, as the terminal's log is full."""
    with lost("full") as sys.stdout:
        assert run_command_line(["predict", "runs/a", "a.jpg", "b.jpg", "c.jpg", "--csv", "all.csv"]) == 4
    with lost("full") as sys.stdout:
        assert run_command_line(["train", "photos", "--json", "result.json"]) == 4
    assert len(Path("all.csv").read_text().splitlines()) == 4
    assert "completed" in Path("result.json").read_text()


@pytest.mark.parametrize("arguments", [["train", "photos"], ["train", "photos", "--json", "-"], ["report", "runs/a b"]])
def test_a_run_that_cannot_be_shown_says_where_it_is(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """The user would hear of a full drive after a night's training, and neither that it is done nor where."""
    with lost("full") as sys.stdout:
        assert run_command_line(arguments) == 4
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("autofit: ")]
    assert line.startswith("autofit: standard output cannot be written (No space left on device): make room")
    assert line.endswith("; the run is saved, and autofit report 'runs/a b' shows it")


def test_a_file_that_cannot_be_written_keeps_nothing_from_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plot without room would cost an hour's probe its answer."""
    done: list[str] = []

    def refused() -> None:
        raise StorageError("no room")

    with pytest.raises(StorageError, match="no room"):
        do_all(lambda: done.append("first"), refused, lambda: done.append("last"))
    assert done == ["first", "last"]
    monkeypatch.setattr("autofit.report.plots.probe_plot", lambda *_: refused())
    monkeypatch.setattr("autofit.cli.probe.show_table", lambda *_: done.append("table"))
    assert run_command_line(["probe", "--plot", "probe.png"]) == 4
    assert done[-1] == "table"
