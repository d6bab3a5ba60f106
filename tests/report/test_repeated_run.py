"""What a run's page says to repeat it: the command and the call ask for the same run again."""

from __future__ import annotations

import ast
import html
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autofit import api
from autofit.api.data_call import data_call
from autofit.cli.app import app
from autofit.config.options import Options, make_options, options_of_call
from autofit.probing.records import ProbeReport
from autofit.report.repeated_run import repeated_run, repeating_call, repeating_command, shell_word, training_use
from autofit.runs.run_record import DataCall, RunRecord
from tests.support.records import make_plan

RUN_DIR = Path("/home/me/runs/20261129-202617-MobileNetV2")
COLUMNS = {"path_column": "a file", "label_column": "it's", "group_column": "who", "weight_column": "w"}
TABLE: dict[str, Any] = COLUMNS | {"images_in": None}
REQUESTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "network": {"backbone": "ResNet50", "image_size": (160, 192), "trainable": "all", "learning_rate": 0.0003},
    "ramp": {"image_size": 96, "batch_schedule": "32:16", "checkpoint_every": "90s", "validation": 0.25},
    "switches": {"flip": False, "audit": True, "memory_limit": "3GiB", "time_budget": "5m", "fine_tune_epochs": 0},
    "own network": {"model": "json:loads", "max_minutes": 1.5, "loss": "poisson"},
}


def record(options: Options, call: DataCall | None, *, has_callbacks: bool = False) -> RunRecord:
    """A run of these options, called in this way."""
    data = {
        "root": "/photos",
        "class_names": ["a", "b"],
        "train_count": 8,
        "validation_count": 2,
        "skipped_files": 0,
        "fingerprint": "0",
    }
    return RunRecord.model_validate(
        {
            "options": options.model_dump(),
            "has_callbacks": has_callbacks,
            "data": data,
            "plan": make_plan().model_dump(),
            "started": 0.0,
            "call": call and call.model_dump(),
        }
    )


def called(data: Any, labels: Any = None, test: Any = None, **table: Any) -> DataCall:
    """What a call keeps of its data."""
    return data_call(data, labels, test, **({"path_column": None, "label_column": None, "images_in": None} | table))


