"""The places where options are written out for their readers, compared with their declarations."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import typer

from autofit import api
from autofit.cli.app import all_commands
from autofit.config.option import Command, Option, plain
from autofit.config.option_table import AGAIN, OPTIONS, REQUEST, options_of
from autofit.config.options import Options, make_options

FUNCTIONS: dict[Command, Callable[..., Any]] = {
    "run": api.run,
    "probe": api.probe,
    "sweep": api.sweep,
    "evaluate": api.evaluate,
    "check": api.check,
    "estimate": api.estimate,
    "extract": api.extract,
}
ARGUMENTS: dict[Command, list[str]] = {
    "run": ["data", "labels"],
    "probe": [],
    "sweep": ["backbones", "image_sizes"],
    "evaluate": ["run_dir", "data", "labels", "views"],
    "check": ["data", "labels", "find_wrong_labels"],
    "estimate": [],
    "extract": ["data", "labels", "cache", "engine", "shard", "shard_images", "lease_seconds"],
}
"""The arguments that are no options: what to train or to probe."""
FLAGS_OF_COMMANDS = {
    "train": {"json", "quiet", "help"},
    "evaluate": {"json", "quiet", "views", "help"},
    "check": {"json", "quiet", "html", "labels", "strict", "help"},
    "probe": {"json", "quiet", "plot", "report", "help"},
    "estimate": {"json", "quiet", "help"},
    "extract": {"json", "quiet", "cache", "engine", "shard", "shard_images", "lease_seconds", "help"},
}
"""The flags that are no options: where to write the result."""

Differences = list[str]


def differences(options: Sequence[Option] = OPTIONS) -> Differences:
    """All places that miss an option, differ from its declaration, or have one that is not declared."""
    found: Differences = []
    for command in FUNCTIONS:
        declared = [option for option in options if command in option.commands]
        found += signature_differences(command, declared)
        found += docstring_differences(command, declared)
    found += command_line_differences("train", [option for option in options if "run" in option.commands])
    found += command_line_differences("probe", [option for option in options if "probe" in option.commands])
    found += command_line_differences("evaluate", [option for option in options if "evaluate" in option.commands])
    found += command_line_differences("check", [option for option in options if "check" in option.commands])
    found += command_line_differences("estimate", [option for option in options if "estimate" in option.commands])
    found += command_line_differences("extract", [option for option in options if "extract" in option.commands])
    found += field_differences(options)
    return found


def compare(place: str, declared: dict[str, Any], there: dict[str, Any]) -> Differences:
    """Compare names, order and values of one place with the declarations."""
    found = [f"{place}: {name} is missing, add {declared[name]!r}" for name in declared if name not in there]
    found += [f"{place}: {name} is not declared" for name in there if name not in declared]
    if not found and list(declared) != list(there):
        found = [f"{place}: the order is {list(there)} in place of {list(declared)}"]
    return found + [
        f"{place}: {name} is {there[name]!r} in place of {value!r}"
        for name, value in declared.items()
        if name in there and (there[name], type(there[name])) != (value, type(value))
    ]


def signature_differences(command: Command, declared: Sequence[Option]) -> Differences:
    """Compare the keyword parameters of a function."""
    parameters = dict(inspect.signature(FUNCTIONS[command]).parameters)
    there = {name: p.default for name, p in parameters.items() if name not in ARGUMENTS[command]}
    return compare(f"signature of {command}", {option.name: option.default for option in declared}, there)


def docstring_differences(command: Command, declared: Sequence[Option]) -> Differences:
    """Compare the `Args` of a function's docstring, whatever their line breaks."""
    text = (inspect.getdoc(FUNCTIONS[command]) or "").partition("\nArgs:\n")[2]
    block = re.match(r"(?:    .*\n)*", text)
    assert block
    entries = re.split(r"\n(?= {4}\w+: )", "\n" + block[0])[1:]
    there = {name.strip(): " ".join(words.split()) for name, _, words in (e.partition(": ") for e in entries)}
    arguments = {name: there.get(name, "") for name in ARGUMENTS[command]}
    return compare(f"docstring of {command}", arguments | {o.name: o.documentation for o in declared}, there)


def command_line_differences(command: str, declared: Sequence[Option]) -> Differences:
    """Compare the flags of a command: names, order, defaults, help, and whether `--help` shows them."""
    group: Any = all_commands()
    parameters = [p for p in group.commands[command].params if p.param_type_name == "option"]
    there = {
        p.name: (*p.opts, *p.secondary_opts, p.default, p.help)
        for p in parameters
        if p.name not in FLAGS_OF_COMMANDS[command]
    }
    expected = {o.name: (*o.flag.split("/"), o.cli_default, plain(o.help)) for o in declared if o.cli_type is not None}
    return compare(f"autofit {command}", expected, there)


