"""The documents name files, tests and modules that exist; the site has a place for each document."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import autofit
import autofit.errors
from autofit.cli.app import all_commands
from autofit.config.option_table import OPTIONS
from autofit.storage.run_directory import RunDirectory

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


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """The functions that MkDocs calls."""
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "docs/site_pages.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def headings(document: Path) -> set[str]:
    """The anchors of a document's headings, as MkDocs and GitHub make them of plain words."""
    lines = re.findall(r"(?m)^#+ (.*)$", document.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_link_to_a_heading_finds_it(document: str) -> None:
    """A reader would land at the top of a page, and search it."""
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text)
    targets = [((ROOT / document).parent / path if path else ROOT / document, anchor) for path, anchor in links]
    assert [(str(path), anchor) for path, anchor in targets if anchor not in headings(path)] == []


def test_the_site_has_each_document_and_no_other(site: ModuleType) -> None:
    """`make docs` would fail, or a document be one that nobody finds on the site."""
    named = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    made = {path for path in site.PAGES_OF_ROOT.values() if path.endswith(".md")}
    written = {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    decisions = {path for path in written if path.startswith("decisions/0")}
    assert named == made | written - decisions
    assert [path for path in site.PAGES_OF_ROOT if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("text", "page", "on_site"),
    [
        ("[a](docs/guides/data.md)", "index.md", "[a](guides/data.md)"),
        ("![a](docs/images/probe.png)", "index.md", "![a](images/probe.png)"),
        ("[a](docs/promises.md#the-cases)", "how/architecture.md", "[a](../promises.md#the-cases)"),
        ("[a](../../README.md)", "guides/training.md", "[a](../index.md)"),
        ("[a](../ARCHITECTURE.md)", "promises.md", "[a](how/architecture.md)"),
        (
            "[a](data.md#tables) [b](https://keras.io/a.md)",
            "guides/x.md",
            "[a](data.md#tables) [b](https://keras.io/a.md)",
        ),
        ("[a](autofit/demo/CREDIT.md)", "index.md", "[a](credit.md)"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(site: ModuleType, text: str, page: str, on_site: str) -> None:
    """A link that holds on one of both would lead nowhere on the other."""
    assert site.for_the_site(text, page) == on_site


def test_the_reference_has_each_public_name() -> None:
    """A function that a user may call would stand nowhere."""
    described = re.findall(r"(?m)^::: ([\w.]+)$", (ROOT / "docs/reference/python.md").read_text(encoding="utf-8"))
    errors = [name for name in autofit.__all__ if hasattr(autofit.errors, name)]
    assert sorted(set(autofit.__all__) - {path.rpartition(".")[2] for path in described}) == errors
    assert "autofit.errors" in described
    for path in described:
        if path != "autofit.errors":
            module, _, name = path.rpartition(".")
            assert re.search(rf"(?m)^(def|class) {name}\b", (ROOT / f"{module.replace('.', '/')}.py").read_text())


def test_the_sites_tables_have_every_option_and_command(site: ModuleType) -> None:
    """An option would be missing where a reader looks for it; or be without its default or its words."""
    rows = {line.split("`")[1]: line for line in site.table_of_options().splitlines() if line.startswith("| `")}
    shown = [option for option in OPTIONS if "run" in option.commands]
    assert list(rows) == [option.name for option in shown]
    assert [option.name for option in shown if not rows[option.name].endswith(f"| {option.description} |")] == []
    assert rows["dropout"].startswith("| `dropout` | `0.2` | ")
    assert rows["flip"].startswith("| `flip` | on | ")
    commands: Any = site.sections_of_commands()
    for name in ("train", "resume", "predict", "export", "profiles list", "cache clear"):
        assert f"\n## autofit {name}\n" in commands
    assert "| `--batch-size` | " in commands
    assert all(row.count("|") - row.count(r"\|") == 3 for row in commands.splitlines() if row.startswith("| `--"))


def test_each_command_is_in_the_overview() -> None:
    """A command would be one that nobody finds."""
    named = set(re.findall(r"`(?:autofit )?([a-z]+)[^`]*`", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert sorted(all_commands().commands.keys() - named) == []


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "docs/reference/run-directory.md"])
def test_each_file_of_a_run_directory_is_named(document: str) -> None:
    """A reader would take a file for left over, and remove it."""
    files = RunDirectory(Path("run"))
    properties = [name for name, value in vars(RunDirectory).items() if isinstance(value, property)]
    paths = [*(getattr(files, name) for name in properties), *files.feature_records()]
    names = {path.name for path in paths if isinstance(path, Path)} - {files.doubts.name}  # of `check` alone
    assert len(names) > 15
    text = (ROOT / document).read_text(encoding="utf-8")
    assert sorted(name for name in names if name not in text) == []


def test_what_may_change_when_a_run_goes_on_is_listed() -> None:
    """A reader would think that another value begins another run."""
    text = (ROOT / "docs/guides/resuming.md").read_text(encoding="utf-8")
    may = [option.name for option in OPTIONS if option.on_rerun != "same"]
    assert [name for name in may if f"`{name}`" not in text and f"`{name}=" not in text] == []
