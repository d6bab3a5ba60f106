"""Where a run is kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autofit import api
from autofit.errors import UserError

if TYPE_CHECKING:
    from tests.api.conftest import Network, Stages, Train
    from tests.support.views import RecordingView


def test_a_run_without_a_name_gets_one_of_its_own(
    stages: Stages, photos: Path, view: RecordingView, network: Network
) -> None:
    """Two runs that start in the same second would write into one folder."""
    results = [api.run(photos, batch_size=8, seed=seed, view=view) for seed in range(3)]
    results.append(api.run(photos, batch_size=8, model=network, view=view))
    names = [str(result.run_dir.relative_to(Path.cwd())) for result in results]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"runs/\d{8}-\d{6}-MobileNetV2(-\d)?", name) for name in names[:3])
    assert re.fullmatch(r"runs/\d{8}-\d{6}-model", names[3])
    assert len(stages.runs) == 4


def test_two_runs_in_one_second_are_numbered(
    stages: Stages, photos: Path, view: RecordingView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second would be taken for the first, and refused or resumed."""
    monkeypatch.setattr("time.strftime", lambda _: "20260801-120000")
    names = [api.run(photos, batch_size=8, seed=seed, view=view).run_dir.name for seed in range(3)]
    assert names == [f"20260801-120000-MobileNetV2{end}" for end in ("", "-2", "-3")]
    assert len(stages.runs) == 3


@pytest.mark.usefixtures("stages")
@pytest.mark.parametrize("in_memory", [False, True])
def test_a_call_with_a_mistake_leaves_no_directory(photos: Path, view: RecordingView, *, in_memory: bool) -> None:
    """Each try would leave an empty folder in `runs`, or all images that were given in memory."""
    data = (np.zeros((8, 4, 4, 3), np.uint8), [0, 1] * 4) if in_memory else (photos,)
    for mistake in ({"class_weight": {"no class": 2.0}}, {"validation": 0, "monitor": "val_loss"}):
        with pytest.raises(UserError, match=r"no class|needs validation"):
            api.run(*data, batch_size=4, view=view, **mistake)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())
    with pytest.raises(UserError, match="no class"):
        api.run(*data, batch_size=4, view=view, run_dir="named", class_weight={"no class": 2.0})
    assert Path("named").is_dir()


def test_a_relative_run_directory_is_where_the_call_was_made(
    stages: Stages, photos: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker, in another folder, would look for it elsewhere."""
    home = photos.parent / "home"
    monkeypatch.setenv("HOME", str(home))
    assert train(photos, "x/a").run_dir == photos.parent / "x" / "a"
    assert train(photos, "~/a").run_dir == home / "a"
    assert all(run["files"].path.is_absolute() for run in stages.runs)


@pytest.mark.usefixtures("stages")
def test_a_run_directory_that_cannot_be_made_is_refused(photos: Path, train: Train, view: RecordingView) -> None:
    """A FileExistsError would be shown for a file that stands where the folder should."""
    Path("a").touch()
    Path("runs").touch()
    with pytest.raises(UserError, match=r"run directory .*a cannot be made"):
        train(photos, "a")
    with pytest.raises(UserError, match=r"run directory .*runs/.* cannot be made"):
        api.run(photos, batch_size=8, view=view)


@pytest.mark.parametrize("name", ["test.npy", "model.keras", "report.html"])
def test_files_of_the_users_own_are_not_written_over(stages: Stages, photos: Path, train: Train, name: str) -> None:
    """`run_dir="."` where somebody's own `test.npy` is would remove it: a run without test images has none."""
    Path("a").mkdir()
    (Path("a") / name).write_text("mine")
    with pytest.raises(UserError, match=rf"a holds {name} and no run, which would write over it: give a run_dir that"):
        train(photos, "a")
    assert {path.name: path.read_text() for path in Path("a").iterdir()} == {name: "mine"}
    assert stages.runs == []


def test_a_class_whose_name_is_no_utf8_is_refused(stages: Stages, photos: Path, train: Train) -> None:
    """The run would be probed, and then fail when its request is written down."""
    (photos / "cat").rename(photos / "c\udcfft")
    with pytest.raises(UserError, match=r"'c.udcfft' is a name that is not UTF-8: rename it"):
        train(photos)
    with pytest.raises(UserError, match="is a name that is not UTF-8"):
        train(photos, "\udcff")
    assert stages.runs == []
