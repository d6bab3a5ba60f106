"""Images that another process decodes: the same pixels or none, and nothing left of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from autofit.config.options import make_options
from autofit.dataset import ImageIndex
from autofit.input.decode import UnreadableImageError, decode_image
from autofit.input.predecode import PredecodedImages, early_images
from autofit.input.sample_reader import SampleReader
from autofit.input.views import ViewIndex
from autofit.machine import hardware
from autofit.protocol.job import CacheJob, Job, TrainJob
from autofit.protocol.messages import MemoryBudget
from autofit.runs.plan import model_source, training_plan
from autofit.storage.run_directory import RunDirectory

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux's")

SIZE = (20, 30)
BAD = 3
COUNT = 8
PATIENCE_SECONDS = 30.0


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of eight photos, of which one is none; a name of one is no UTF-8, as Linux allows."""
    names = [f"{number}.png" for number in range(COUNT - 1)] + [os.fsdecode(b"\xff.png")]
    random = np.random.default_rng(0)
    for number, name in enumerate(names):
        Image.fromarray(random.integers(0, 256, (50, 40, 3), np.uint8)).save(tmp_path / "a.png")
        (tmp_path / "a.png").rename(tmp_path / name)
        if number == BAD:
            (tmp_path / name).write_bytes(b"no photo")
    index = ImageIndex(str(tmp_path), names, array("i", [0] * COUNT), ("one",), COUNT)
    (tmp_path / "run").mkdir()
    index.write_csv(RunDirectory(tmp_path / "run").samples)
    return tmp_path / "run"


def paths(run_dir: Path) -> list[str]:
    return [str(run_dir.parent / name) for name in ImageIndex.read_csv(run_dir / "samples.csv", "", ["one"]).paths]


@pytest.fixture
def begin(run_dir: Path) -> Iterator[Callable[[int], PredecodedImages]]:
    begun: list[PredecodedImages] = []

    def begin(count: int) -> PredecodedImages:
        begun.append(PredecodedImages(run_dir, str(run_dir.parent), SIZE, count=count, threads=2))
        return begun[-1]

    yield begin
    for early in begun:
        early.stop()


def finished(early: PredecodedImages) -> PredecodedImages:
    """It has done all that it was asked for, and is stopped."""
    assert early._process.wait(PATIENCE_SECONDS) == 0
    early.stop()
    return early


def test_the_pixels_are_those_of_the_decoder(begin: Callable[[int], PredecodedImages], run_dir: Path) -> None:
    """Features would be of other pixels than without it, and a file that cannot be read would be an image."""
    early = finished(begin(COUNT + 5))
    for sample, path in enumerate(paths(run_dir)):
        out = np.zeros((*SIZE, 3), np.uint8)
        assert early.read_into(sample, path, out) is (sample != BAD)
        expected = np.zeros((*SIZE, 3), np.uint8) if sample == BAD else decode_image(path, SIZE)
        np.testing.assert_array_equal(out, expected)


def test_there_are_as_many_as_were_asked_for(begin: Callable[[int], PredecodedImages], run_dir: Path) -> None:
    """It would write past its memory, or take more than its share."""
    early, out = finished(begin(2)), np.empty((*SIZE, 3), np.uint8)
    assert [early.read_into(sample, path, out) for sample, path in enumerate(paths(run_dir))] == [True] * 2 + [
        False
    ] * (COUNT - 2)


@pytest.mark.parametrize("change", [lambda path: path.unlink(), os.utime, lambda path: path.write_bytes(b"other")])
def test_a_file_that_has_changed_since_is_decoded_again(
    begin: Callable[[int], PredecodedImages], run_dir: Path, change: Callable[[Path], object]
) -> None:
    """The features of a photo that is gone would be kept for the one in its place, for all later runs."""
    early, first = finished(begin(COUNT)), paths(run_dir)[0]
    change(Path(first))
    assert not early.read_into(0, first, np.empty((*SIZE, 3), np.uint8))


