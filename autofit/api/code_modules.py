"""Reads the files of the user's own modules, and of those that they import, without importing any.

What is imported under a name that is only known when the code runs is not followed.
"""

from __future__ import annotations

import ast
import dis
import functools
import importlib.util
import sys
import types
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from autofit.api.code_text import syntax_sha256, syntax_tree
from autofit.protocol.object_state import INSTALLED
from autofit.storage.safe_files import read_bounded

MOST_MODULES, MOST_BYTES = 200, 2**22
"""How many modules are read at most, and how large the file of one may be."""

_NEVER_OWN = {*sys.stdlib_module_names, "autofit"}
_OF_PACKAGES = {"site-packages", "dist-packages"}
_INSTALLED = (*INSTALLED, *(str(Path(folder).resolve()) for folder in INSTALLED))
_CONSTANTS = {"LOAD_CONST", "LOAD_SMALL_INT"}


def own_sources(names: Iterable[str], folders: Sequence[str]) -> dict[str, str]:
    """The hashes of the sources of modules and of what they import, by name; comments and layout do not count.

    Modules of Python and of installed packages are left out, as are those without a source that can be read.

    Args:
        names: of the modules; a name that is none is left out.
        folders: in which modules are looked for, in this order.
    """
    found: dict[str, str] = {}
    waiting, seen = list(names), set[str]()
    while waiting and len(found) < MOST_MODULES:
        name = waiting.pop(0)
        path = None if name in seen else _own_file(name, folders)
        seen.add(name)
        parent = name.rpartition(".")[0]
        if path is None:
            continue
        try:
            content = read_bounded(path, MOST_BYTES, follow_links=True)
            found[name], imported = _code_and_imports(content, name if path.name == "__init__.py" else parent)
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        waiting += [parent, *imported] if parent else imported
    return found


@functools.lru_cache(maxsize=2 * MOST_MODULES)
def _code_and_imports(content: bytes, package: str) -> tuple[str, tuple[str, ...]]:
    """The hash of the code in a file, and the names of what it imports.

    Kept by the content, not by the time of the file: an edit may keep that.
    """
    tree = syntax_tree(content)
    return syntax_sha256(tree), tuple(_imported_by(tree, package))


def imports_in(code: types.CodeType, package: str) -> Iterator[str]:
    """The names of the modules that code and the code within it import; of `from a import b` both `a` and `a.b`.

    `package` is what relative imports are relative to.
    """
    loaded: list[object] = []
    for step in dis.get_instructions(code):
        if step.opname in _CONSTANTS:
            loaded.append(step.argval)
        elif step.opname == "IMPORT_NAME":
            level, names = loaded[-2:]
            yield from _names(step.argval, names if isinstance(names, tuple) else (), level, package)
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            yield from imports_in(item, package)


def _imported_by(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _names(node.module or "", [alias.name for alias in node.names], node.level, package)


def _names(module: str, names: Sequence[str], level: object, package: str) -> Iterator[str]:
    if isinstance(level, int) and level:
        try:
            module = importlib.util.resolve_name("." * level + module, package)
        except ImportError:  # it leads out of the package, or there is none
            return
    yield module
    yield from (f"{module}.{name}" for name in names if name != "*")


def _own_file(name: str, folders: Sequence[str]) -> Path | None:
    """The file of a module; None if it has none in these folders, or belongs to Python or an installed package."""
    parts = name.split(".")
    if not all(parts) or parts[0] in _NEVER_OWN:
        return None
    for folder in folders:
        for path in (Path(folder, *parts, "__init__.py"), Path(folder, *parts).with_suffix(".py")):
            if path.is_file():
                return None if _is_installed(path) else path
    return None


def _is_installed(path: Path) -> bool:
    return str(path).startswith(_INSTALLED) or not _OF_PACKAGES.isdisjoint(path.parts)
