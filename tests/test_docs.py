"""The documents name files, tests and modules that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("benchmarks/*.md"),
        *ROOT.glob("profiles/*.md"),
    ]
)
NAMED_PATH = re.compile(r"`((?:autofit|tests|benchmarks|profiles|docs)/[\w./-]*)(?:::(\w+?)(?:…)?)?`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_files_and_tests_that_a_document_names_exist(document: str) -> None:
    """A reader would look for a file, or a promise point to a test, that is gone."""
    text = (ROOT / document).read_text(encoding="utf-8")
    missing = [path for path, _ in NAMED_PATH.findall(text) if not (ROOT / path).exists()]
    missing += [
        f"{path}::{test}"
        for path, test in NAMED_PATH.findall(text)
        if test and path not in missing and f"def {test}" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    missing += [link for link in LINK.findall(text) if not (ROOT / document).parent.joinpath(link).exists()]
    assert missing == []


def test_the_architecture_names_every_package() -> None:
    """Whoever looks for a new package on the map would not find it."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    packages = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("autofit/*/**/__init__.py")}
    assert sorted(package for package in packages if f"`{package}/`" not in text) == []


def test_the_index_lists_every_decision() -> None:
    """A decision that is not in the index is one that nobody finds."""
    index = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    decisions = {path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md")}
    assert set(re.findall(r"\(([0-9]{4}-[\w-]+\.md)\)", index)) == decisions
