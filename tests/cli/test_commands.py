"""The command line: flags in, exit codes and one line of error out."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autofit import api
from autofit.cli import run_command_line
from autofit.config.options import make_options
from autofit.errors import (
    AutofitError,
    DoesNotFitError,
    InterruptedRunError,
    StorageError,
    TrainingFailedError,
    UserError,
)
from autofit.probing.records import ProbeReport, SweepFailure, SweepReport
from autofit.protocol.messages import Trial, Verdict
from autofit.report.progress import ProgressView
from autofit.runs.plan import workload
from tests.support.paths import child_environment

HEAVY = {"tensorflow", "keras"}
api_run, api_probe = api.run, api.probe


def found(largest: int = 64) -> ProbeReport:
    """A probe's answer."""
    trial = Trial(batch_size=max(1, largest), verdict=Verdict.FITS, peak_bytes=10**8, images_per_second=100.0)
    return ProbeReport(
        workload=workload(make_options(), 3),
        hardware={"cpu_model": "Some CPU"},
        memory_limit_bytes=10**9,
        limited_by="the host",
        largest_feasible_batch=largest,
        recommended_batch=largest,
        memory_model=None,
        trials=[trial] if largest else [],
        wall_seconds=1.0,
    )


class WorkerExit:
    """A finished run as far as the command line looks at it."""

    def to_json(self) -> str:
        """The content of its `result.json`."""
        return '{"status": "completed", "labels": ["café"]}'

    def summary(self) -> str:
        """What happened."""
        return "Trained 2 epochs in 3 s."


@dataclass
class Calls:
    """Stands for `autofit.api`: what each function was called with, and how it ends."""

    end: BaseException | None = None
    report: ProbeReport = field(default_factory=found)
    swept: SweepReport = field(default_factory=lambda: SweepReport(probes=[found()], wall_seconds=2.0))
    made: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def function(self, name: str) -> Callable[..., Any]:
        """In place of one of the functions."""

        def call(*positional: Any, **named: Any) -> Any:
            self.made.append((name, positional, named))
            for view in (named.pop("view", None), *positional):
                if isinstance(view, ProgressView):
                    view.message("looking around")
            if self.end is not None:
                raise self.end
            return {"probe": self.report, "sweep": self.swept}.get(name, WorkerExit())

        return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    replaced = Calls()
    for name in ("run", "resume", "probe", "sweep", "report"):
        monkeypatch.setattr(api, name, replaced.function(name))
    monkeypatch.setattr("autofit.demo.story.tell", replaced.function("tell"))
    return replaced


