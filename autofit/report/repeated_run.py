"""The command and the Python call that repeat a run, or train with what a probe found: parts of pages. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from autofit.config.given_options import GivenOptions, given_options
from autofit.config.hub_presets import PRESET_WEIGHTS, is_preset
from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.option_table import BY_NAME
from autofit.probing.records import ProbeReport, Workload
from autofit.report.markup import Html, command_line, element, escaped, join
from autofit.runs.run_record import DataCall, RunRecord
from autofit.storage.run_directory import RUNS_FOLDER

PHOTOS = "photos"
NAMED_IF_UNUSUAL = ("hidden_units", "dropout", "optimizer", "precision")
OBJECT_WORDS = {
    "data": "images or a list that Python held",
    "labels": "the labels of these images",
    "model": "your own model",
    "optimizer": "your own optimizer",
    "learning_rate": "your own schedule",
    "loss": "your own loss",
    "metrics": "your own metrics",
    "class_weight": "your own weights",
    "validation": "images or a table that Python held",
    "test": "images or a table that Python held",
    "label_column": "a list of columns",
    "callbacks": "your own callbacks",
}


def repeated_run(run: RunRecord, run_dir: Path, *, is_completed: bool) -> Html:
    """How to repeat the run, for a page; empty if an older autofit wrote the record, without the call.

    Args:
        run: the content of `run.json`.
        run_dir: the run directory.
        is_completed: whether the run is completed; otherwise the same call goes on with it.
    """
    if run.call is None:
        return Html("")
    command = repeating_command(run)
    missing = ", ".join(_only_in_python(run))
    terminal = (
        command_line(command)
        if command
        else element("p", escaped(f"Not in a terminal, as it was given Python's own: {missing}."), "lead")
    )
    code = element("pre", join(escaped(line) for line in repeating_call(run).splitlines()))
    return join([terminal, code, element("p", escaped(_again_words(run_dir, is_completed=is_completed)), "lead")])


def _again_words(run_dir: Path, *, is_completed: bool) -> str:
    """The sentence that says what the same call would do."""
    does = "returns this run at once" if is_completed else "goes on with this run"
    if run_dir.parent.name == RUNS_FOLDER:  # where a call that names no directory finds the same run
        return (
            f"Called again in the same folder, it {does} if nothing was changed; a run_dir of your choice trains anew."
        )
    return f"So it trains anew; with run_dir {str(run_dir)!r} it {does} if nothing was changed."


def repeating_command(run: RunRecord) -> str | None:
    """The command line that repeats a run; None if the run was given Python objects, or if the call is unknown."""
    if run.call is None or _only_in_python(run):
        return None
    return _command_line(run.call.data, _arguments(run, run.call))


def repeating_call(run: RunRecord) -> str:
    """The call in Python, one argument per line; `...` stands for an object that only the caller has."""
    call = run.call or DataCall(data=run.data.root)
    objects = _objects(run, call)
    return _python_call(None if "data" in objects else call.data, _arguments(run, call), objects)


def training_use(report: ProbeReport) -> tuple[str | None, str]:
    """The command, if there is one, and the call that train the probed network with the recommended size.

    The folder of the photos in them is a placeholder.
    """
    workload = report.workload
    is_backbone = is_preset(workload.backbone) or ":" not in workload.backbone
    own = workload.backbone == GIVEN_FUNCTION
    usual: dict[str, Any] = {name: BY_NAME[name].default for name in NAMED_IF_UNUSUAL}
    named = {name: getattr(workload, name) for name in usual if getattr(workload, name) != usual[name]}
    values: dict[str, Any] = {"image_size": _sides(workload.image_size), **named}
    if own or not is_backbone:
        trains = {"trainable": "head"} if workload.trainable == "head" else {}
        values = ({} if own else {"model": workload.backbone}) | trains | values
    else:
        values = {"backbone": workload.backbone, **_weights(workload), **values}
    if workload.segments and not report.rungs:  # else `auto` comes to the same
        values["recompute"] = "on"
    values["micro_batch_size"] = report.recommended_batch
    objects = ("model",) if own else ()
    return None if own else _command_line(PHOTOS, values), _python_call(PHOTOS, values, objects)


def _weights(workload: Workload) -> dict[str, Any]:
    """The options `weights` and `trainable` of a probed backbone, as far as they are not the defaults.

    A head on random weights can be probed but learns nothing; with the default weights it takes as much memory, so
    these are used for it.
    """
    if (workload.weights, workload.trainable) == ("none", "head"):
        return {}
    weights = {} if workload.weights in {"imagenet", PRESET_WEIGHTS} else {"weights": workload.weights}
    usual = "all" if workload.weights == "none" else "head"
    return weights if workload.trainable == usual else {**weights, "trainable": workload.trainable}


def _command_line(data: str, values: Mapping[str, Any]) -> str:
    flags = [word for name, value in values.items() for word in _flag_words(name, value)]
    return " ".join(["autofit train", shell_word(data), *flags])


def _python_call(data: str | None, values: Mapping[str, Any], objects: Iterable[str]) -> str:
    lines = [] if data is None else [f"    {data!r},"]
    lines += [f"    {name}={value!r}," for name, value in values.items()]
    lines += [f"    {name}=...,  # {OBJECT_WORDS[name]}" for name in objects]
    return "\n".join(["autofit.run(", *lines, ")"])


def shell_word(text: str) -> str:
    """A word for a POSIX shell; if it has characters that cannot be printed, bash's `$'...'` with these escaped."""
    if text.isprintable():
        return shlex.quote(text)
    escapes = {"'": "\\'", "\\": "\\\\"}
    marks = (escapes.get(mark, mark) if mark.isprintable() else f"\\U{ord(mark):08x}" for mark in text)
    return f"$'{''.join(marks)}'"


