"""The pass before the first epoch, with a stand-in for the network: which rows it finds and makes, and their locks."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autofit.cache.feature_rows import FeatureRows
from autofit.cache.identity import identities_of
from autofit.cache.store import CacheStore
from autofit.config.options import make_options
from autofit.dataset import ImageIndex
from autofit.errors import UserError
from autofit.input.augment import Augmentation
from autofit.input.batch_loader import BatchLoader
from autofit.input.identified_files import CHANGED, IdentifiedFiles
from autofit.input.sample_reader import SampleReader
from autofit.input.views import ViewIndex
from autofit.machine import hardware
from autofit.protocol.cache_job import CacheJob
from autofit.protocol.job import Job, TrainJob
from autofit.protocol.messages import MemoryBudget
from autofit.runs.model_source import model_source
from autofit.runs.plan import training_plan
from autofit.worker.features.extraction import ExtractionPass, Views
from autofit.worker.runtime.phase_times import PhaseTimes

pytestmark = pytest.mark.slow  # imports TensorFlow

SIZE = (32, 32)
WIDTH = 3


class Reports:
    """A heartbeat and stop conditions that keep the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.times = PhaseTimes()

    def phase(self, *_: object, **__: object) -> None:
        """Nothing."""

    def beat(self, **_: object) -> None:
        """Nothing."""

    def event(self, event: Any) -> None:
        """Keep the message."""
        if event.message:
            self.messages.append(event.message)

    def stop_if_met(self) -> None:
        """Nobody asks it to stop."""


def mean_colours(images: np.ndarray) -> np.ndarray:
    """The features of the stand-in: the mean of each channel, `(n, 3)`."""
    return np.asarray(images.mean(axis=(1, 2)), np.float32)


class Runs:
    """Makes runs over the same photos, each in a run directory of its own, with one cache."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, CacheStore(folder / "cache", 10**9)
        self.reports = Reports()
        self.cut: str | None = None
        self.forward = mean_colours
        self.open: list[FeatureRows] = []
        self.unreadable: dict[int, str] = {}

    def photos(self, *numbers: int) -> list[str]:
        """The paths of photos, each made once, of a colour of its own."""
        paths = [str(self.folder / f"{number}.png") for number in numbers]
        for number, path in zip(numbers, paths, strict=True):
            if not Path(path).exists():
                Image.new("RGB", (40, 40), (number, 2 * number, 0)).save(path)
        return paths

    def job(self, name: str, count: int) -> Job:
        """The job of a run of this name."""
        options = make_options(image_size="32")
        work = TrainJob(
            run_dir=str(self.folder / name),
            data_root=str(self.folder),
            class_names=["one"],
            plan=training_plan(options, count, None, hardware.detect(inline=False)),
            micro_batch_size=8,
            launched_at=0.0,
        )
        (self.folder / name).mkdir(exist_ok=True)
        budget = MemoryBudget(device="cpu", limit_bytes=10**9, is_given=False)
        return Job(attempt=1, source=model_source(options, 1), memory=budget, isolated=True, work=work)

    def run(self, name: str, paths: list[str], *, on_decode: Callable[[], None] = lambda: None) -> FeatureRows | None:
        """Run the pass over these photos; `on_decode` is called before each is decoded."""
        index = ImageIndex("/", paths, array("i", [0] * len(paths)), ("one",), len(paths))
        views = ViewIndex(len(paths), 0)
        since = time.time()
        identities = views.identities(identities_of(paths, "stat"))
        reader = SampleReader(index, SIZE, 0, Augmentation())
        reader.watch(IdentifiedFiles(identities, "stat", index.path, since))
        decode = reader.of_views(views, identities)

        def decode_after(sample: int, out: np.ndarray) -> None:
            on_decode()
            decode(sample, out)

        session: Any = SimpleNamespace(
            built=SimpleNamespace(
                feature_shape=(WIDTH,), cut=self.cut, features=None, precision="float32", below_head=None
            ),
            extract=self.forward,
            pads=False,
            features_of=lambda images, _: self.forward(images),
        )
        reports: Any = self.reports
        extraction = ExtractionPass(
            self.job(name, len(paths)),
            session,
            "0" * 64,
            Views(index.path, identities, decode_after, views),
            reports,
            reports,
            on_unreadable=lambda _: None,
            on_shrink=lambda _: None,
        )
        cache_job = CacheJob(folder=str(self.store.folder), limit_bytes=10**9, by="stat", fixed_size=4)
        with BatchLoader(index.path, SIZE, threads=2, buffer_bytes=10**6) as loader:
            rows = extraction.run(cache_job, loader)
        self.unreadable = extraction.unreadable
        if rows is not None:
            self.open.append(rows)
        return rows


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    made = Runs(tmp_path)
    yield made
    for rows in made.open:
        rows.close()


def expected(*numbers: int) -> np.ndarray:
    return np.array([(number, 2 * number, 0) for number in numbers], np.float32)


def test_rows_that_were_extracted_are_locked(runs: Runs) -> None:
    """`autofit cache clear` would remove an entry that a training reads."""
    rows = runs.run("a", runs.photos(1, 2, 3))
    assert rows is not None
    assert runs.store.clear() == (0, 0)
    np.testing.assert_array_equal(rows.gather(np.arange(3)), expected(1, 2, 3))


def test_rows_that_were_there_already_are_locked(runs: Runs) -> None:
    """The second training with the same photos would lose its entry."""
    first = runs.run("a", runs.photos(1, 2, 3))
    assert first is not None
    first.close()
    assert runs.run("b", runs.photos(1, 2, 3)) is not None
    assert "all extracted before" in runs.reports.messages[-1]
    assert runs.store.clear() == (0, 0)


def test_rows_are_locked_where_all_missing_images_are_unreadable(runs: Runs) -> None:
    """One broken photo, which is tried again in each run, would leave the entry of all others without its lock."""
    paths = [*runs.photos(1, 2), str(runs.folder / "bad.png")]
    Path(paths[-1]).write_bytes(b"no photo")
    first = runs.run("a", paths)
    assert first is not None
    first.close()
    rows = runs.run("b", paths)
    assert rows is not None
    assert runs.store.clear() == (0, 0)
    assert rows.known().tolist() == [True, True, False]
    np.testing.assert_array_equal(rows.gather(np.arange(2)), expected(1, 2))
    rows.close()
    assert runs.store.clear()[0] == 2  # the entry of the rows, and the empty one of the second run


def test_rows_that_were_found_stay_locked_while_others_are_extracted(runs: Runs) -> None:
    """The photos of an earlier run would have no row any more, and no reason why."""
    first = runs.run("a", runs.photos(1, 2))
    assert first is not None
    first.close()
    removed: list[int] = []
    rows = runs.run("b", runs.photos(1, 2, 3), on_decode=lambda: removed.append(runs.store.clear()[0]))
    assert removed
    assert not any(removed)
    assert rows is not None
    np.testing.assert_array_equal(rows.gather(np.arange(3)), expected(1, 2, 3))


def test_rows_that_another_process_removes_without_locks_are_done_without(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a drive that has no locks the training would end with an error, or leave photos out."""
    first = runs.run("a", runs.photos(1, 2))
    assert first is not None
    first.close()
    monkeypatch.setattr("autofit.cache.entry.lock", lambda *_, **__: None)
    monkeypatch.setattr("autofit.cache.store.lock", lambda *_, **__: None)
    assert runs.run("b", runs.photos(1, 2, 3), on_decode=lambda: runs.store.clear() and None) is None
    assert "training without the feature cache" in runs.reports.messages[-1]


