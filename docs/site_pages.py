"""Pages of the site that are made when it is built: MkDocs calls the `on_…` functions (`hooks` in mkdocs.yml).

The documents in the folder above become pages, links between all of them are made links of the site, and the tables of
options and commands are written from their declarations. No TensorFlow is imported.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from autofit.cli.app import all_commands
from autofit.config.option import Option, plain
from autofit.config.option_table import OPTIONS

ROOT: Final = Path(__file__).parents[1]
PAGES_OF_ROOT: Final[Mapping[str, str]] = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "how/architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "autofit/demo/CREDIT.md": "credit.md",
    "examples/colab.ipynb": "examples/colab.ipynb",
}
"""The documents outside of `docs/` that are on the site, and their paths there."""

LINK: Final = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(\))")
HEADING_OF_TABLE: Final = "| option | default | |\n|---|---|---|\n"


def on_files(files: Any, config: Any) -> Any:
    """Add the documents of the folder above as pages."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - the tests of this module do without MkDocs

    for source, page in PAGES_OF_ROOT.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in what is generated, and make links of the repository links of the site."""
    for marker, made in GENERATED.items():
        if marker in markdown:
            markdown = markdown.replace(marker, made())
    return for_the_site(markdown, page.file.src_uri)


def for_the_site(markdown: str, page: str) -> str:
    """A page's text with links that hold on the site.

    Args:
        markdown: the text, whose links hold in the repository.
        page: the page's path on the site.
    """
    sources = {made: source for source, made in PAGES_OF_ROOT.items()}
    source_folder = posixpath.dirname(sources.get(page, f"docs/{page}"))

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(source_folder, match[2]))
        there = PAGES_OF_ROOT.get(target, target.removeprefix("docs/"))
        relative = posixpath.relpath(there, posixpath.dirname(page) or ".")
        return f"{match[1]}{relative}{match[3] or ''}{match[4]}"

    return LINK.sub(link, markdown)


def table_of_options() -> str:
    """All options of a run, one row each."""
    return HEADING_OF_TABLE + "\n".join(row(one) for one in OPTIONS if "run" in one.commands)


def row(option: Option) -> str:
    """An option as a row: its name, its default, what it does."""
    if option.default_text:
        default = option.default_text
    elif option.default is None or option.default == ():
        default = ""
    elif isinstance(option.default, bool):
        default = "on" if option.default else "off"
    else:
        default = f"`{option.default}`"
    return f"| `{option.name}` | {default} | {option.description} |"


def sections_of_commands() -> str:
    """All commands with their arguments and flags, as `--help` has them."""
    return "\n".join(line for name, command in _commands(all_commands(), "autofit") for line in _section(name, command))


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        path = f"{prefix} {name}"
        if hasattr(command, "commands"):
            yield from _commands(command, path)
        elif not command.hidden:
            yield path, command


def _section(name: str, command: Any) -> Iterator[str]:
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    words = [name, *(f"{(one.metavar or one.name).upper()}{'...' if one.nargs < 0 else ''}" for one in arguments)]
    yield from (f"\n## {name}\n", "```text", " ".join([*words, "[OPTIONS]"]), "```\n", f"{command.help or ''}\n")
    flags = [one for one in shown if one.param_type_name == "option" and one.name != "help"]
    if flags:
        yield "| flag | what it does |\n|---|---|"
        for one in flags:
            text = plain(one.help or "").replace("|", "\\|")
            yield f"| `{' / '.join([*one.opts, *one.secondary_opts])}` | {text} |"


GENERATED: Final[Mapping[str, Callable[[], str]]] = {
    "<!-- options -->": table_of_options,
    "<!-- commands -->": sections_of_commands,
}
"""What is written in the place of a marker, by the marker."""