def test_stopped_at_once_it_has_done_nothing_or_something(
    begin: Callable[[int], PredecodedImages], run_dir: Path
) -> None:
    """A worker would wait for an image that nobody decodes, or take a half of one."""
    early, out = begin(COUNT), np.empty((*SIZE, 3), np.uint8)
    early.stop()
    assert early._process.returncode is not None
    for sample, path in enumerate(paths(run_dir)):
        if early.read_into(sample, path, out):
            np.testing.assert_array_equal(out, decode_image(path, SIZE))


def in_memory() -> int:
    """How often such a file is mapped by this process."""
    return Path("/proc/self/maps").read_text().count("autofit-early-images")


def test_dropped_it_takes_no_memory(begin: Callable[[int], PredecodedImages], run_dir: Path) -> None:
    """A hundred megabytes would stay for as long as the training, and count as what a worker needs."""
    early, first, out = finished(begin(COUNT)), paths(run_dir)[0], np.empty((*SIZE, 3), np.uint8)
    assert early.read_into(0, first, out)
    assert in_memory()
    early.drop()
    assert not early.read_into(0, first, out)
    assert not in_memory()


def test_pictures_take_what_is_there(begin: Callable[[int], PredecodedImages], run_dir: Path) -> None:
    """All would be decoded twice, or an image be taken for another."""
    early, index = (
        finished(begin(COUNT - 2)),
        ImageIndex.read_csv(run_dir / "samples.csv", str(run_dir.parent), ["one"]),
    )
    assert early._table is not None
    early._table.rows[1] = 7  # to be told from the decoder's
    pictures, out = SampleReader(index, SIZE, 0, augments=False, early=early), np.empty((*SIZE, 3), np.uint8)
    decode = pictures.of_slots(ViewIndex(COUNT, 0), np.zeros((COUNT, 2), np.uint64))
    for sample, path in enumerate(index.paths):
        if sample != BAD:
            decode(sample, out)
            expected = np.full_like(out, 7) if sample == 1 else decode_image(run_dir.parent / path, SIZE)
            np.testing.assert_array_equal(out, expected)
    with pytest.raises(UnreadableImageError):
        decode(BAD, out)
    pictures.drop_early()
    decode(1, out)
    assert (out != 7).any()


def test_it_ends_with_the_worker_whatever_ends_that(run_dir: Path) -> None:
    """Promise 10: a worker that was killed would leave a process behind that goes on decoding."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8))
    for path in paths(run_dir):
        photo.save(path, "PNG", compress_level=0)
    program = (
        "import sys, time; from pathlib import Path; from autofit.input.predecode import PredecodedImages;"
        f"early = PredecodedImages(Path({str(run_dir)!r}), {str(run_dir.parent)!r}, {SIZE}, count=8, threads=1);"
        "print(early._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        decoder = psutil.Process(int(worker.stdout.readline()))
        worker.kill()
    until = time.monotonic() + PATIENCE_SECONDS
    with contextlib.suppress(psutil.NoSuchProcess):
        while decoder.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < until
            time.sleep(0.01)


def job(run_dir: Path, *, images: int = 4, isolated: bool = True) -> Job:
    options = make_options(image_size="32x48")
    work = TrainJob(
        run_dir=str(run_dir),
        data_root=str(run_dir.parent),
        class_names=["one"],
        plan=training_plan(options, COUNT, None, hardware.detect(inline=False)),
        micro_batch_size=8,
        launched_at=0.0,
        cache=CacheJob(folder=str(run_dir / "cache"), limit_bytes=10**9, by="stat", early_images=images),
    )
    budget = MemoryBudget(device="cpu", limit_bytes=10**9, is_given=False)
    return Job(attempt=1, source=model_source(options, 1), memory=budget, work=work, isolated=isolated)


def test_it_begins_where_the_job_says_so(run_dir: Path) -> None:
    """No run would be the faster for it, or one with features would decode what it does not need."""

    def begun(told: Job) -> bool:
        with early_images(told) as early:
            pass
        assert early is None or early._process.returncode is not None
        return early is not None

    assert begun(job(run_dir))
    assert not begun(job(run_dir, images=0))
    assert not begun(job(run_dir, isolated=False))
    RunDirectory(run_dir).features.touch()
    assert not begun(job(run_dir))
