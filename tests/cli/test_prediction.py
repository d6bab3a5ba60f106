"""`autofit predict` and `autofit evaluate`: what they ask for, and what they print and write."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit import api
from autofit.api.predictions import Predictions
from autofit.cli import run_command_line
from autofit.protocol.messages import BadImage
from autofit.report.views import ProgressView
from autofit.runs.evaluation import evaluation
from tests.cli.fake_api import failure

NAMES = ("cat", "dog")
ROWS = np.array([[0.9, 0.1], [np.nan, np.nan], [0.25, 0.75]], np.float32)
BAD = BadImage(path="b.jpg", reason="cut short")


class OpenedRun:
    """A run whose model says the same of every three images."""

    rows = ROWS
    asked: tuple[Any, ...] = ()
    is_quiet = False
    may_go_on = False

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir

    def predict_in_parts(
        self, images: list[str], *, views: int, view: ProgressView, go_on: Any = None
    ) -> Generator[Predictions, None, None]:
        """Give the rows in two parts."""
        OpenedRun.asked = (self.run_dir, images, views)
        OpenedRun.may_go_on = go_on is not None
        OpenedRun.is_quiet = type(view) is ProgressView
        yield Predictions.of(self.rows[:2], NAMES, images[:2], [BAD])
        yield Predictions.of(self.rows[2:], NAMES, images[2:], [])


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[OpenedRun]:
    monkeypatch.setattr("autofit.api.result.Result", OpenedRun)
    monkeypatch.chdir(tmp_path)
    return OpenedRun


PREDICT = ["predict", "runs/a", "a.jpg", "b.jpg", "c d.jpg"]


def test_each_image_is_a_line_that_ends_with_its_path(
    opened: type[OpenedRun], capsys: pytest.CaptureFixture[str]
) -> None:
    """The class would have to be looked up by place, or a path be cut so that it cannot be copied."""
    assert run_command_line([*PREDICT, "--views", "2"]) == 0
    assert opened.asked == (Path("runs/a"), ["a.jpg", "b.jpg", "c d.jpg"], 2)
    assert capsys.readouterr().out.splitlines() == [
        "cat 90.0%       a.jpg",
        "cannot be read  b.jpg",
        "dog 75.0%       c d.jpg",
    ]
    assert run_command_line([*PREDICT, "--top", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[2] == "dog 75.0%, cat 25.0%  c d.jpg"


@pytest.mark.usefixtures("opened")
def test_json_and_csv_have_every_image(capsys: pytest.CaptureFixture[str]) -> None:
    """A program could not read the answer, or an image that cannot be read would move all others up."""
    assert run_command_line([*PREDICT, "--json", "-", "--csv", "all.csv", "--top", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["classes"]) == ("autofit/predictions/1", ["cat", "dog"])
    assert [one["label"] for one in found["images"]] == ["cat", None, "dog"]
    assert found["images"][1] == {"path": "b.jpg", "label": None, "reason": "cut short"}
    assert [one["label"] for one in found["images"][2]["top"]] == ["dog", "cat"]
    with Path("all.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["label"] for row in rows] == ["cat", "", "dog"]
    assert [row["dog"] for row in rows] == ["0.1", "", "0.75"]
    assert run_command_line([*PREDICT, "--csv", "-"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "path,label,confidence,cat,dog"
    assert shown == Path("all.csv").read_text(encoding="utf-8").splitlines()
    assert run_command_line([*PREDICT, "--csv", "all.csv", "--quiet"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["all.csv: 3 images, 1 of them cannot be read", "cat 1, dog 1"]
    assert OpenedRun.is_quiet


@pytest.mark.usefixtures("opened")
def test_json_in_a_file_is_whole_or_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an answer would be read as an error, or replace that of yesterday."""
    Path("all.json").write_text("of yesterday", encoding="utf-8")
    assert run_command_line([*PREDICT, "--json", "all.json"]) == 0
    assert not OpenedRun.may_go_on
    whole = Path("all.json").read_text(encoding="utf-8")
    assert [one["path"] for one in json.loads(whole)["images"]] == ["a.jpg", "b.jpg", "c d.jpg"]
    assert len(whole.splitlines()) == 5
    monkeypatch.setattr("autofit.cli.prediction_json.json.dumps", lambda _: 1 / 0)
    assert run_command_line([*PREDICT, "--json", "all.json"]) == 4
    assert Path("all.json").read_text(encoding="utf-8") == whole
    assert run_command_line([*PREDICT, "--csv", "all.csv"]) == 0
    assert OpenedRun.may_go_on


@pytest.mark.usefixtures("opened")
def test_json_goes_through_a_pipe() -> None:
    """`--json /dev/stdout | jq` and `--json >(jq .)` would say that there is no such file."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as stream:
        with os.fdopen(writing, "wb"):
            assert run_command_line([*PREDICT, "--json", f"/dev/fd/{writing}"]) == 0
        assert [one["label"] for one in json.load(stream)["images"]] == ["cat", None, "dog"]


def test_nothing_readable_is_a_failure_with_a_reason(
    opened: type[OpenedRun], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script would go on with an answer that has none."""
    monkeypatch.setattr(opened, "rows", np.full((3, 2), np.nan, np.float32))
    assert run_command_line(PREDICT) == 2
    assert capsys.readouterr().err == ("autofit: of 3 images none can be predicted (cut short): give others\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "runs/a"], "Missing argument 'PATHS...'"),
        (["predict", "nowhere", "a.jpg"], "nowhere holds no run: give"),
        (["evaluate", "nowhere", "photos"], "nowhere holds no run: give"),
        (["predict", "runs/a", "a.jpg", "--csv", "-", "--json", "-"], "--csv and --json cannot both be"),
        (["predict", "runs/a", "a.jpg", "--csv", "/dev/null/a.csv"], "/dev/null/a.csv cannot be written"),
        (["predict", "nowhere", "a.jpg", "--top", "0"], "--top must be from 1 to 2147483647, not 0"),
    ],
    ids=["no paths", "no run", "no run to evaluate", "two outputs", "no folder", "no class"],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    """A user would find out after minutes of work, or from a traceback."""
    monkeypatch.chdir(tmp_path)
    assert message in failure(capsys, arguments)


def test_an_evaluation_has_its_standard_error_and_each_class(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An accuracy on a handful of images would be taken for more than it is, a class that fails go unseen."""
    asked: dict[str, Any] = {}
    figures = evaluation(np.tile(ROWS, (4, 1)), [0, 0, 0] * 4, NAMES, [BAD], 1)
    assert figures

    def evaluate(run_dir: Path, data: str, **options: Any) -> Any:
        asked.update(options, run_dir=run_dir, data=data)
        return figures

    monkeypatch.setattr(api, "evaluate", evaluate)
    command = ["evaluate", "runs/a", "set.csv", "--path-column", "photo", "--label-column", "kind", "--images-in", "x"]
    assert run_command_line(command) == 0
    assert isinstance(asked.pop("view"), ProgressView)
    assert asked == {
        "run_dir": Path("runs/a"),
        "data": "set.csv",
        "views": 1,
        "path_column": "photo",
        "label_column": "kind",
        "images_in": "x",
    }
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Accuracy 0.500 ± {figures.standard_error:.3f} on 8 images; loss 0.746."
    assert lines[2] == "1 image could not be read and did not count."
    assert [line.split() for line in lines[-2:]] == [["cat", "8", "4", "0.500", "4"], ["dog", "0", "0", "-", "4"]]
    assert max(map(len, lines)) <= 80
    assert run_command_line([*command, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 0.5
