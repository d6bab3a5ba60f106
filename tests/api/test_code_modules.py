"""The user's own modules and what they import, read from their files."""

from __future__ import annotations

import ast
import os
import types
from pathlib import Path

import pytest

from autofit.api import code_modules
from autofit.api.code_modules import MOST_MODULES, imports_in, own_sources

NEVER = "raise SystemExit(3)\n"


def write(folder: Path, **sources: str) -> list[str]:
    """Modules by their names, with `__` for the dot; gives the folders in which they are looked for."""
    for name, source in sources.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NEVER + source)
    return ["/nowhere", str(folder)]


@pytest.mark.parametrize(
    "statement",
    [
        "import blocks",
        "import blocks as b",
        "from blocks import build",
        "from blocks import *",
        "def build():\n    import blocks",
        "try:\n    import blocks\nexcept ImportError:\n    pass",
    ],
)
def test_what_a_module_imports_of_the_users_own_is_read_and_never_imported(tmp_path: Path, statement: str) -> None:
    """An edited helper would return the old model; or a stranger's code run in the parent."""
    folders = write(tmp_path, net=statement, blocks="import net\nimport deeper", deeper="")
    assert own_sources(["net"], folders).keys() == {"net", "blocks", "deeper"}


@pytest.mark.parametrize(
    "statement",
    ["from . import blocks", "from .blocks import build", "from pack import blocks", "import pack.blocks"],
)
def test_the_modules_of_a_package_are_read(tmp_path: Path, statement: str) -> None:
    """A network that is spread over a package would be taken for the same after an edit of any file but one."""
    folders = write(tmp_path, pack__net=statement, pack__blocks="from .. import outside", outside="")
    assert own_sources(["pack.net"], folders).keys() == {"pack.net", "pack.blocks"}
    write(tmp_path, pack__named="")
    (tmp_path / "pack" / "__init__.py").write_text("from .named import x")  # which is run before all others
    assert own_sources(["pack.net"], folders).keys() == {"pack", "pack.net", "pack.blocks", "pack.named"}


def test_installed_packages_are_not_read(tmp_path: Path) -> None:
    """Each update of a package would make another request, and Keras's sources take seconds to read."""
    installed = tmp_path / "lib" / "site-packages"
    folders = [*write(tmp_path, net="import json, helper, autofit, random", random=""), *write(installed, helper="")]
    assert own_sources(["net"], folders).keys() == {"net"}


def test_a_file_that_is_no_python_is_left_out(tmp_path: Path) -> None:
    """A helper that is being written would end the call in a traceback."""
    folders = write(tmp_path, net="import broken, nul, folder", broken="no python", nul="\0")
    (tmp_path / "folder.py").mkdir()
    assert own_sources(["net"], folders).keys() == {"net"}


def test_comments_do_not_count_and_code_does(tmp_path: Path) -> None:
    """A run could not be resumed after a comment was added to a helper."""
    first = own_sources(["net"], write(tmp_path, net="import blocks", blocks="WIDTH = 8"))
    assert own_sources(["net"], write(tmp_path, blocks="# a comment\nWIDTH  =  8")) == first
    assert own_sources(["net"], write(tmp_path, blocks="WIDTH = 9")) != first


def test_an_old_escape_in_a_helper_is_not_warned_of(tmp_path: Path) -> None:
    """Python 3.12 would print a warning about the user's module at each call; one that is an error left it out."""
    folders = write(tmp_path, net="import blocks", blocks="DIGITS = '\\d'")
    assert own_sources(["net"], folders).keys() == {"net", "blocks"}


def test_a_file_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each function with an import inside would take a second more to compare, in a project of a hundred modules."""
    folders = write(tmp_path, net="import blocks", blocks="ONCE = 8")
    first = own_sources(["net"], folders)
    parsed: list[str] = []

    def imported_by(tree: ast.Module, _: str) -> list[str]:
        parsed.append(ast.unparse(tree))
        return []

    monkeypatch.setattr(code_modules, "_imported_by", imported_by)
    assert own_sources(["net"], folders) == first
    assert parsed == []
    written = (tmp_path / "blocks.py").stat()
    write(tmp_path, blocks="ONCE = 9")
    os.utime(tmp_path / "blocks.py", ns=(written.st_atime_ns, written.st_mtime_ns))  # as some editors and copies do
    assert own_sources(["net"], folders) != first
    assert len(parsed) == 1


def test_not_all_of_a_large_project_is_read(tmp_path: Path) -> None:
    """A call would take minutes to begin."""
    folders = write(tmp_path, **{f"m{number}": f"import m{number + 1}" for number in range(MOST_MODULES + 2)})
    assert len(own_sources(["m0"], folders)) == MOST_MODULES


def code_of_function(source: str) -> types.CodeType:
    space: dict[str, types.FunctionType] = {}
    exec(source, space)  # noqa: S102
    return space["build"].__code__


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import nets", ["nets"]),
        ("import nets.blocks as b", ["nets.blocks"]),
        ("from nets import blocks, build", ["nets", "nets.blocks", "nets.build"]),
        ("from . import blocks", ["pack", "pack.blocks"]),
        ("from .blocks import build", ["pack.blocks", "pack.blocks.build"]),
        ("from ... import far", []),
        ("def inner():\n        import nets", ["nets"]),
        ("class Inner:\n        import nets", ["nets"]),
        ("return lambda: __import__('nets')", []),
    ],
)
def test_what_a_function_imports_is_known_by_its_bytecode(statement: str, expected: list[str]) -> None:
    """A cell has no file to look into, and an edit of what it imports would return the old model."""
    assert list(imports_in(code_of_function(f"def build():\n    {statement}"), "pack")) == expected
