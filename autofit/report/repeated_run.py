"""The command and the Python call that repeat a run: a part of its page. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from autofit.config.given_options import GivenOptions, given_options
from autofit.config.option_table import BY_NAME
from autofit.report.markup import Html, element, escaped, join
from autofit.runs.run_record import DataCall, RunRecord

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
AGAIN = (
    "Called again in the same folder, it returns this run at once if nothing was changed; a run_dir of your choice "
    "trains anew."
)


def repeated_run(run: RunRecord) -> Html:
    """How to run it once more, for a page; nothing where the record is from before the call was recorded."""
    if run.call is None:
        return Html("")
    command = repeating_command(run)
    missing = ", ".join(_only_in_python(run))
    terminal = (
        element("pre", escaped(command))
        if command
        else element("p", escaped(f"Not in a terminal, as it was given Python's own: {missing}."), "lead")
    )
    code = element("pre", join(escaped(line) for line in repeating_call(run).splitlines()))
    return join([terminal, code, element("p", escaped(AGAIN), "lead")])


def repeating_command(run: RunRecord) -> str | None:
    """The command line that repeats a run; None where it was given what only Python has, or the call is unknown."""
    if run.call is None or _only_in_python(run):
        return None
    words = [shell_word(run.call.data)]
    for name, value in _arguments(run, run.call).items():
        words += _flag_words(name, value)
    return " ".join(["autofit train", *words])


def repeating_call(run: RunRecord) -> str:
    """The call in Python, an argument a line; `...` stands for an object that only the caller has."""
    call = run.call or DataCall(data=run.data.root)
    objects = _objects(run, call)
    lines = [] if "data" in objects else [f"    {call.data!r},"]
    lines += [f"    {name}={value!r}," for name, value in _arguments(run, call).items()]
    lines += [f"    {name}=...,  # {OBJECT_WORDS[name]}" for name in objects]
    return "\n".join(["autofit.run(", *lines, ")"])


def shell_word(text: str) -> str:
    """A word for a POSIX shell; where a character cannot be printed, as bash's `$'...'` with the character escaped."""
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
        "images_in": call.images_in,
    }
    named = {name: value for name, value in tables.items() if value is not None}
    return {**_short(given_options(run.options)), **named}


def _short(given: GivenOptions) -> dict[str, Any]:
    """The values in the form in which people write them: one figure for a square, text for a ramp."""
    values = dict(given.values)
    if "image_size" in values:
        height, width = values["image_size"]
        values["image_size"] = height if height == width else (height, width)
    return values


def _objects(run: RunRecord, call: DataCall) -> tuple[str, ...]:
    callbacks = ("callbacks",) if run.has_callbacks else ()
    return tuple(dict.fromkeys([*call.objects, *given_options(run.options).objects, *callbacks]))


def _only_in_python(run: RunRecord) -> list[str]:
    """The arguments that no command line has."""
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
    """A value as it stands after its flag."""
    if name == "image_size" and isinstance(value, tuple):
        return "x".join(map(str, value))
    if name == "batch_schedule":
        return ":".join(map(str, value))
    return ",".join(value) if isinstance(value, list) else str(value)