@pytest.fixture(autouse=True)
def _sigterm_as_before() -> Any:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def autofit(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A real process, which lists at its end, on stdout, what it has imported."""
    listing = (
        "import atexit, sys; from autofit.cli import run_command_line; code = run_command_line(sys.argv[1:]);"
        "print('MODULES', *{name.partition('.')[0] for name in sys.modules}); sys.exit(code)"
    )
    return subprocess.run(
        [sys.executable, "-c", listing, *arguments],
        cwd=cwd,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def failure(capsys: pytest.CaptureFixture[str], arguments: Sequence[str], code: int = 2) -> str:
    """The one line that a command fails with."""
    assert run_command_line(list(arguments)) == code
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line != "looking around"]
    assert out == ""
    assert len(lines) == 1
    assert lines[0].startswith("autofit: ")
    return lines[0].removeprefix("autofit: ")


# Flags ----------------------------------------------------------------------------------------------------------------

EVERY_FLAG = {
    "backbone": ("VGG16", "VGG16"),
    "model": ("nets:build", "nets:build"),
    "weights": ("none", "none"),
    "image_size": ("160x224", "160x224"),
    "trainable": ("all", "all"),
    "hidden_units": ("64", 64),
    "dropout": ("0.5", 0.5),
    "epochs": ("3", 3),
    "fine_tune_epochs": ("2", 2),
    "batch_size": ("32", "32"),
    "micro_batch_size": ("8", "8"),
    "batch_schedule": ("32:16", "32:16"),
    "optimizer": ("sgd", "sgd"),
    "learning_rate": ("0.1", 0.1),
    "class_weight": ("balanced", "balanced"),
    "early_stopping": ("4", 4),
    "validation": ("held-out", "held-out"),
    "augment": ("light", "light"),
    "feature_cache": ("on", "on"),
    "feature_views": ("2", 2),
    "pixel_cache": ("off", "off"),
    "cache_by": ("content", "content"),
    "precision": ("mixed_float16", "mixed_float16"),
    "memory_limit": ("3GB", "3GB"),
    "seed": ("7", 7),
    "checkpoint_every": ("50", "50"),
    "max_minutes": ("1.5", 1.5),
    "max_bad_images": ("0.5", 0.5),
    "run_dir": ("runs/a", Path("runs/a")),
    "mirror_dir": ("/mnt/drive", Path("/mnt/drive")),
    "isolation": ("inline", "inline"),
    "replay": ("runs/b", Path("runs/b")),
    "num_classes": ("5", 5),
    "max_batch": ("100", 100),
}


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def test_every_option_of_run_has_a_flag_that_arrives(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag would be accepted and not heard, or an option be out of reach on the command line."""
    names = set(inspect.signature(api_run).parameters) - {"data", "labels", "callbacks", "view", "audit"}
    assert names == set(EVERY_FLAG) - {"num_classes", "max_batch"}
    flags = [word for name in names for word in (flag(name), EVERY_FLAG[name][0])]
    assert run_command_line(["train", "photos", *flags, "--audit"]) == 0
    assert calls.made == [("run", ("photos",), {name: EVERY_FLAG[name][1] for name in names} | {"audit": True})]
    assert capsys.readouterr().out == "Trained 2 epochs in 3 s.\n"


def test_every_option_of_probe_has_a_flag_that_arrives(calls: Calls) -> None:
    """As for `train`."""
    names = set(inspect.signature(api_probe).parameters) - {"view", "profile"}
    flags = [word for name in names for word in (flag(name), EVERY_FLAG[name][0])]
    assert run_command_line(["probe", *flags, "--no-profile"]) == 0
    assert calls.made == [("probe", (), {name: EVERY_FLAG[name][1] for name in names} | {"profile": False})]


def test_lists_of_networks_and_sizes_make_a_sweep(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty probes would take twenty commands, or all but the first name be dropped."""
    assert run_command_line(["probe", "--backbone", "VGG16, ResNet50", "--image-size", "160,224x96"]) == 0
    assert run_command_line(["probe", "--image-size", "96,128", "--memory-limit", "3GB"]) == 0
    first, second = calls.made
    assert first[:2] == ("sweep", (["VGG16", "ResNet50"], ["160", "224x96"]))
    assert second[:2] == ("sweep", (["MobileNetV2"], ["96", "128"]))
    assert second[2]["memory_limit"] == "3GB"
    assert "64" in capsys.readouterr().out


def test_a_sweep_is_written_in_each_form(calls: Calls, tmp_path: Path) -> None:
    """As for a probe."""
    files = {name: tmp_path / f"sweep.{name}" for name in ("json", "png", "html")}
    arguments = ["--json", files["json"], "--plot", files["png"], "--report", files["html"]]
    assert run_command_line(["probe", "--backbone", "VGG16,ResNet50", *map(str, arguments)]) == 0
    assert SweepReport.load(files["json"]) == calls.swept
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "<html" in files["html"].read_text(encoding="utf-8")


def test_a_model_of_ones_own_is_not_swept_over(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be probed once for each backbone's name, which means nothing to it."""
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
def test_a_sweeps_exit_code_says_whether_anything_fits_and_all_was_measured(
    calls: Calls, capsys: pytest.CaptureFixture[str], *, largest: int, failures: list[str], code: int, words: str
) -> None:
    """A script would go on with a comparison that has holes."""
    failed = [SweepFailure(workload=found().workload, cause=cause) for cause in failures]
    calls.swept = SweepReport(probes=[found(largest)], failures=failed, wall_seconds=2.0)
    assert run_command_line(["probe", "--image-size", "96,128"]) == code
    assert words in capsys.readouterr().err


def test_a_flag_that_is_left_out_means_what_python_means(calls: Calls) -> None:
    """`autofit train photos` and `autofit.run("photos")` would be two requests."""
    assert run_command_line(["train", "photos"]) == 0
    assert run_command_line(["probe"]) == 0
    functions: tuple[Callable[..., Any], ...] = (api_run, api_probe)
    for (_, _, named), function in zip(calls.made, functions, strict=True):
        defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}
        assert {name: str(value) for name, value in named.items()} == {name: str(defaults[name]) for name in named}


def test_the_other_commands_reach_their_functions(calls: Calls) -> None:
    """A command would do another's work."""
    for arguments in (["resume", "runs/a"], ["report", "runs/a"], ["demo", "--folder", "x"]):
        assert run_command_line(arguments) == 0
    names_and_first = [(name, positional[0]) for name, positional, _ in calls.made]
    assert names_and_first == [("resume", Path("runs/a")), ("report", Path("runs/a")), ("tell", Path("x"))]


def test_resume_is_told_how_many_bad_images_there_may_be(calls: Calls) -> None:
    """The way out that the error names would be a flag that is accepted and not heard."""
    assert run_command_line(["resume", "runs/a", "--max-bad-images", "0.5"]) == 0
    assert run_command_line(["resume", "runs/a"]) == 0
    assert [named["max_bad_images"] for _, _, named in calls.made] == [0.5, None]


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "code", "line"),
    [
        (UserError("epochs must be 1"), 2, "epochs must be 1"),
        (DoesNotFitError("not even one image"), 3, "not even one image"),
        (TrainingFailedError("SIGSEGV"), 4, "SIGSEGV"),
        (StorageError("the disk is full"), 4, "the disk is full"),
        (InterruptedRunError("go on with: autofit resume a"), 130, "go on with: autofit resume a"),
        (KeyboardInterrupt(), 130, "stopped"),
        (UserError("two\nlines  and\tmore"), 2, "two lines and more"),
        (AutofitError("of no kind"), 4, "of no kind"),
        (ZeroDivisionError("oh"), 4, "ZeroDivisionError: oh (a defect of autofit: the same command with --debug"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "arguments", [["train", "photos"], ["resume", "a"], ["probe"], ["report", "a"], ["demo"]], ids=str
)
def test_each_error_is_one_line_and_an_exit_code(
    calls: Calls, capfd: pytest.CaptureFixture[str], arguments: list[str], end: BaseException, code: int, line: str
) -> None:
    """A script could not tell a typing error from a crash, or a user not find the message."""
    calls.end = end
    assert run_command_line(arguments) == code
    # some Typers begin a new line after Ctrl-C, which a terminal shows as ^C
    shown = [text for text in capfd.readouterr().err.splitlines() if text not in {"", "looking around"}]
    assert len(shown) == 1
    assert shown[0].startswith(f"autofit: {line}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "Missing argument 'DATA'"),
        (["resume"], "Missing argument 'DIR'"),
        (["trian", "photos"], "No such command 'trian'"),
        (["train", "photos", "--epoch-s", "3"], "No such option: --epoch-s"),
        (["train", "photos", "--epochs", "many"], "Invalid value for '--epochs'"),
        (["train", "photos", "--dropout", "some"], "Invalid value for '--dropout'"),
        (["train", "photos", "more"], "Got unexpected extra argument"),
        (["train", "photos", "--epochs"], "Option '--epochs' requires an argument"),
        (["--nonsense"], "No such option: --nonsense"),
    ],
    ids=str,
)
def test_a_usage_error_is_one_line_too(
    calls: Calls, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """A box of five lines would be drawn around a typing error."""
    line = failure(capsys, arguments)
    assert line.startswith(message)
    assert line.endswith("(autofit --help)")
    assert calls.made == []


@pytest.mark.parametrize("arguments", [["--debug", "probe"], ["probe", "--debug"]], ids=str)
def test_debug_shows_where_wherever_it_stands(
    calls: Calls, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """A defect could not be reported, or the flag be refused at the end of a line, where it is typed."""
    calls.end = ZeroDivisionError("oh")
    assert run_command_line(arguments) == 4
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("autofit: ZeroDivisionError: oh")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A user who types only `autofit` would get an error, or nothing."""
    assert run_command_line([]) == 0
    alone = capsys.readouterr()
    assert run_command_line(["--help"]) == 0
    assert alone == capsys.readouterr()
    assert [name for name in ("train", "resume", "report", "probe", "demo") if f"  {name} " not in alone.out] == []
    assert alone.err == ""


@pytest.mark.parametrize("command", ["train", "resume", "report", "probe", "demo"])
def test_each_command_has_help_without_what_does_not_work_yet(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help would fail, or promise an option that is refused."""
    assert run_command_line([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage: autofit" in out
    for later in ("--fine-tune-epochs", "--precision"):
        assert later not in out


def test_on_windows_it_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ImportError of `fcntl` would be shown."""
    monkeypatch.setattr(sys, "platform", "win32")
    assert failure(capsys, ["train", "photos"]).startswith("autofit runs on Linux")


def test_sigterm_leaves_as_ctrl_c_does(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch system that ends a job would cost it all since the last checkpoint."""

    def killed(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(api, "run", killed)
    assert run_command_line(["train", "photos"]) == 130
    assert calls.made == []


# Output ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["train", "photos"], ["resume", "a"], ["report", "a"], ["demo"]], ids=str)
def test_json_on_stdout_is_all_that_is_on_stdout(
    calls: Calls, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """A program that reads it would find a progress bar or a summary in it."""
    assert run_command_line([*arguments, "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"status": "completed", "labels": ["café"]}
    assert out.isascii()  # so that any stream can hold it
    assert ("looking around" in err) == (arguments[0] != "report")
    assert len(calls.made) == 1


def test_json_goes_to_a_file_and_the_summary_to_stdout(
    calls: Calls, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One of the two would be lost."""
    assert run_command_line(["train", "photos", "--json", str(tmp_path / "x.json")]) == 0
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["labels"] == ["café"]
    assert capsys.readouterr().out == "Trained 2 epochs in 3 s.\n"
    assert len(calls.made) == 1


def test_a_probe_is_shown_and_written_in_each_form(
    calls: Calls, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A form would be missing, or be empty."""
    files = {name: tmp_path / f"probe.{name}" for name in ("json", "png", "html")}
    arguments = ["--json", files["json"], "--plot", files["png"], "--report", files["html"]]
    assert run_command_line(["probe", *map(str, arguments)]) == 0
    assert ProbeReport.load(files["json"]) == calls.report
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "<html" in files["html"].read_text(encoding="utf-8")
    assert "64" in capsys.readouterr().out


def test_a_probe_as_json_on_stdout_is_only_that(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """As for a run."""
    assert run_command_line(["probe", "--json", "-"]) == 0
    assert ProbeReport.model_validate_json(capsys.readouterr().out) == calls.report


def test_a_probe_that_finds_nothing_says_so_and_ends_with_3(
    calls: Calls, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A script would go on as if something fitted, or have no report of what was tried."""
    calls.report = found(largest=0)
    assert run_command_line(["probe", "--json", str(tmp_path / "x.json")]) == 3
    assert "autofit: not even one image at a time fits (limited by the host)" in capsys.readouterr().err
    assert ProbeReport.load(tmp_path / "x.json").largest_feasible_batch == 0


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (["train", "photos", "--json"], "missing/x.json"),
        (["resume", "a", "--json"], "missing/x.json"),
        (["report", "a", "--json"], "missing/x.json"),
        (["demo", "--json"], "missing/x.json"),
        (["probe", "--json"], "missing/x.json"),
        (["probe", "--plot"], "missing/x.png"),
        (["probe", "--report"], "missing/x.html"),
        (["train", "photos", "--json"], "folder"),
        (["probe", "--plot"], "folder"),
    ],
    ids=str,
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    calls: Calls,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    target: str,
) -> None:
    """An hour of training would end with its result lost."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    assert failure(capsys, [*arguments, target]).startswith(f"{target} cannot be written")
    assert calls.made == []


def test_a_disk_that_fills_meanwhile_is_named(
    calls: Calls, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OSError would pass for a defect of autofit."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert "x.json cannot be written (No space left" in failure(
        capsys, ["train", "photos", "--json", str(tmp_path / "x.json")], 4
    )
    assert len(calls.made) == 1


# Bad input, through real processes ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders and files that each have something wrong, and `good`, which has not."""
    root = tmp_path_factory.mktemp("inputs")
    for name in ("good/cat", "good/dog", "one/cat", "lonely/cat"):
        (root / name).mkdir(parents=True)
        for number in range(30):
            (root / name / f"{number}.jpg").touch()
    (root / "lonely" / "dog").mkdir()
    (root / "lonely" / "dog" / "0.jpg").touch()
    (root / "empty" / "cat").mkdir(parents=True)
    (root / "damaged.csv").write_text("path,label\ngood/cat/0.jpg,cat\ngood/cat/1.jpg\n", encoding="utf-8")
    return root


BAD_INPUT = [
    (["train", "nowhere"], "nowhere does not exist"),
    (["train", "empty"], "empty holds no images"),
    (["train", "one"], "one holds images of only one class, 'cat'"),
    (["train", "lonely"], "class 'dog' has only one image"),
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
    (["train", "good", "--fine-tune-epochs", "5"], "fine_tune_epochs=5 does not work in this version"),
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
    """The list of the issue: each would come out as a traceback, or minutes later from the worker."""
    monkeypatch.chdir(inputs)
    assert run_command_line(arguments) == 2
    err = capsys.readouterr().err.splitlines()
    said = [line for line in err if line.startswith("autofit: ")]
    assert len(said) == 1
    assert message in said[0]
    assert said == err[-1:]


@pytest.mark.parametrize("number", [0, 5, 10, 17, 26], ids=lambda number: " ".join(BAD_INPUT[number][0]))
def test_bad_input_costs_no_import_of_tensorflow(inputs: Path, number: int) -> None:
    """A typing error would be answered after five seconds; or with a traceback, in a process of its own."""
    arguments, message = BAD_INPUT[number]
    done = autofit(*arguments, cwd=inputs)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    modules = done.stdout.splitlines()[-1].split()
    assert modules[0] == "MODULES"
    assert HEAVY & set(modules) == set()
    assert "autofit" in modules


def test_a_folder_with_another_request_is_refused_by_the_option(
    capsys: pytest.CaptureFixture[str], inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user would have to compare two requests of thirty options by eye."""
    monkeypatch.chdir(inputs)

    class Supervisor:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def run(self) -> AutofitError:
            return InterruptedRunError("asked to stop")

    monkeypatch.setattr("autofit.api.supervision.Supervisor", Supervisor)
    request = ["train", "good", "--batch-size", "8", "--run-dir", "mine"]
    assert run_command_line(request) == 130
    err = capsys.readouterr().err.splitlines()
    assert err[-1] == "autofit: asked to stop: the last checkpoint is kept; go on with: autofit resume mine"
    assert run_command_line([*request, "--epochs", "12"]) == 2
    assert "holds another request (epochs 10 there, 12 here): give another run_dir" in capsys.readouterr().err


def test_a_console_that_knows_no_umlauts_does_not_end_a_run(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After hours of training the summary would raise a UnicodeEncodeError, and the exit code be that of a failure."""
    monkeypatch.setattr(WorkerExit, "summary", lambda _: "classes: café")
    with (tmp_path / "stdout").open("w", encoding="ascii") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert run_command_line(["report", "a"]) == 0
    assert (tmp_path / "stdout").read_text(encoding="ascii") == "classes: caf?\n"
    assert len(calls.made) == 1
