"""Images of a drive that stutters or hangs: tried again, the drive named, and nobody waits for ever."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autofit.cache.identity import identities_of
from autofit.input import decode, drive_patience
from autofit.input.batch_loader import BatchLoader, LoadedBatch
from autofit.input.decode import decode_image
from autofit.input.drive_patience import DrivePatience, mount_of, wait_seconds
from autofit.input.image_files import DriveError, ImageContent
from autofit.storage.stutter import STUTTERS

SIZE = (8, 8)


class Drive:
    """The lowest layer: opens files as before, but for those that it makes fail or hang."""

    def __init__(self) -> None:
        self.fails: dict[str, list[int]] = {}
        self.hangs: set[str] = set()
        self.opened: list[str] = []
        self.released = threading.Event()

    def opener(self, whole: type[Any]) -> type[Any]:
        """The class that opens image files, on this drive."""
        drive = self

        class OnDrive(whole):  # type: ignore[misc]
            def __init__(self, path: str) -> None:
                name = os.path.basename(path)  # noqa: PTH119
                drive.opened.append(name)
                if name in drive.hangs:
                    assert drive.released.wait(30)
                super().__init__(path)
                self.on_drive = name

            def read(self, size: int | None = -1, /) -> bytes:
                """Fail as often as planned, then read."""
                if left := drive.fails.get(self.on_drive):
                    number = left.pop(0)
                    raise OSError(number, os.strerror(number))
                return bytes(super().read(size))

        return OnDrive


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    drive = Drive()
    monkeypatch.setattr(decode, "ImageContent", drive.opener(ImageContent))
    monkeypatch.setattr(drive_patience, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(drive_patience, "LONGEST_WAIT_SECONDS", 0.01)
    yield drive
    drive.released.set()


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    return [str(path) for path in paths]


def batch_of(photos: list[str], patience: DrivePatience | None = None, threads: int = 1) -> LoadedBatch:
    """All photos as one batch."""
    with BatchLoader(photos, SIZE, threads=threads, buffer_bytes=10**6, patience=patience) as loader:
        (batch,) = loader.batches([range(len(photos))])
        return batch


@pytest.mark.parametrize("number", sorted(STUTTERS), ids=errno.errorcode.get)
def test_an_error_that_passes_costs_no_image(drive: Drive, photos: list[str], number: int) -> None:
    """A network drive that was cut off for seconds would cost the epoch its images, or end the run."""
    drive.fails["1.png"] = [number] * 4
    batch = batch_of(photos)
    assert batch.skipped == ()
    assert batch.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert drive.opened.count("1.png") == 5


def test_another_error_is_not_tried_again(drive: Drive, photos: list[str]) -> None:
    """Each missing or damaged file would cost seconds."""
    drive.fails["1.png"] = [errno.EACCES]
    assert batch_of(photos).skipped == ((1, "Permission denied"),)
    assert drive.opened.count("1.png") == 1


def test_an_image_that_fails_while_others_answer_is_out_and_comes_back(drive: Drive, photos: list[str]) -> None:
    """One bad sector would hold the training up for a minute, or lose its image for good."""
    drive.fails["0.png"] = [errno.EIO] * 1000
    began = time.monotonic()
    batch = batch_of(photos, threads=2)
    assert time.monotonic() - began < 10
    assert batch.skipped == ((0, "Input/output error"),)
    drive.fails.clear()
    assert batch_of(photos).skipped == ()


def test_a_drive_that_is_gone_is_waited_for_once_not_once_an_image(
    drive: Drive, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand images of a drive that was pulled out would take a thousand minutes."""
    monkeypatch.setattr(drive_patience, "SILENCE_SECONDS", 0.3)
    for photo in photos:
        drive.fails[Path(photo).name] = [errno.ENOTCONN] * 10_000
    assert [reason for _, reason in batch_of(photos).skipped] == ["Transport endpoint is not connected"] * 4
    assert drive.opened.count("0.png") > 5
    assert [drive.opened.count(f"{number}.png") for number in (1, 2, 3)] == [1, 1, 1]


def test_a_hung_drive_is_named_and_the_waiting_can_be_stopped(
    drive: Drive, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar would stand still without a word, and Ctrl-C not work before the drive does."""
    monkeypatch.setattr(drive_patience, "SAY_SECONDS", 0.2)
    monkeypatch.setattr(drive_patience, "ASK_SECONDS", 0.05)
    drive.hangs.add("2.png")
    said: list[str] = []

    def go_on() -> None:
        if said:
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        batch_of(photos, DrivePatience(said.append, go_on))
    assert time.monotonic() - began < 6  # the loader is closed, too
    (line,) = said
    assert line.startswith(f"the drive {mount_of(photos[2])} does not answer, for 0 s now: waiting for it")


def test_a_stuttering_drive_is_named_with_its_error_and_when_it_answers_again(
    drive: Drive, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would know why the training is slow, or that it is over."""
    monkeypatch.setattr(drive_patience, "SAY_SECONDS", 0.2)
    monkeypatch.setattr(drive_patience, "ASK_SECONDS", 0.05)
    drive.fails["0.png"] = [errno.ESTALE] * 60
    said: list[str] = []
    assert batch_of(photos, DrivePatience(said.append)).skipped == ()
    assert "does not answer" in said[0]
    assert "(Stale file handle): its images are tried again" in said[0]
    assert "answers again, after" in said[1]
    assert len(said) == 2


def test_waits_grow_to_a_limit() -> None:
    """A drive that comes back would be noticed late, or asked without a pause."""
    waits = [wait_seconds(tries) for tries in range(1, 8)]
    assert waits == pytest.approx([0.1, 0.3, 0.9, 2.7, 8.1, 10, 10])
    assert wait_seconds(10**6) == 10


def test_an_error_of_the_future_itself_is_not_taken_for_waiting() -> None:
    """A training whose decoder runs into a timeout would wait for ever."""
    future: Future[None] = Future()
    future.set_exception(TimeoutError("of its own"))
    with pytest.raises(TimeoutError, match="of its own"):
        DrivePatience().result(future)


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/mnt/my drive/photos/1.jpg", "/mnt/my drive"),
        ("/mnt/my driveway/1.jpg", "/"),
        ("/mnt/my drive", "/mnt/my drive"),
        ("/elsewhere", "/"),
    ],
)
def test_a_drive_is_named_by_the_folder_where_it_is_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, mount: str
) -> None:
    """The message would name a drive that is well, or hang itself by asking the drive."""
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n36 22 0:32 / /mnt/my\\040drive rw - fuse drive rw\nodd\n"
    )
    monkeypatch.setattr(drive_patience, "MOUNTS", table)
    assert mount_of(path) == mount


def test_an_image_alone_fails_at_once_as_one_of_the_drive(drive: Drive, photos: list[str]) -> None:
    """Who decodes one image could not tell a broken file from a broken drive."""
    drive.fails["0.png"] = [errno.EIO]
    with pytest.raises(DriveError, match="Input/output error"):
        decode_image(photos[0], SIZE)
    assert decode_image(photos[0], SIZE).dtype == np.uint8


def test_an_identity_is_read_again(photos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of a drive that stuttered for a moment would not be cached."""
    true_identities, whole = identities_of(photos, "stat"), os.read
    failed: list[int] = []

    def failing_first(file: int, count: int) -> bytes:
        if len(failed) < 2:
            failed.append(file)
            raise OSError(errno.EIO, "Input/output error")
        return whole(file, count)

    monkeypatch.setattr(os, "read", failing_first)
    assert np.array_equal(identities_of(photos, "stat"), true_identities)
