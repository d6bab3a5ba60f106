"""An extraction of shards, with a stand-in for the network: what is committed, counted and tried again."""

from __future__ import annotations

import queue
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autofit.cache.entry_format import EntryRecord
from autofit.cache.identity import identities_of
from autofit.cache.shard_entry import ShardEntry
from autofit.cache.shards import shards_of
from autofit.cache.store import CacheStore
from autofit.config.options import make_options
from autofit.dataset import ImageIndex
from autofit.input.augment import Augmentation
from autofit.input.batch_loader import BatchLoader
from autofit.input.sample_reader import SampleReader
from autofit.input.views import ViewIndex
from autofit.machine import hardware
from autofit.protocol.cache_job import CacheJob, ShardAnswer, ShardJob, ShardsDone
from autofit.protocol.job import Event, Job, TrainJob
from autofit.protocol.messages import MemoryBudget
from autofit.runs.model_source import model_source
from autofit.runs.plan import training_plan
from autofit.worker.features.extractor import Photos
from autofit.worker.features.shard_extraction import ShardExtraction

pytestmark = pytest.mark.slow  # imports TensorFlow

SIZE, COUNT = (32, 32), 12


class Stopped(Exception):  # noqa: N818 - as `StopRequested`
    """Nothing more is asked for."""


class Calls:
    """Calls of the command over the same photos, with one cache."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, CacheStore(folder / "cache", 10**9)
        self.paths = [str(folder / f"{number}.png") for number in range(COUNT)]
        for number, path in enumerate(self.paths):
            Image.new("RGB", (40, 40), (number, 2 * number, 0)).save(path)
        self.events: list[Event] = []
        self.identities = identities_of(self.paths, "stat")
        self.shards = list(shards_of(self.identities, np.ones(COUNT, bool), 4))

    def job(self) -> Job:
        """The job of a call."""
        options = make_options(image_size="32")
        budget = MemoryBudget(device="cpu", limit_bytes=10**9, is_given=False)
        shards = ShardJob(shard_images=3, owner="0" * 16, lease_seconds=60)
        work = TrainJob(
            run_dir=str(self.folder),
            data_root=str(self.folder),
            class_names=["one"],
            plan=training_plan(options, COUNT, None, hardware.detect(inline=False)),
            micro_batch_size=8,
            launched_at=0.0,
            cache=CacheJob(folder=str(self.store.folder), limit_bytes=10**9, by="stat", fixed_size=4, shards=shards),
        )
        return Job(attempt=1, source=model_source(options, 1), memory=budget, isolated=True, work=work)

    def _with_extraction(self, act: Callable[[ShardExtraction, BatchLoader], None]) -> None:
        index = ImageIndex("/", self.paths, array("i", [0] * COUNT), ("one",), COUNT)
        decode = SampleReader(index, SIZE, 0, Augmentation()).of_views(ViewIndex(COUNT, 0), self.identities)
        session: Any = SimpleNamespace(
            built=SimpleNamespace(feature_shape=(3,), cut=None, features=None, precision="float32"),
            extract=lambda images: np.asarray(images.mean(axis=(1, 2)), np.float32),
            pads=False,
        )
        nothing = lambda *_, **__: None  # noqa: E731
        heartbeat: Any = SimpleNamespace(event=self.events.append, phase=nothing, beat=nothing)
        stop: Any = SimpleNamespace(stop_if_met=nothing)
        with BatchLoader(index.path, SIZE, threads=2, buffer_bytes=10**6) as loader:
            photos = Photos(index.path, self.identities, decode)
            act(ShardExtraction(self.job(), session, "0" * 64, photos, heartbeat, stop), loader)

    def run(self) -> tuple[ShardsDone, set[str]]:
        """A call; returns what it says that it has done, and the images that it could not read."""
        self.events.clear()
        self._with_extraction(lambda extraction, loader: extraction.run(loader))
        done = self.events[-1].sharded
        assert done is not None
        return done, {event.quarantined.path for event in self.events if event.quarantined}

    def answers(self, numbers: Sequence[int]) -> list[ShardAnswer]:
        """A worker's answers about shards that it is asked for."""

        class Asked(queue.SimpleQueue[int]):
            def get(self, block: bool = True, timeout: float | None = None) -> int:  # noqa: FBT001, FBT002
                if self.empty():
                    raise Stopped
                return super().get(block, timeout)

        asked = Asked()
        for number in numbers:
            asked.put(number)
        self.events.clear()
        with pytest.raises(Stopped):
            self._with_extraction(lambda extraction, loader: extraction.answer(asked, loader))
        return [event.shard for event in self.events if event.shard]

    def away(self, rows: Sequence[int]) -> None:
        """Take photos off their drive."""
        for row in rows:
            Path(self.paths[row]).rename(self.paths[row] + ".away")

    def back(self) -> None:
        """Bring them back."""
        for path in self.folder.glob("*.away"):
            path.rename(path.with_suffix(""))

    def record(self) -> EntryRecord:
        """The record of the entries."""
        return self.store.records()[0]


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path)


def test_images_that_could_not_be_read_are_tried_again_and_named(calls: Calls) -> None:
    """A drive that came off once would cost the cache its shards for ever, and each call say that all is done."""
    first, second, *_ = calls.shards
    gone = [*first.rows.tolist(), int(second.rows[0])]
    calls.away(gone)
    for extracted, shards in ((COUNT - len(gone), len(calls.shards) - 1), (0, 0)):
        done, unreadable = calls.run()
        assert (done.images, done.extracted, done.shards) == (COUNT - len(gone), extracted, shards)
        assert done.of_others == 0
        assert unreadable == {calls.paths[row] for row in gone}
        assert sum(event.kept_rows or 0 for event in calls.events) == extracted
    calls.back()
    done, unreadable = calls.run()
    assert (done.images, done.extracted, unreadable) == (COUNT, len(gone), set())


def test_an_entry_without_rows_of_an_earlier_version_is_extracted(calls: Calls) -> None:
    """A cache that was filled while a drive was away would stay as it is."""
    last = calls.shards[-1]
    calls.away(last.rows.tolist())
    calls.run()
    entry = ShardEntry(calls.store, calls.record(), last.name, 0)
    entry.writer.close()
    entry._hidden.rename(entry.path)
    calls.back()
    done, _ = calls.run()
    assert (done.extracted, done.shards, done.of_others) == (len(last.rows), 1, 0)


def test_a_shard_without_a_readable_image_has_no_rows_to_send(calls: Calls) -> None:
    """A node of a cluster would look for an entry that is not there, and end the extraction of all."""
    calls.away(calls.shards[0].rows.tolist())
    numbers = [shard.number for shard in calls.shards[:2]]
    empty, other = calls.answers(numbers)
    assert (empty.entry, empty.images, empty.extracted, empty.is_first) == ("", 0, 0, False)
    assert (other.extracted, other.is_first) == (len(calls.shards[1].rows), True)
    assert other.entry.endswith(calls.shards[1].name)
