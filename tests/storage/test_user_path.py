"""A path with `~` means what a shell makes of it, also where there is no such user."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import autofit
from autofit.api.display import Plot
from autofit.api.predictions_csv import CsvFile
from autofit.errors import UserError
from autofit.storage.user_path import user_path

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = "~no-such-user-of-autofit/photos"


def test_the_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run would be kept in a folder called `~`."""
    monkeypatch.setenv("HOME", "/home/someone")
    assert user_path("~/runs/a") == Path("/home/someone/runs/a")
    assert user_path(Path("~")) == Path("/home/someone")
    assert user_path("a/~b") == Path("a/~b")


@pytest.mark.parametrize(
    "call",
    [
        autofit.check,
        autofit.run,
        autofit.resume,
        autofit.write_report,
        autofit.Result,
        lambda path: autofit.evaluate(path, "photos"),
    ],
    ids=["check", "run", "resume", "write_report", "Result", "evaluate"],
)
def test_a_user_who_does_not_exist_is_one_line_that_names_the_path(
    call: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Could not determine home directory.` came as a RuntimeError with a traceback, and named no path."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(autofit.UserError, match="no-such-user-of-autofit"):
        call(NOBODY)


def test_a_folder_whose_name_begins_with_a_tilde_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some programs name copies so; its photos were found, and then the path could not be made absolute."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat/a", "cat/b", "dog/a", "dog/b"):
        path = tmp_path / "~backup-of-autofit" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(path)
    report = autofit.check("~backup-of-autofit", find_wrong_labels=False)
    assert [size.name for size in report.classes] == ["cat", "dog"]


def test_the_page_of_a_check_can_be_saved_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each other `save` expands `~`; this one said that there is no such folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("cat/a", "cat/b", "dog/a", "dog/b"):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(path)
    autofit.check("~/photos", find_wrong_labels=False).save("~/page.html")
    assert (tmp_path / "page.html").read_text().startswith("<!")


@pytest.mark.parametrize("given", [3, None, True, b"run", ["run"], np.zeros((2, 2)), "a\0b"], ids=str)
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (autofit.Result, "run_dir"),
        (autofit.resume, "run_dir"),
        (lambda given: autofit.evaluate(given, "photos"), "run_dir"),
        (autofit.export, "run_dir"),
        (autofit.write_report, "run_dir"),
        (autofit.sample, "folder"),
        (CsvFile, "path"),
        (lambda given: Plot(b"").save(given), "path"),
    ],
    ids=["Result", "resume", "evaluate", "export", "write_report", "sample", "CsvFile", "Plot.save"],
)
def test_what_is_no_path_is_refused_by_name(call: Callable[[Any], object], name: str, given: object) -> None:
    """It was a TypeError from below, which names neither the argument nor what to give."""
    with pytest.raises(UserError, match=f"^{name} is .*, which is no path: give text, or a pathlib.Path$"):
        call(given)


@pytest.mark.parametrize("given", [3, b"photos", ["photos"], np.zeros((2, 2))], ids=str)
def test_a_folder_of_a_call_is_refused_by_name(given: Any, tmp_path: Path) -> None:
    """So were the folders of the run, of the images and of the cache."""
    with pytest.raises(UserError, match=r"^run_dir is .*, which is no path"):
        autofit.run(tmp_path, run_dir=given)
    with pytest.raises(UserError, match=r"^images_in is .*, which is no path"):
        autofit.check(tmp_path, images_in=given)
    with pytest.raises(UserError, match=r"^cache is .*, which is no path"):
        autofit.extract(tmp_path, cache=given)