def test_nothing_stays_locked_after_a_failure(runs: Runs) -> None:
    """A run within a notebook that failed would keep its entries from being cleared for as long as that is open."""
    first = runs.run("a", runs.photos(1, 2))
    assert first is not None
    first.close()

    def fail() -> None:
        raise RuntimeError("the decoder failed")

    with pytest.raises(RuntimeError, match="the decoder failed"):
        runs.run("b", runs.photos(1, 2, 3), on_decode=fail)
    assert runs.store.clear()[0] == 2


def test_an_extraction_that_waits_for_its_loader_says_so(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fast card would extract no faster than a slow one, and nobody would know why."""
    monkeypatch.setattr("autofit.input.loader_limit.LEAST_SECONDS", 0.0)
    runs.run("a", runs.photos(1, 2, 3), on_decode=lambda: time.sleep(0.3))
    (told,) = [message for message in runs.reports.messages if "the loader is the limit" in message]
    assert told.endswith("a copy on a local disk would help; the next run takes the features from the cache")


def mean_colours_at_a_cut(images: np.ndarray) -> np.ndarray:
    """The same features as they leave a cut."""
    return mean_colours(images).astype(np.float16)


def test_features_at_a_cut_are_kept_as_float16_apart_from_those_of_another(runs: Runs) -> None:
    """The head would be trained on the output of another layer, or the cache be twice as large."""
    paths = runs.photos(1, 2)
    pooled = runs.run("pooled", paths)
    runs.forward = mean_colours_at_a_cut
    kept: list[FeatureRows | None] = []
    for cut in ("one", "other", "one"):
        runs.cut = cut
        kept.append(runs.run(f"{cut} {len(kept)}", paths))
    assert pooled is not None
    names = {rows.entries[0].folder.name for rows in (pooled, *kept) if rows}
    assert len(names) == 3
    assert [rows.gather(np.arange(2)).dtype for rows in (pooled, *kept) if rows] == ["float32"] + ["float16"] * 3
    assert "all extracted before" in runs.reports.messages[-1]
    for rows in kept:
        assert rows is not None
        np.testing.assert_array_equal(rows.gather(np.arange(2)), expected(1, 2))


@pytest.mark.parametrize(("cut", "trained"), [(None, "the head on them"), ("block", "the layers above them")])
def test_what_an_epoch_trains_is_told(runs: Runs, cut: str | None, trained: str) -> None:
    """Fine-tuning would be told to train the head."""
    runs.cut = cut
    runs.run("one", runs.photos(1, 2))
    assert runs.reports.messages[-1] == f"features of 2 images: extracted 2 now; each epoch trains {trained}"


def test_values_beyond_float16_are_refused(runs: Runs) -> None:
    """The loss would be infinite, and nobody know why."""
    runs.cut = "high"
    runs.forward = lambda images: (mean_colours_at_a_cut(images) + 1) * np.float16(np.inf)
    with pytest.raises(UserError, match="beyond those of float16"):
        runs.run("high", runs.photos(1, 2))


def test_features_that_are_no_numbers_are_not_cached(runs: Runs) -> None:
    """The run would train on decoded images instead, and blame the learning rate for a loss that is no number."""
    runs.forward = lambda images: np.where(mean_colours(images) == 4, np.float32(np.nan), 1)
    with pytest.raises(UserError, match=r"no numbers for .*2\.png, though"):
        runs.run("one", runs.photos(1, 2, 3))
    assert runs.store.listing().entries[0].images == 0


def test_a_photo_that_is_edited_while_features_are_extracted_is_not_cached(runs: Runs) -> None:
    """The edited picture's features would be those of the old bytes, in each run after these have come back."""
    paths = runs.photos(1, 2, 3)
    before = Path(paths[1]).read_bytes()

    def edit() -> None:
        edited = Path(f"{paths[1]}-{threading.get_ident()}")
        Image.new("RGB", (40, 40), (90, 9, 9)).save(edited, "PNG")
        edited.replace(paths[1])

    rows = runs.run("a", paths, on_decode=edit)
    assert rows is not None
    assert rows.known().tolist() == [True, False, True]
    assert runs.unreadable == {1: CHANGED}
    Path(paths[1]).write_bytes(before)
    again = runs.run("b", paths)
    assert again is not None
    np.testing.assert_array_equal(again.gather(np.arange(3)), expected(1, 2, 3))


def unzip(path: str, colour: tuple[int, int, int]) -> None:
    """Write an image whose size and time are those of any other."""
    Image.new("RGB", (40, 40), colour).save(path)
    os.truncate(path, 500)  # what follows the end of a PNG does not count
    os.utime(path, ns=(10**18, 10**18))


def test_another_data_set_of_equal_names_sizes_and_times_has_its_own_features(runs: Runs) -> None:
    """Two data sets that were unzipped over each other would train on the pixels of the first."""
    for red in (10, 50):
        for number, path in enumerate(runs.photos(1, 2)):
            unzip(path, (red + number, 60, 0))
        rows = runs.run(f"red {red}", runs.photos(1, 2))
        assert rows is not None
        np.testing.assert_array_equal(rows.gather(np.arange(2)), np.array([(red, 60, 0), (red + 1, 60, 0)], np.float32))
    assert len(runs.store.listing().entries) == 2


def test_features_in_the_cache_that_differ_from_live_ones_are_thrown_away(runs: Runs) -> None:
    """A network whose features changed without a change of the key, or mixed up rows, would be trained on for ever."""
    first = runs.run("a", runs.photos(1, 2, 3))
    assert first is not None
    (stale,) = [entry.folder for entry in first.entries]
    first.close()
    runs.forward = lambda images: mean_colours(images) + 7
    rows = runs.run("b", runs.photos(1, 2, 3))
    assert rows is not None
    np.testing.assert_array_equal(rows.gather(np.arange(3)), expected(1, 2, 3) + 7)
    assert not stale.exists()
    assert any("thrown away" in message for message in runs.reports.messages)


def test_features_that_differ_each_time_are_done_without(runs: Runs) -> None:
    """The run would extract for ever, or train on numbers that say nothing."""
    noise = np.random.default_rng(0)
    runs.forward = lambda images: mean_colours(images) + noise.uniform(10, 100)
    assert runs.run("a", runs.photos(1, 2)) is None
    assert "training without the feature cache" in runs.reports.messages[-1]
    assert runs.store.listing().entries == []


def test_images_that_have_become_unreadable_are_not_compared(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose features are all in the cache would crash because a drive has just come off."""
    paths = runs.photos(1, 2)
    first = runs.run("a", paths)
    assert first is not None
    known = identities_of(paths, "stat")
    monkeypatch.setattr("tests.worker.features.test_extraction.identities_of", lambda *_: known)
    for path in paths:
        Path(path).unlink()
    rows = runs.run("b", paths)
    assert rows is not None
    np.testing.assert_array_equal(rows.gather(np.arange(2)), expected(1, 2))


def test_an_image_that_could_not_be_identified_is_left_out_alone(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file that a drive could not read for a moment would cost the feature cache of all."""
    paths = runs.photos(1, 2, 3)
    known = identities_of(paths, "stat").copy()
    known[1] = 0
    monkeypatch.setattr("tests.worker.features.test_extraction.identities_of", lambda *_: known)
    rows = runs.run("a", paths)
    assert rows is not None
    assert rows.known().tolist() == [True, False, True]
    assert runs.unreadable == {1: "the drive did not answer in time; it is used in the next run"}
