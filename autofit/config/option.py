"""The declaration of an option. It imports nothing heavy: the command line reads the declarations for `--help`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

Command = Literal["run", "probe", "sweep", "evaluate", "check", "estimate", "extract"]
EVERYWHERE: Final[tuple[Command, ...]] = ("run", "probe", "sweep")
ONE_NETWORK: Final[tuple[Command, ...]] = ("run", "probe")
OF_TABLES: Final[tuple[Command, ...]] = ("run", "evaluate", "check", "extract")
OF_DATA: Final[tuple[Command, ...]] = ("run", "check", "extract")
PROBES: Final[tuple[Command, ...]] = ("probe", "sweep")
MEASURING: Final[tuple[Command, ...]] = (*PROBES, "estimate")

Check = Callable[[str, Any], Any]
"""A check of one value: takes the option's name and the value; returns the value in one form, or raises UserError."""


OnRerun = Literal["same", "any", "unfinished", "epochs"]
"""What another value of an option means for an existing run. `same`: the value must be the same, else it is another
request. `any`: the same training goes on, under other conditions. `unfinished`: as `any` while the run is unfinished
and both calls give a value, else as `same`. `epochs`: more or less of the same training (`autofit/runs/rerun.py`)."""


def unchecked(name: str, value: Any) -> Any:
    """Return the value as it is: the function that uses it checks it."""
    del name
    return value


@dataclass(frozen=True, slots=True)
class Option:
    """An option of `run`, `probe` and the like, declared once; texts and signatures are tested against it.

    Attributes:
        name: the name in Python; on the command line `--name`, with dashes.
        default: the default in Python, and on the command line after conversion to `cli_type`.
        help: one sentence for `--help`, in Markdown; values stand in backquotes.
        details: further sentences for the docstrings and the documents.
        check: the check of a value.
        commands: the functions that take it. `probe` and `sweep` are both `autofit probe` on the command line.
        fields: the fields of `Options` that hold the checked value, by default one with the option's name. Several
            fields hold the items of a tuple. Without a field the value is only checked, or not part of the request.
        default_text: the default in words, where it depends on other options or on the data.
        cli_type: the type on the command line; None for an option that only Python has.
        metavar: the placeholder in `--help`; by default the name of the type.
        is_listed: whether `autofit probe` takes several values with commas, and `sweep` takes a list as an argument.
        on_rerun: what another value means when the run is called again or resumed.
    """

    name: str
    default: Any
    help: str
    details: str = ""
    check: Check = unchecked
    commands: tuple[Command, ...] = ("run",)
    fields: tuple[str, ...] | None = None
    default_text: str = ""
    cli_type: type | None = str
    metavar: str | None = None
    is_listed: bool = False
    on_rerun: OnRerun = "same"

    @property
    def field_names(self) -> tuple[str, ...]:
        """The fields of `Options` that hold the checked value."""
        return (self.name,) if self.fields is None else self.fields

    @property
    def description(self) -> str:
        """The whole text about the option, without its default."""
        return f"{self.help} {self.details}".strip()

    @property
    def documentation(self) -> str:
        """The text in the docstrings: the description, and the default where the signature does not show it."""
        return f"{self.description} Default: {self.default_text}." if self.default_text else self.description

    @property
    def flag(self) -> str:
        """The flag on the command line."""
        dashed = f"--{self.name.replace('_', '-')}"
        return f"{dashed}/--no-{dashed[2:]}" if self.cli_type is bool and self.default else dashed

    @property
    def cli_default(self) -> Any:
        """The default on the command line: the same value, converted to the flag's type."""
        return None if self.default is None or self.cli_type is None else self.cli_type(self.default)


def plain(text: str) -> str:
    """The text without Markdown, for a terminal."""
    return text.replace("`", "")
