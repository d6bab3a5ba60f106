"""Each package's docstring lists its modules: where it lists some, it lists all."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import autofit

PACKAGES = sorted(path.parent for path in Path(autofit.__file__).parent.rglob("__init__.py"))
LEAST_LISTED = 2


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
