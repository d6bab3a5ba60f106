"""Each package's docstring lists its modules, where it lists some, and no file or class is too large to be read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import autofit

PACKAGES = sorted(path.parent for path in Path(autofit.__file__).parent.rglob("__init__.py"))
LEAST_LISTED = 2
MOST_LINES = 350
MOST_METHODS = 25


def listing(package: Path) -> str:
    """The docstring of a package."""
    return ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""


@pytest.mark.parametrize(
    "package", [one for one in PACKAGES if listing(one).count(".py") >= LEAST_LISTED], ids=lambda one: one.name
)
def test_a_package_that_lists_its_modules_lists_all(package: Path) -> None:
    """Someone who looks for the place of something would read a list that is out of date."""
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert {name for name in modules if name not in listing(package)} == set()
    named = {word.strip("`:;,()") for word in listing(package).split()}
    there = {path.name for path in package.rglob("*.py")}
    assert {word for word in named if word.endswith(".py") and "/" not in word} <= there


def too_large(path: Path) -> list[str]:
    """What of a file is over its limit: the file itself, or classes in it."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    found = [f"{path.name} has {lines} lines"] if lines > MOST_LINES else []
    for one in ast.walk(ast.parse(text)):
        if isinstance(one, ast.ClassDef):
            methods = sum(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) for each in one.body)
            found += [f"{path.name}: {one.name} has {methods} methods"] if methods > MOST_METHODS else []
    return found


OF_PYTHON = {"_exit", "_replace"}


def private_names(path: Path) -> set[str]:
    """The private names that a file asks of other objects than `self`, `cls` and `super()`."""
    found = set()
    for one in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(one, ast.Attribute) and ast.unparse(one.value) not in {"self", "cls", "super()"}:
            found.add(one.attr)
        if isinstance(one, ast.Call) and ast.unparse(one.func) in {"getattr", "hasattr", "setattr"}:
            found |= {str(each.value) for each in one.args[1:2] if isinstance(each, ast.Constant)}
    return {name for name in found if name.startswith("_") and not name.startswith("__")} - OF_PYTHON


def test_one_module_uses_private_names_of_keras() -> None:
    """A release of Keras without such a name would end a training, where it is asked for without a fallback."""
    worker = Path(autofit.__file__).parent / "worker"
    using = {path.name for path in worker.rglob("*.py") if private_names(path)}
    assert using == {"keras_internals.py"}


@pytest.mark.slow
def test_no_file_and_no_class_is_too_large() -> None:
    """A file would become the place for everything, and nobody read it to its end."""
    files = sorted(Path(autofit.__file__).parent.rglob("*.py"))
    assert len(files) > len(PACKAGES)
    assert [words for path in files for words in too_large(path)] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 1\n" * 350, []),
        ("x = 1\n" * 351, ["a.py has 351 lines"]),
        ("class Many:\n" + "    def __call__(self): ...\n" * 25, []),
        ("class Many:\n" + "    def __call__(self): ...\n" * 26, ["a.py: Many has 26 methods"]),
    ],
    ids=["long", "too long", "large", "too large"],
)
def test_what_is_too_large_is_seen(tmp_path: Path, text: str, found: list[str]) -> None:
    """The test above could not fail."""
    (tmp_path / "a.py").write_text(text)
    assert too_large(tmp_path / "a.py") == found
