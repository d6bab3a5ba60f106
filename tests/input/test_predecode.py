"""The images that another process decodes have the right pixels, and neither process nor memory is left behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import psutil
import pytest
from PIL import Image

from autofit.config.options import make_options
from autofit.dataset import ImageIndex
from autofit.input.augment import Augmentation
from autofit.input.decode import decode_image
from autofit.input.image_files import UnreadableImageError
from autofit.input.predecode import PredecodedImages, predecoding
from autofit.input.sample_reader import SampleReader
from autofit.input.views import ViewIndex
from autofit.machine import hardware
from autofit.protocol.cache_job import CacheJob
from autofit.protocol.job import Job, TrainJob
from autofit.protocol.messages import MemoryBudget
from autofit.runs.model_source import model_source
from autofit.runs.plan import training_plan
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
    for predecoded in begun:
        predecoded.stop()


def finished(predecoded: PredecodedImages) -> PredecodedImages:
    """Wait until it has decoded everything, then stop it."""
    assert predecoded._process.wait(PATIENCE_SECONDS) == 0
    predecoded.stop()
    return predecoded


@pytest.mark.slow
def test_the_pixels_are_those_of_the_decoder(begin: Callable[[int], PredecodedImages], run_dir: Path) -> None:
    """Features would be of other pixels than without it, and a file that cannot be read would be an image."""
    predecoded = finished(begin(COUNT + 5))
    arguments = predecoded._process.args
    assert isinstance(arguments, list)
    assert arguments[-1] == "2"  # threads
    for sample, path in enumerate(paths(run_dir)):
        out = np.zeros((*SIZE, 3), np.uint8)
        assert predecoded.read_into(sample, path, out) is (sample != BAD)
        expected = np.zeros((*SIZE, 3), np.uint8) if sample == BAD else decode_image(path, SIZE)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.slow
def test_images_of_several_labels_are_decoded_as_well(begin: Callable[[int], PredecodedImages], run_dir: Path) -> None:
    """Their list has other columns: the process ended at once, and a run began as slowly as without it."""
    index = ImageIndex.read_csv(run_dir / "samples.csv", str(run_dir.parent), ["one"])
    several = replace(index, class_names=("one", "two"), label_sets=((), (0, 1)))
    several.write_csv(RunDirectory(run_dir).samples)
    predecoded, out = finished(begin(2)), np.zeros((*SIZE, 3), np.uint8)
    assert predecoded.read_into(0, index.path(0), out)


@pytest.mark.slow
def test_it_decodes_no_more_than_it_was_asked_for(begin: Callable[[int], PredecodedImages], run_dir: Path) -> None:
    """It would write beyond its memory, or take more memory than its share."""
    predecoded, out = finished(begin(2)), np.empty((*SIZE, 3), np.uint8)
    assert [predecoded.read_into(sample, path, out) for sample, path in enumerate(paths(run_dir))] == [True] * 2 + [
        False
    ] * (COUNT - 2)


@pytest.mark.slow
def test_a_file_that_has_changed_since_is_decoded_again(
    begin: Callable[[int], PredecodedImages], run_dir: Path
) -> None:
    """The features of a photo that was replaced would be cached for the new one, for all later runs."""
    predecoded, out = finished(begin(COUNT)), np.empty((*SIZE, 3), np.uint8)
    changes: list[Callable[[Path], object]] = [Path.unlink, os.utime, lambda path: path.write_bytes(b"other")]
    for sample, (path, change) in enumerate(zip(paths(run_dir), changes, strict=False)):
        assert predecoded.read_into(sample, path, out)
        change(Path(path))
        assert not predecoded.read_into(sample, path, out)


def test_stopped_at_once_it_gives_whole_images_or_none(begin: Callable[[int], PredecodedImages], run_dir: Path) -> None:
    """A worker would wait for an image that no process decodes, or use a half-decoded one."""
    predecoded, out = begin(COUNT), np.empty((*SIZE, 3), np.uint8)
    predecoded.stop()
    assert predecoded._process.returncode is not None
    for sample, path in enumerate(paths(run_dir)):
        if predecoded.read_into(sample, path, out):
            np.testing.assert_array_equal(out, decode_image(path, SIZE))


def in_memory() -> int:
    """How many mappings of such a file this process has."""
    return Path("/proc/self/maps").read_text().count("autofit-predecoded")


@pytest.mark.slow
def test_after_drop_it_takes_no_memory(begin: Callable[[int], PredecodedImages], run_dir: Path) -> None:
    """A hundred megabytes would be held for the whole training, and be measured as memory that a worker needs."""
    predecoded, first, out = finished(begin(COUNT)), paths(run_dir)[0], np.empty((*SIZE, 3), np.uint8)
    assert predecoded.read_into(0, first, out)
    assert in_memory()
    predecoded.drop()
    assert not predecoded.read_into(0, first, out)
    assert not in_memory()


@pytest.mark.slow
def test_the_reader_uses_predecoded_images(begin: Callable[[int], PredecodedImages], run_dir: Path) -> None:
    """All images would be decoded twice, or one be exchanged for another."""
    predecoded, index = (
        finished(begin(COUNT - 2)),
        ImageIndex.read_csv(run_dir / "samples.csv", str(run_dir.parent), ["one"]),
    )
    assert predecoded._table is not None
    predecoded._table.rows[1] = 7  # differs from what the decoder gives
    reader, out = SampleReader(index, SIZE, 0, Augmentation(), predecoded=predecoded), np.empty((*SIZE, 3), np.uint8)
    decode = reader.of_views(ViewIndex(COUNT, 0), np.zeros((COUNT, 2), np.uint64))
    for sample, path in enumerate(index.paths):
        if sample != BAD:
            decode(sample, out)
            expected = np.full_like(out, 7) if sample == 1 else decode_image(run_dir.parent / path, SIZE)
            np.testing.assert_array_equal(out, expected)
    with pytest.raises(UnreadableImageError):
        decode(BAD, out)
    reader.drop_predecoded()
    decode(1, out)
    assert (out != 7).any()


@pytest.mark.slow
def test_it_ends_with_the_worker_whatever_ends_that(run_dir: Path) -> None:
    """Promise 10: a worker that was killed would leave a decoding process behind."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8))
    first, *others = map(Path, paths(run_dir))
    photo.save(first, "PNG", compress_level=0)
    for path in others:
        path.unlink()
        path.hardlink_to(first)
    program = (
        "import sys, time; from pathlib import Path; from autofit.input.predecode import PredecodedImages;"
        f"predecoded = PredecodedImages(Path({str(run_dir)!r}), {str(run_dir.parent)!r}, {SIZE}, count=8, threads=1);"
        "print(predecoded._process.pid, flush=True); time.sleep(60)"
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


def test_it_starts_only_if_the_job_says_so(run_dir: Path) -> None:
    """It would save no run any time, or a run whose features are cached would decode images that it does not need."""

    def begun(given: Job) -> bool:
        with predecoding(given) as predecoded:
            pass
        assert predecoded is None or predecoded._process.returncode is not None
        return predecoded is not None

    assert begun(job(run_dir))
    assert not begun(job(run_dir, images=0))
    assert not begun(job(run_dir, isolated=False))
    RunDirectory(run_dir).features.touch()
    assert not begun(job(run_dir))


@pytest.mark.parametrize("later", [{"augment": "light"}, {"feature_cache": False}])
def test_it_does_not_start_for_a_stage_whose_images_are_others(run_dir: Path, later: dict[str, object]) -> None:
    """A process would decode images that nobody asks for: those with the margin of augmentation are larger."""
    given = job(run_dir)
    assert isinstance(given.work, TrainJob)
    work = given.work.model_copy(update={"plan": given.work.plan.model_copy(update=later)})
    with predecoding(given.model_copy(update={"work": work})) as predecoded:
        assert predecoded is None


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 2), (5, 4), (6, 4), (64, 4)])
def test_it_leaves_one_core_to_the_import_and_has_four_threads_at_most(
    run_dir: Path, cores: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with many cores it would hold an image a core in memory, or on a small one slow down the import."""
    asked = Mock(spec=PredecodedImages)
    monkeypatch.setattr("autofit.input.predecode.PredecodedImages", asked)  # no process is started
    given = job(run_dir)
    assert isinstance(given.work, TrainJob)
    work = given.work.model_copy(update={"plan": given.work.plan.model_copy(update={"threads": cores})})
    with predecoding(given.model_copy(update={"work": work})) as predecoded:
        assert predecoded is not None
    assert asked.call_args.kwargs["threads"] == threads