def field_differences(options: Sequence[Option]) -> Differences:
    """Compare the fields of `Options`, and their defaults where they have some; the order is that of run.json."""
    fields = {option_field: option for option in options for option_field in option.field_names}
    found = compare("Options", dict.fromkeys(sorted(fields)), dict.fromkeys(sorted(Options.model_fields)))
    for name, field in Options.model_fields.items():
        if name in fields and not field.is_required():
            declared = fields[name].check(name, fields[name].default)
            if len(fields[name].field_names) > 1:
                declared = declared[fields[name].field_names.index(name)]
            found += compare("Options", {name: declared}, {name: field.default})
    return found


def test_each_option_is_the_same_wherever_it_is_written_out() -> None:
    """An option would be missing, or have another default or meaning, in a signature, docstring or flag."""
    assert differences() == []


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_a_difference_in_any_place_would_be_seen(option: Option) -> None:
    """The comparison above would not look at an option, and could not fail."""
    without = [other for other in OPTIONS if other is not option]
    places = {line.partition(":")[0] for line in differences(without)}
    assert places == expected_places(option)


def expected_places(option: Option) -> set[str]:
    """Where an option is written out."""
    places = {f"{place} of {command}" for command in option.commands for place in ("signature", "docstring")}
    if option.cli_type is not None:
        commands = {"run": "train", "probe": "probe", "evaluate": "evaluate", "check": "check", "estimate": "estimate"}
        commands["extract"] = "extract"
        places |= {f"autofit {commands[command]}" for command in option.commands if command in commands}
    if option.field_names:
        places.add("Options")
    return places


def test_resume_takes_every_option_that_may_change() -> None:
    """A run could be called again with another limit, and not be resumed with it."""
    own = {"run_dir", "model", "callbacks", "view"}
    parameters = inspect.signature(api.resume).parameters
    assert [name for name in parameters if name not in own] == [option.name for option in AGAIN]
    assert {parameters[option.name].default for option in AGAIN} == {None}
    group: Any = all_commands()
    flags = {p.name: p.default for p in group.commands["resume"].params if p.param_type_name == "option"}
    assert flags == dict.fromkeys([*(option.name for option in AGAIN), "model", "json"]) | {"quiet": False}
    assert {option.name for option in OPTIONS if option.on_rerun != "same"} - {option.name for option in AGAIN} == {
        "mirror_dir"
    }


def test_another_default_help_or_order_would_be_seen() -> None:
    """The comparison would look at the names alone."""
    first, second, *rest = OPTIONS
    assert differences([second, first, *rest]) != []
    changed = {"default": 7, "help": "Something else."}
    for name, value in changed.items():
        dropout = next(o for o in OPTIONS if o.name == "dropout")
        other = Option(**{f: getattr(dropout, f) for f in dropout.__slots__} | {name: value})
        places = {line.partition(":")[0] for line in differences([other if o is dropout else o for o in OPTIONS])}
        assert {"autofit train", "autofit probe"} <= places
        assert ("signature of run" in places) is (name == "default")
        assert ("docstring of sweep" in places) is (name == "help")


def test_names_are_unique_and_each_option_says_what_it_is() -> None:
    """One of two declarations would silently win; or `--help` show an empty line."""
    names = [option.name for option in OPTIONS]
    assert len(set(names)) == len(names)
    fields = [name for option in OPTIONS for name in option.field_names]
    assert len(set(fields)) == len(fields)
    assert [option.name for option in OPTIONS if not option.help.endswith(".") or option.commands == ()] == []


def test_a_choice_of_an_option_is_one_of_its_field() -> None:
    """`Options` would refuse a word that the option's check accepts, with pydantic's message, or the reverse."""
    hints = typing.get_type_hints(Options)
    for option in REQUEST:
        words = typing.get_args(hints.get(option.name, None))
        if typing.get_origin(hints.get(option.name)) is typing.Literal:
            assert option.metavar == "|".join(words)
            for word in words:
                assert option.check(option.name, word.upper()) == word


def test_every_option_of_a_request_reaches_make_options() -> None:
    """A function would take an option and drop it."""
    for command in FUNCTIONS:
        assert {o.name for o in options_of(command) if o.field_names} <= {o.name for o in REQUEST}
    assert make_options(**{option.name: option.default for option in REQUEST}) == make_options()


def test_typer_shows_each_default() -> None:
    """`--help` would show None, or nothing, for an option whose default is described in words."""
    group: Any = all_commands()
    command = group.commands["train"]
    text = " ".join(command.get_help(typer.Context(command)).split())
    for option in options_of("run"):
        if option.cli_type is not None and option.default_text:
            assert f"[default: ({plain(option.default_text)})]" in text
    assert "[default: 60s]" in text
