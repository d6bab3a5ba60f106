"""The flags of the commands: each reaches the function that it belongs to, with the same default."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autofit import api
from autofit.cli import run_command_line
from autofit.probing.estimate import EstimateReport
from autofit.probing.records import SweepFailure, SweepReport
from tests.cli.fake_api import Calls, found

api_run, api_probe, api_estimate = api.run, api.probe, api.estimate

EVERY_FLAG = {
    "backbone": ("VGG16", "VGG16"),
    "model": ("nets:build", "nets:build"),
    "weights": ("none", "none"),
    "image_size": ("160x224", "160x224"),
    "trainable": ("all", "all"),
    "hidden_units": ("64", 64),
    "dropout": ("0.5", 0.5),
    "recipe": ("classic", "classic"),
    "epochs": ("3", "3"),
    "fine_tune_epochs": ("2", "2"),
    "fine_tune_from": ("0.5", "0.5"),
    "batch_size": ("32", "32"),
    "micro_batch_size": ("8", "8"),
    "batch_schedule": ("32:16", "32:16"),
    "optimizer": ("sgd", "sgd"),
    "devices": ("2", "2"),
    "recompute": ("on", "on"),
    "learning_rate": ("0.1", 0.1),
    "class_weight": ("balanced", "balanced"),
    "loss": ("kl_divergence", "kl_divergence"),
    "monitor": ("val_accuracy", "val_accuracy"),
    "early_stopping": ("4", 4),
    "validation": ("held-out", "held-out"),
    "test": ("tested.csv", "tested.csv"),
    "path_column": ("file", "file"),
    "label_column": ("kind", "kind"),
    "group_column": ("patient", "patient"),
    "weight_column": ("quality", "quality"),
    "images_in": ("images", "images"),
    "augment": ("strong", "strong"),
    "feature_cache": ("on", "on"),
    "feature_views": ("2", 2),
    "pixel_cache": ("off", "off"),
    "cache_by": ("content", "content"),
    "precision": ("auto", "auto"),
    "memory_limit": ("3GB", "3GB"),
    "seed": ("7", 7),
    "checkpoint_every": ("50", "50"),
    "max_minutes": ("1.5", 1.5),
    "time_budget": ("5m", "5m"),
    "max_bad_images": ("0.5", 0.5),
    "run_dir": ("runs/a", Path("runs/a")),
    "mirror_dir": ("/mnt/drive", Path("/mnt/drive")),
    "isolation": ("inline", "inline"),
    "replay": ("runs/b", Path("runs/b")),
    "num_classes": ("5", 5),
    "max_batch": ("100", 100),
}
SWITCHES = ("audit", "deterministic", "multi_label", "take_over")
"""The options of a run whose flags take no value."""
SWITCHED_ON = ("flip", "profile")
"""The options of a run that a flag switches off."""


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def test_every_option_of_run_has_a_flag_with_effect(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag would be accepted and ignored, or an option would have no flag."""
    names = set(inspect.signature(api_run).parameters) - {
        "data",
        "labels",
        "callbacks",
        "metrics",
        "view",
        *SWITCHES,
        *SWITCHED_ON,
    }
    assert names == set(EVERY_FLAG) - {"num_classes", "max_batch"}
    flags = [word for name in names for word in (flag(name), EVERY_FLAG[name][0])]
    off = [f"--no-{name}" for name in SWITCHED_ON]
    assert run_command_line(["train", "photos", *flags, *map(flag, SWITCHES), *off]) == 0
    given = {name: EVERY_FLAG[name][1] for name in names}
    given |= dict.fromkeys(SWITCHES, True) | dict.fromkeys(SWITCHED_ON, False)
    assert calls.made == [("run", ("photos",), given)]
    assert capsys.readouterr().out == "Trained 2 epochs in 3 s.\n"