def _arguments(run: RunRecord, call: DataCall) -> dict[str, Any]:
    """The arguments by name, without the data and without objects."""
    tables = {
        "test": call.test,
        "path_column": call.path_column,
        "label_column": call.label_column,
        "group_column": call.group_column,
        "weight_column": call.weight_column,
        "images_in": call.images_in,
    }
    named = {name: value for name, value in tables.items() if value is not None}
    return {**_short(given_options(run.options)), **named}


def _short(given: GivenOptions) -> dict[str, Any]:
    """The values in the form in which people write them: one number for a square image size, text for a ramp."""
    values = dict(given.values)
    if "image_size" in values:
        values["image_size"] = _sides(values["image_size"])
    return values


def _sides(image_size: tuple[int, int]) -> int | tuple[int, int]:
    height, width = image_size
    return height if height == width else (height, width)


def _objects(run: RunRecord, call: DataCall) -> tuple[str, ...]:
    callbacks = ("callbacks",) if run.has_callbacks else ()
    return tuple(dict.fromkeys([*call.objects, *given_options(run.options).objects, *callbacks]))


def _only_in_python(run: RunRecord) -> list[str]:
    """The arguments of the call that cannot be given on a command line."""
    call = run.call or DataCall()
    values = _arguments(run, call)
    python = {name for name in ("class_weight", "metrics") if not isinstance(values.get(name, ""), str)}
    if any("," in column for column in _columns(values)):
        python.add("label_column")
    return [*_objects(run, call), *sorted(python)]


def _columns(values: Mapping[str, Any]) -> list[str]:
    columns = values.get("label_column")
    return columns if isinstance(columns, list) else []


def _flag_words(name: str, value: Any) -> Iterator[str]:
    flag = BY_NAME[name].flag
    if isinstance(value, bool):
        yes, _, no = flag.partition("/")
        yield yes if value else no
    else:
        yield f"{flag} {shell_word(_flag_text(name, value))}"


def _flag_text(name: str, value: Any) -> str:
    """A value in the form in which it is written after its flag."""
    if name == "image_size" and isinstance(value, tuple):
        return "x".join(map(str, value))
    if name == "batch_schedule":
        return ":".join(map(str, value))
    return ",".join(value) if isinstance(value, list) else str(value)
