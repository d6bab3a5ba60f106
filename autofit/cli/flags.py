"""The flags of the commands: those that the options declare, and those that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast, get_type_hints

import typer

from autofit.config.option import Command, Option, plain
from autofit.config.option_table import AGAIN, options_of

Json = Annotated[
    str | None, typer.Option("--json", metavar="FILE|-", help="Write the result as JSON; - is standard output.")
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Show no progress: only the result, errors, and what your own code prints."),
]
RunDir = Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")]


def takes_options(command: Command, *, lists: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for each option of `run` or `probe`; its `**options` receives the values.

    Args:
        command: the function whose options they are.
        lists: whether options that can be listed take several values, with commas between.
    """
    flags = [_flag(option, lists=lists) for option in options_of(command) if option.cli_type is not None]

    return lambda function: _with_flags(function, flags)


def _with_flags(function: Callable[..., None], flags: list[inspect.Parameter]) -> Callable[..., None]:
    """Put the flags into the signature of a command, from which Typer reads its parameters."""
    signature = inspect.signature(function)
    hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in signature.parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    arguments = [parameter for parameter in own if parameter.kind is not parameter.KEYWORD_ONLY]
    others = [parameter for parameter in own if parameter.kind is parameter.KEYWORD_ONLY]
    cast("Any", function).__signature__ = signature.replace(parameters=[*arguments, *flags, *others])
    return function


def takes_again(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command a flag for each option that may change when a run is resumed; None means as before."""
    return _with_flags(function, [_flag(option, lists=False, again=True) for option in AGAIN])


def _path(text: str) -> Path:
    """A path. An empty text, such as a shell variable that is not set, would mean the current folder."""
    if not text.strip():
        raise typer.BadParameter("it is empty: give a path, or leave it out")
    return Path(text)


def _flag(option: Option, *, lists: bool, again: bool = False) -> inspect.Parameter:
    """The parameter of a command from which Typer makes the flag of an option."""
    metavar = option.metavar
    if lists and option.is_listed:
        metavar = f"{metavar}[,{metavar}...]"
    info = typer.Option(
        option.flag,
        metavar=metavar,
        help=plain(option.help),
        show_default="as before" if again else plain(option.default_text) or True,
        parser=_path if option.cli_type is Path else None,
    )
    default = None if again else option.cli_default
    value_type: Any = option.cli_type if default is not None else option.cli_type | None  # type: ignore[operator]
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[value_type, info],
    )
