"""`autofit.sample()`: a folder that `autofit.run` takes as it is, and nothing of the user's mixed into it."""

from __future__ import annotations

from pathlib import Path

import pytest

import autofit
from autofit.dataset import scan


def test_the_sample_is_a_folder_of_classes_that_a_run_understands(tmp_path: Path) -> None:
    """The first example that a newcomer runs would fail, or train on other classes than it says."""
    folder = autofit.sample(tmp_path / "digits")
    assert folder == tmp_path / "digits"
    index = scan(folder)
    assert index.class_names == tuple("0123456789")
    assert len(index.paths) == 1797


def test_by_default_it_is_written_where_it_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user would not find the images; or a second call would write them anew."""
    monkeypatch.chdir(tmp_path)
    folder = autofit.sample()
    assert folder == Path("autofit-sample")
    image = folder / "7" / next(iter(sorted(path.name for path in (folder / "7").iterdir())))
    written = image.stat().st_mtime_ns
    assert autofit.sample() == folder
    assert image.stat().st_mtime_ns == written


def test_a_folder_with_anything_else_is_refused(tmp_path: Path) -> None:
    """The digits would become further classes among a user's own photos."""
    (tmp_path / "cats").mkdir()
    with pytest.raises(autofit.UserError, match="holds 'cats', which is not of the sample: name a new folder"):
        autofit.sample(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["cats"]


def test_digits_of_the_users_own_are_not_mixed_with_it(tmp_path: Path) -> None:
    """A folder of classes 0 to 9 is what a user of digits has: 1,797 others would have been added to them."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "mine.png").write_bytes(b"x")
    with pytest.raises(autofit.UserError, match=r"holds '7/mine\.png', which is not of the sample: name a new folder"):
        autofit.sample(tmp_path)
    assert [path.name for path in tmp_path.rglob("*.png")] == ["mine.png"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """The first thing that a newcomer sees would be a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(autofit.UserError, match=r"sample: .*file cannot be used \(Not a directory\)"):
        autofit.sample(tmp_path / "file")
    with pytest.raises(autofit.UserError, match=r"sample: .*below cannot be (used|written)"):
        autofit.sample(tmp_path / "file" / "below")
