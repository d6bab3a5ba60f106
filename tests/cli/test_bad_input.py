"""Mistakes in the input, through the real functions and through real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autofit.cli import run_command_line
from autofit.errors import AutofitError, InterruptedRunError
from tests.support.paths import child_environment

HEAVY = {"tensorflow", "keras"}


def autofit(*commands: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run commands in a real process; it prints the exit code of each, and lists its imported packages at its end."""
    listing = (
        "import json, sys; from autofit.cli import run_command_line;"
        "[print(run_command_line(arguments), flush=True) for arguments in json.loads(sys.argv[1])];"
        "print('MODULES', *{name.partition('.')[0] for name in sys.modules})"
    )
    return subprocess.run(
        [sys.executable, "-c", listing, json.dumps(commands)],
        cwd=cwd,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders and files with one fault each, and `good` without a fault."""
    root = tmp_path_factory.mktemp("inputs")
    for name in ("good/cat", "good/dog", "one/cat"):
        (root / name).mkdir(parents=True)
        for number in range(30):
            (root / name / f"{number}.jpg").write_bytes(b"x")
    (root / "empty" / "cat").mkdir(parents=True)
    (root / "damaged.csv").write_text("path,label\ngood/cat/0.jpg,cat\ngood/cat/1.jpg\n", encoding="utf-8")
    return root


BAD_INPUT = [
    (["train", "nowhere"], "nowhere does not exist"),
    (["train", "empty"], "empty holds no images"),
    (["train", "one"], "one holds images of only one class, 'cat'"),
    (["train", ""], "the data is an empty path: give a folder"),
    (["train", "gs://bucket/photos"], "is an address (gs): copy the data to this machine first"),
    (["train", "damaged.csv"], "line 3"),
    (["train", "good", "--backbone", "MobileNetV4"], "did you mean MobileNetV"),
    (["train", "good", "--optimizer", "adan"], "optimizer 'adan' is not known: did you mean adam?"),
    (["train", "good", "--image-size", "16"], "choose at least 32x32"),
    (["train", "good", "--image-size", "wide"], "image_size 'wide' cannot be read"),
    (["train", "good", "--epochs", "0"], "epochs must be from 1"),
    (["train", "good", "--dropout", "1"], "dropout must be at least 0 and under 1"),
    (["train", "good", "--learning-rate", "nan"], "learning_rate must be over 0 and finite"),
    (["train", "good", "--seed", "4294967296"], "seed must be from 0 to 4294967295"),
    (["train", "good", "--validation", "1.5"], "validation must be at least 0 and under 1"),
    (["train", "good", "--batch-size", "0"], "batch_size must be from 1"),
    (["train", "good", "--batch-size", "8", "--batch-schedule", "8:4"], "exclude each other"),
    (["train", "good", "--memory-limit", "lots"], "memory_limit: the size 'lots' is not understood"),
    (["train", "good", "--memory-limit", "100MB", "--run-dir", "low"], "under what the bare process needs"),
    (["train", "good", "--checkpoint-every", "often"], "checkpoint_every 'often' cannot be read"),
    (["train", "good", "--fine-tune-epochs", "5", "--weights", "none"], "fine_tune_epochs 5 follow a frozen backbone"),
    (["train", "good", "--weights", "none", "--trainable", "head"], "would train on a random backbone"),
    (["train", "good", "--weights", "gone.h5"], "weights 'gone.h5': there is no such file"),
    (["train", "good", "--model", "no_such_module:f"], "there is no module 'no_such_module'"),
    (["train", "good", "--replay", "empty"], "there is no audit.jsonl in it"),
    (["train", "good", "--run-dir", "damaged.csv"], "damaged.csv cannot be made"),
    (["resume", "empty"], "empty holds no run"),
    (["report", "nowhere"], "nowhere holds no run"),
    (["probe", "--max-batch", "0"], "max_batch must be from 1"),
    (["probe", "--memory-limit", "100MB"], "under what the bare process needs"),
    (["train", "good", "--feature-cache", "on", "--trainable", "all"], "feature_cache 'on' needs a frozen backbone"),
    (["train", "good", "--feature-cache", "yes"], "feature_cache 'yes' is not known: give one of auto, on, off"),
    (["train", "good", "--cache-by", "name"], "cache_by 'name' is not known: give one of stat, content"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_INPUT, ids=str)
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    inputs: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    """A mistake in the input would end in a traceback, or be reported minutes later from the worker."""
    monkeypatch.chdir(inputs)
    assert run_command_line(arguments) == 2
    err = capsys.readouterr().err.splitlines()
    errors = [line for line in err if line.startswith("autofit: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert errors == err[-1:]


@pytest.mark.slow
def test_bad_input_does_not_import_tensorflow(inputs: Path) -> None:
    """The message about a typing error would take five seconds; or be a traceback, in a process of its own."""
    done = autofit(*(arguments for arguments, _ in BAD_INPUT), cwd=inputs)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    *codes, listed = done.stdout.splitlines()
    assert codes == ["2"] * len(BAD_INPUT)
    said = [line for line in done.stderr.splitlines() if line.startswith("autofit: ")]
    assert [message for (_, message), line in zip(BAD_INPUT, said, strict=True) if message not in line] == []
    modules = listed.split()
    assert modules[0] == "MODULES"
    assert HEAVY & set(modules) == set()
    assert "autofit" in modules


def test_the_refusal_of_a_folder_with_another_request_names_the_option(
    capsys: pytest.CaptureFixture[str], inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user would have to compare the thirty options of two requests by eye."""
    monkeypatch.chdir(inputs)

    class Supervisor:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def run(self) -> AutofitError:
            return InterruptedRunError("asked to stop")

    monkeypatch.setattr("autofit.api.supervision.Supervisor", Supervisor)
    request = ["train", "good", "--batch-size", "8", "--run-dir", "mine"]
    assert run_command_line(request) == 130
    err = capsys.readouterr().err.splitlines()
    assert err[-1] == "autofit: asked to stop: there was no checkpoint yet; go on with: autofit resume mine"
    assert run_command_line([*request, "--seed", "1"]) == 2
    assert "holds another request (seed 0 there, 1 here): give another run_dir" in capsys.readouterr().err