@pytest.mark.parametrize("name", ["run_dir", "mirror_dir", "replay"])
def test_an_empty_path_is_refused(name: str, calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell's variable that is not set would have the run, or its copy, in the present folder."""
    assert run_command_line(["train", "photos", flag(name), ""]) == 2
    assert not calls.made
    assert "it is empty: give a path, or leave it out" in capsys.readouterr().err


def test_every_option_of_probe_has_a_flag_with_effect(calls: Calls) -> None:
    """A flag of `probe` would be accepted and ignored, or an option would have no flag."""
    names = set(inspect.signature(api_probe).parameters) - {"view", "profile"}
    flags = [word for name in names for word in (flag(name), EVERY_FLAG[name][0])]
    assert run_command_line(["probe", *flags, "--no-profile"]) == 0
    assert calls.made == [("probe", (), {name: EVERY_FLAG[name][1] for name in names} | {"profile": False})]


def test_every_option_of_estimate_has_a_flag_with_effect(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag of `estimate` would be accepted and ignored, or an option would have no flag."""
    given = {"memory": "8GB,16GB", "device": "t4,l4", "backbone": "VGG16,MobileNet", "image_size": "96,128"}
    names = set(inspect.signature(api_estimate).parameters) - {"view", "profile", *given}
    flags = [word for name in names for word in (flag(name), EVERY_FLAG[name][0])]
    lists = [word for name, value in given.items() for word in (flag(name), value)]
    assert run_command_line(["estimate", *flags, *lists, "--no-profile"]) == 0
    named = {name: EVERY_FLAG[name][1] for name in names}
    assert calls.made == [("estimate", (), named | given | {"profile": False})]
    assert capsys.readouterr().out.startswith("Estimate: ")


def test_an_estimate_of_which_a_network_failed_says_so_by_its_exit_code(
    calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script would go on with half a table; or the other half would not be shown."""
    failed = SweepFailure(workload=calls.report.workload, cause="SIGSEGV")
    calls.estimated = EstimateReport(estimates=[], failures=[failed], wall_seconds=2.0)
    assert run_command_line(["estimate", "--json", "-"]) == 4
    out, err = capsys.readouterr()
    assert '"is_estimate": true' in out
    assert err.splitlines()[-1] == "autofit: 1 of the networks failed: SIGSEGV"


def test_lists_of_networks_and_sizes_make_a_sweep(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty probes would need twenty commands; or all names but the first would be ignored."""
    assert run_command_line(["probe", "--backbone", "VGG16, ResNet50", "--image-size", "160,224x96"]) == 0
    assert run_command_line(["probe", "--image-size", "96,128", "--memory-limit", "3GB"]) == 0
    first, second = calls.made
    assert first[:2] == ("sweep", (["VGG16", "ResNet50"], ["160", "224x96"]))
    assert second[:2] == ("sweep", (["MobileNetV2"], ["96", "128"]))
    assert second[2]["memory_limit"] == "3GB"
    assert (second[2]["recompute"], second[2]["precision"]) == ("auto", "float32")
    assert "64" in capsys.readouterr().out


@pytest.mark.slow
def test_a_sweep_is_written_in_each_format(calls: Calls, tmp_path: Path) -> None:
    """A format of a sweep's report would be missing or empty."""
    files = {name: tmp_path / f"sweep.{name}" for name in ("json", "png", "html")}
    arguments = ["--json", files["json"], "--plot", files["png"], "--report", files["html"]]
    assert run_command_line(["probe", "--backbone", "VGG16,ResNet50", *map(str, arguments)]) == 0
    assert SweepReport.load(files["json"]) == calls.swept
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "<html" in files["html"].read_text(encoding="utf-8")


def test_a_sweep_over_a_model_function_is_refused(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """The same model would be probed once for each name of a backbone."""
    assert run_command_line(["probe", "--model", "nets:build", "--image-size", "96,128"]) == 2
    assert "--model is one network" in capsys.readouterr().err
    assert calls.made == []


@pytest.mark.parametrize(
    ("largest", "failures", "code", "words"),
    [
        (64, [], 0, ""),
        (0, [], 3, "not even one image at a time fits"),
        (64, ["SIGSEGV"], 4, "1 of the networks failed: SIGSEGV"),
    ],
)
def test_the_exit_code_of_a_sweep_says_if_something_fits_and_all_was_measured(
    calls: Calls, capsys: pytest.CaptureFixture[str], *, largest: int, failures: list[str], code: int, words: str
) -> None:
    """A script would continue with an incomplete comparison."""
    failed = [SweepFailure(workload=found().workload, cause=cause) for cause in failures]
    calls.swept = SweepReport(probes=[found(largest)], failures=failed, wall_seconds=2.0)
    assert run_command_line(["probe", "--image-size", "96,128"]) == code
    assert words in capsys.readouterr().err


def test_a_flag_has_the_default_that_python_has(calls: Calls) -> None:
    """`autofit train photos` and `autofit.run("photos")` would be two requests."""
    assert run_command_line(["train", "photos"]) == 0
    assert run_command_line(["probe"]) == 0
    functions: tuple[Callable[..., Any], ...] = (api_run, api_probe)
    for (_, _, named), function in zip(calls.made, functions, strict=True):
        defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}
        assert {name: str(value) for name, value in named.items()} == {name: str(defaults[name]) for name in named}


def test_the_other_commands_call_their_functions(calls: Calls) -> None:
    """A command would call the function of another one."""
    for arguments in (["resume", "runs/a"], ["report", "runs/a"], ["demo", "--folder", "x"]):
        assert run_command_line(arguments) == 0
    names_and_first = [(name, positional[0]) for name, positional, _ in calls.made]
    assert names_and_first == [("resume", Path("runs/a")), ("write_report", Path("runs/a")), ("run_demo", Path("x"))]


def test_resume_takes_another_share_of_bad_images(calls: Calls) -> None:
    """The flag that the error message recommends would be accepted and ignored."""
    assert run_command_line(["resume", "runs/a", "--max-bad-images", "0.5"]) == 0
    assert run_command_line(["resume", "runs/a"]) == 0
    assert [named["max_bad_images"] for _, _, named in calls.made] == [0.5, None]