class Called(Exception):  # noqa: N818 - it is no error
    """Ends a command where it would train; it has the arguments."""

    def __init__(self, data: Any, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.data, self.arguments = data, arguments


def parsed(command: str, monkeypatch: pytest.MonkeyPatch) -> Called:
    """What the command line makes of a command."""

    def run(data: Any, **arguments: Any) -> None:
        raise Called(data, arguments)

    monkeypatch.setattr(api, "run", run)
    program, *words = shlex.split(command)
    assert program == "autofit"
    raised = CliRunner().invoke(app, words).exception
    assert isinstance(raised, Called), raised
    return raised


def evaluated(call: str) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call in Python."""
    tree = ast.parse(call, mode="eval").body
    assert isinstance(tree, ast.Call)
    assert ast.unparse(tree.func) == "autofit.run"
    named = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in tree.keywords}
    return [ast.literal_eval(argument) for argument in tree.args], named


@pytest.mark.parametrize("request_name", REQUESTS)
def test_command_and_call_ask_for_the_same_run(request_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone who repeats a run by its page would train another model."""
    options = make_options(**REQUESTS[request_name])
    call = called("/my photos/it's $HOME.csv", test="/x", **TABLE)
    run = record(options, call)
    command = repeating_command(run)
    assert command is not None
    there = parsed(command, monkeypatch)
    (data,), named = evaluated(repeating_call(run))
    assert there.data == data == call.data
    assert options_of_call(there.arguments) == options_of_call(named) == options
    for name in ("test", "path_column", "label_column", "group_column", "weight_column", "images_in"):
        assert there.arguments[name] == named.get(name) == getattr(call, name)


def test_only_what_differs_from_the_defaults_is_named(tmp_path: Path) -> None:
    """The one option that matters could not be seen among fifty."""
    run = record(make_options(epochs=3, mirror_dir=tmp_path), called("/photos"))
    assert repeating_command(run) == "autofit train /photos --epochs 3"
    assert repeating_call(run) == "autofit.run(\n    '/photos',\n    epochs=3,\n)"


def test_what_only_python_has_is_named_and_left_open() -> None:
    """A command would be shown that trains another network, on images that are on no disk."""
    own = {"model": "<function>", "backbone": None, "weights": "none", "trainable": "all"}
    options = make_options(epochs=3).model_copy(update=own)
    run = record(options, called([[0]], labels=[1], test=([0], [1])), has_callbacks=True)
    assert repeating_command(run) is None
    args, named = evaluated(repeating_call(run))
    assert args == []
    assert named == dict.fromkeys(("data", "labels", "test", "model", "callbacks"), ...) | {"epochs": 3}
    assert "your own callbacks" in repeated_run(run, RUN_DIR, is_completed=True)


@pytest.mark.parametrize(
    "changes", [{"class_weight": {"cats": 2.0}}, {"metrics": ("mae",)}], ids=["class_weight", "metrics"]
)
def test_an_option_without_a_flag_makes_no_command(changes: dict[str, Any]) -> None:
    """The command would leave it out, or fail."""
    run = record(make_options(**changes), called("/photos"))
    assert repeating_command(run) is None
    assert evaluated(repeating_call(run))[1] == changes


def test_columns_are_named_with_commas_unless_a_name_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The labels of a table would be read from other columns."""
    options = make_options(multi_label=True)
    run = record(options, called("/t.csv", label_column=["sun", "sea"]))
    assert parsed(repeating_command(run) or "", monkeypatch).arguments["label_column"] == "sun,sea"
    assert repeating_command(record(options, called("/t.csv", label_column=["a,b", "c"]))) is None


def test_a_run_from_before_the_call_was_recorded_shows_none() -> None:
    """A guess would be shown as what was run."""
    run = record(make_options(), None)
    assert repeated_run(run, RUN_DIR, is_completed=True) == ""
    assert repeating_command(run) is None


@pytest.mark.parametrize("word", ["it's", "a b", "$HOME `x`", "two\nlines", "\x1b[2Jé\\'\t", "\u202egpj", "-x"])
def test_a_word_is_read_by_the_shell_as_it_was(word: str) -> None:
    """A name from an untrusted source would run something, or clear the screen of whoever copies the command."""
    shown = shell_word(word)
    assert shown.isprintable()
    answer = subprocess.run(
        ["/bin/bash", "-c", f"printf %s {shown}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert answer.stdout.decode() == word


def test_a_probe_says_how_to_train_with_its_answer(report: ProbeReport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size that was found would have to be put into a command by hand, with the network that it is for."""
    command, call = training_use(report)
    assert command is not None
    there = parsed(command, monkeypatch)
    (data,), named = evaluated(call)
    options = options_of_call(named)
    assert there.data == data == "photos"
    assert options_of_call(there.arguments) == options
    workload = report.workload
    assert (options.backbone, options.image_size, options.trainable) == (
        workload.backbone,
        workload.image_size,
        workload.trainable,
    )
    assert options.micro_batch_size == report.recommended_batch


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"backbone": "json:loads", "weights": "none", "trainable": "all"}, {"model": "json:loads"}),
        (
            {"backbone": "json:loads", "weights": "none", "trainable": "head"},
            {"model": "json:loads", "trainable": "head"},
        ),
        ({"backbone": "<function>", "weights": "none", "trainable": "all"}, {"model": ...}),
        ({"weights": "none", "trainable": "all"}, {"weights": "none"}),
        ({"weights": "none", "trainable": "head"}, {}),
        ({"trainable": "all", "hidden_units": 7}, {"trainable": "all", "hidden_units": 7}),
        ({"precision": "mixed_bfloat16"}, {"precision": "mixed_bfloat16"}),
    ],
    ids=["model", "model's head", "function", "random", "random head", "all", "precision"],
)
def test_a_probe_of_any_network_is_trained_as_it_was_probed(
    report: ProbeReport, changes: dict[str, Any], named: dict[str, Any]
) -> None:
    """The answer is for this network and these layers only."""
    command, call = training_use(report.model_copy(update={"workload": report.workload.model_copy(update=changes)}))
    assert (command is None) == (named.get("model") is ...)
    found = evaluated(call)[1]
    names = ("model", "weights", "trainable", "hidden_units", "precision")
    assert {name: found[name] for name in names if name in found} == named


@pytest.mark.parametrize(
    ("run_dir", "opening"),
    [
        (RUN_DIR, "Called again in the same folder, it"),
        (Path("/models/a"), "So it trains anew; with run_dir '/models/a' it"),
    ],
)
def test_what_the_same_call_does_depends_on_where_the_run_is_and_how_it_ended(run_dir: Path, opening: str) -> None:
    """Of a run that was stopped, or whose directory was named, it was said that the call returns it at once."""
    run = record(make_options(), DataCall(data="/photos"))
    completed, stopped = (
        html.unescape(repeated_run(run, run_dir, is_completed=is_completed)) for is_completed in (True, False)
    )
    assert f"{opening} returns this run at once if nothing was changed" in completed
    assert f"{opening} goes on with this run if nothing was changed" in stopped
