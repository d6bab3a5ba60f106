"""Photos that are new, gone or changed since a run began."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autofit import api
from autofit.errors import InterruptedRunError, UserError
from autofit.protocol.messages import BadImage
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import RunDirectory

if TYPE_CHECKING:
    from tests.api.conftest import Interrupted, Stages, Train
    from tests.support.views import RecordingView

A = RunDirectory(Path("a"))


def test_added_gone_and_changed_photos_are_named(stages: Stages, photos: Path, train: Train) -> None:
    """A user would read that the images are others, and look for which of ten thousand."""
    train(photos)
    for number in range(3):
        (photos / "cat" / f"new-{number}.jpg").write_bytes(b"x")
    (photos / "dog" / "1.jpg").unlink()
    with pytest.raises(UserError) as refused:
        train(photos)
    assert str(refused.value) == (
        "3 photos added, 1 gone (such as cat/new-0.jpg) since the run in a began: give another run_dir to train on them"
    )
    assert len(stages.runs) == 1


@pytest.fixture
def changed(stages: Stages, photos: Path, train: Train) -> Path:
    """A photo that was written after the run in `a`, which is finished."""
    before = photos.stat().st_ctime
    train(photos)
    assert len(stages.runs) == 1
    record = RunRecord.load(A.run)
    record.model_copy(update={"started": before - 3600}).save(A.run)
    for path in photos.rglob("*.jpg"):
        os.utime(path, (before - 7200, before - 7200))
    path = photos / "cat" / "3.jpg"
    os.utime(path, (before - 100, before - 100))
    return path


@pytest.mark.usefixtures("changed")
def test_a_changed_photo_is_no_longer_the_one_that_was_trained_on(photos: Path, train: Train) -> None:
    """The result of other pixels would be returned without a word."""
    with pytest.raises(
        UserError, match=r"^1 photo changed \(such as cat/3.jpg\) since the run in a began: give another"
    ):
        train(photos)


def test_a_photo_that_could_not_be_read_may_be_put_right(
    stages: Stages, photos: Path, train: Train, changed: Path
) -> None:
    """Whoever mends the photo that the run complained about could not go on with it."""
    bad = BadImage(path=str(changed), reason="truncated")
    failed = ResultRecord.load(A.result).model_copy(update={"status": "failed", "quarantined": [bad]})
    failed.save(A.result)
    train(photos)
    assert len(stages.runs) == 2


def test_before_anything_is_trained_photos_may_change(
    stages: Stages, photos: Path, train: Train, interrupted: Interrupted
) -> None:
    """Nothing is lost by it, and the run would have to be given another name."""
    interrupted(photos)
    record = RunRecord.load(A.run)
    record.model_copy(update={"started": record.started - 3600}).save(A.run)
    train(photos)
    assert len(stages.runs) == 2


def test_another_run_on_more_photos_is_begun_and_said(stages: Stages, photos: Path, view: RecordingView) -> None:
    """The model of yesterday's photos would be returned; or a call that always worked be refused."""
    stages.ends = [InterruptedRunError("asked to stop"), None]
    with pytest.raises(InterruptedRunError):
        api.run(photos, batch_size=8, view=view)
    (photos / "cat" / "new.jpg").write_bytes(b"x")
    api.run(photos, batch_size=8, view=view)
    first, second = (run["files"].path for run in stages.runs)
    assert first != second
    (said,) = [message for message in view.messages if "another run is begun" in message]
    assert said.startswith("1 photo added (such as cat/new.jpg) since the run in runs/")


def test_a_row_more_in_a_table_of_several_labels_is_named(stages: Stages, photos: Path, train: Train) -> None:
    """With more sets of labels than labels it was an IndexError; else the first labels stood for the first sets."""
    rows = [f"photos/cat/{number}.jpg,{'' if number < 5 else 'a;b' if number < 10 else 'b'}\n" for number in range(20)]
    rows += [f"photos/dog/{number}.jpg,a\n" for number in range(20)]
    table = photos.parent / "t.csv"
    table.write_text("path,labels\n" + "".join(rows))
    train("t.csv", multi_label=True)
    table.write_text("path,labels\n" + "".join(rows) + "photos/dog/99.jpg,b\n")
    with pytest.raises(UserError, match=r"^1 photo added \(such as photos/dog/99.jpg\) since the run in a began"):
        train("t.csv", multi_label=True)
    table.write_text("path,labels\n" + "".join([*rows[:-1], "photos/dog/19.jpg,b\n"]))
    with pytest.raises(UserError, match=r"in another class or split \(such as photos/dog/19.jpg\)"):
        train("t.csv", multi_label=True, validation=0.2)
    assert len(stages.runs) == 1


def test_a_changed_test_photo_is_named_as_well(stages: Stages, photos: Path, train: Train) -> None:
    """The figures of the test would be returned for other pixels than those it was made with."""
    shutil.copytree(photos, "held-out")
    since = photos.stat().st_ctime
    for path in (*photos.rglob("*.jpg"), *Path("held-out").rglob("*.jpg")):
        os.utime(path, (since - 7200, since - 7200))
    train(photos, test="held-out")
    record = RunRecord.load(A.run)
    record.model_copy(update={"started": since - 3600}).save(A.run)
    train(photos, test="held-out")
    os.utime("held-out/dog/7.jpg", (since - 100, since - 100))
    with pytest.raises(UserError, match=r"^1 photo changed \(such as .*held-out/dog/7.jpg\) since the run in a began"):
        train(photos, test="held-out")
    assert len(stages.runs) == 1
