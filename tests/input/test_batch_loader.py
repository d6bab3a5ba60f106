from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from autofit.input import batch_loader as loader_module
from autofit.input.aligned_array import aligned_empty
from autofit.input.batch_loader import BatchLoader, LoadedBatch
from autofit.input.epoch_order import epoch_order
from autofit.input.image_files import UnreadableImageError
from autofit.input.thread_autotune import WINDOWS, thread_bytes
from autofit.input.wait_meter import WaitMeter
from tests.support.waiting import wait_until

SIZE = (4, 6)
IMAGE_BYTES = 4 * 6 * 3
PLENTY_BYTES = 10**9
HALF = 250
"""Of the 500 images of an epoch. How many are decoded ahead depends on the threads, and those on how busy it is."""


class FakeDecoder:
    """Stands in for `decode_into`: the path is the sample's number, and so is every pixel it writes.

    It counts what was begun; `bad` samples are unreadable, `broken` ones raise ValueError; while the gate is closed,
    every decode waits.
    """

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.bad: set[int] = set()
        self.broken: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, path: str, out: NDArray[np.uint8]) -> None:
        """Stand in for `decode_into`."""
        sample = int(path)
        self.begun.append(sample)
        assert self.gate.wait(10)
        time.sleep(0.002 * (sample % 3))  # so that threads finish out of order
        if sample in self.broken:
            raise ValueError(f"broken {sample}")
        if sample in self.bad:
            raise UnreadableImageError(f"bad {sample}")
        out[...] = sample


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> FakeDecoder:
    fake = FakeDecoder()
    monkeypatch.setattr(loader_module, "decode_into", fake)
    return fake


def loading(threads: int = 2, buffer_bytes: int = PLENTY_BYTES) -> BatchLoader:
    return BatchLoader(str, SIZE, threads=threads, buffer_bytes=buffer_bytes)


def decode_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("autofit-decode")]


def firsts(batch: LoadedBatch) -> list[int]:
    """The value of each image, after a look that all its pixels have it."""
    assert (batch.images == batch.images[:, :1, :1, :1]).all()
    return [int(value) for value in batch.images[:, 0, 0, 0]]


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_order_does_not_depend_on_threads(decoder: FakeDecoder, threads: int) -> None:
    """Another machine, or a busier one, would train in another order: runs could not be repeated or resumed."""
    groups = [[5, 3, 9], [1], [8, 8, 0, 2], [], [7]]
    with loading(threads) as loader:
        batches = list(loader.batches(groups))
    assert [batch.samples.tolist() for batch in batches] == groups
    assert [firsts(batch) for batch in batches] == groups
    assert sorted(decoder.begun) == sorted(itertools.chain(*groups))
    assert {batch.samples.dtype for batch in batches} == {np.dtype(np.int64)}


def test_real_files_are_decoded_into_their_rows(tmp_path: Path) -> None:
    """The loader would be right with a fake decoder only."""
    paths = [str(tmp_path / f"{number}.png") for number in range(6)]
    for number in (0, 1, 2, 4, 5):
        Image.new("RGB", (9, 9), (number, number, number)).save(paths[number])
    Path(paths[3]).write_bytes(b"GIF89a, or so it says")
    with BatchLoader(paths, SIZE, threads=3, buffer_bytes=0) as loader:
        first, second = loader.batches([np.array([5, 3, 1]), range(3)])
    assert (firsts(first), first.samples.tolist()) == ([5, 1], [5, 1])
    assert first.skipped == ((3, "not an image of a known format"),)
    assert (firsts(second), second.skipped) == ([0, 1, 2], ())


@pytest.mark.parametrize(
    ("bad", "readable"),
    [({0}, [1, 2, 3, 4]), ({4}, [0, 1, 2, 3]), ({1, 3}, [0, 2, 4]), ({0, 1, 2, 3, 4}, []), (set(), [0, 1, 2, 3, 4])],
)
def test_unreadable_rows_are_closed_up(decoder: FakeDecoder, bad: set[int], readable: list[int]) -> None:
    """An image would be trained on with the label of the one before, or a row of leftover memory with a label."""
    decoder.bad = bad
    with loading() as loader:
        (batch,) = loader.batches([range(5)])
    assert firsts(batch) == readable
    assert batch.samples.tolist() == readable
    assert batch.skipped == tuple((sample, f"bad {sample}") for sample in sorted(bad))
    assert batch.images.shape == (len(readable), *SIZE, 3)
    assert batch.images.flags.c_contiguous
    assert batch.images.ctypes.data % 64 == 0


@pytest.mark.parametrize("images_ahead", [0, 2, 4, 7, 100])
def test_no_more_is_decoded_ahead_than_fits(decoder: FakeDecoder, images_ahead: int) -> None:
    """The batches decoded ahead would fill the memory of the machine, or none would be ready when it is wanted."""
    groups = [[number, number] for number in range(20)]
    ahead_of_it = max(2, images_ahead // 2 * 2)  # whole batches of two; one is always begun
    taken = []

    def asked_for() -> Iterator[Sequence[int]]:
        for group in groups:
            taken.append(group)
            yield group

    with loading(buffer_bytes=images_ahead * IMAGE_BYTES) as loader:
        for done, _ in enumerate(loader.batches(asked_for()), start=1):
            begun = min(2 * done + ahead_of_it, 40)
            wait_until(lambda begun=begun: len(decoder.begun) >= begun)  # type: ignore[misc]
            time.sleep(0.01)
            assert len(decoder.begun) == begun
            assert len(taken) <= begun // 2 + 1
    assert taken == groups


def test_groups_are_not_taken_before_the_first_batch_is_wanted(decoder: FakeDecoder) -> None:
    """A loader that is made early would decode images that are perhaps never used."""

    def asked_for() -> Iterator[Sequence[int]]:
        raise AssertionError("taken")
        yield []

    with loading() as loader:
        loader.batches(asked_for())
    assert decoder.begun == []


def test_stopping_early_cancels_the_queued_images_and_ends_the_threads(decoder: FakeDecoder) -> None:
    """Each epoch that is stopped early would leave threads behind that decode images for nothing."""
    with loading() as loader:
        for _ in loader.batches([[number] * 10 for number in range(50)]):
            break
    assert decode_threads() == []
    assert len(decoder.begun) < HALF


def test_a_closed_generator_is_decoding_nothing(decoder: FakeDecoder) -> None:
    """After a shrink the old epoch's images would still be decoded, beside those of the new one."""
    with loading() as loader:
        batches = loader.batches([[0] * 10] * 50)
        next(batches)
        batches.close()
        begun = len(decoder.begun)
        assert begun < HALF
        time.sleep(0.05)
        assert len(decoder.begun) == begun
        assert [firsts(batch) for batch in loader.batches([[1], [2]])] == [[1], [2]]


def test_a_dropped_generator_cancels_what_is_queued(decoder: FakeDecoder) -> None:
    """Without an explicit close everything ahead would be decoded to the end."""
    with loading() as loader:
        next(loader.batches([[0] * 10] * 50))
        time.sleep(0.05)
        assert len(decoder.begun) < HALF


def test_closing_the_loader_first_does_not_hang(decoder: FakeDecoder) -> None:
    """A generator that outlives its loader would wait for ever for images that nobody decodes."""
    decoder.gate.clear()
    loader = loading()
    batches = loader.batches([[0] * 10] * 5)
    cancelled = []

    def take() -> None:
        with pytest.raises((CancelledError, RuntimeError)):  # the second where it was still asking for more
            next(batches)
        cancelled.append(True)

    taker = threading.Thread(target=take)
    taker.start()
    wait_until(lambda: len(decoder.begun) == 2)
    closer = threading.Thread(target=loader.close)
    closer.start()
    wait_until(lambda: loader._pool._is_closed)  # what is queued is cancelled in the same moment
    time.sleep(0.02)
    decoder.gate.set()
    for thread in (taker, closer):
        thread.join(10)
        assert not thread.is_alive()
    assert cancelled
    assert decode_threads() == []


def test_an_error_of_another_kind_reaches_the_consumer(decoder: FakeDecoder) -> None:
    """A defect of autofit, or a lack of memory, would be reported as a bad image."""
    decoder.broken = {3}
    with loading() as loader:
        batches = loader.batches([[0, 1], [2, 3, *range(4, 90)], [0]])
        assert firsts(next(batches)) == [0, 1]
        with pytest.raises(ValueError, match="broken 3"):
            next(batches)
        begun = len(decoder.begun)
        time.sleep(0.05)
        assert len(decoder.begun) == begun < 90
    assert decode_threads() == []


def test_an_error_of_the_groups_reaches_the_consumer(decoder: FakeDecoder) -> None:
    """A defect in the order of an epoch would end the epoch early, as if it were complete."""

    def asked_for() -> Iterator[Sequence[int]]:
        yield [1]
        raise LookupError("no more")

    with loading() as loader, pytest.raises(LookupError, match="no more"):
        list(loader.batches(asked_for()))
    assert set(decoder.begun) <= {1}


@given(shape=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple))
def test_arrays_start_at_a_multiple_of_64_bytes(shape: tuple[int, ...]) -> None:
    """TensorFlow would copy every batch; beyond the memory limit that copy is a segmentation fault."""
    array = aligned_empty(shape)
    assert array.shape == shape
    assert array.dtype == np.uint8
    assert array.ctypes.data % 64 == 0
    assert array.flags.c_contiguous
    assert array.flags.writeable


@pytest.mark.parametrize(
    ("seed", "epoch", "order"),
    [
        (0, 0, [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]),
        (0, 1, [5, 3, 7, 8, 2, 4, 1, 0, 6, 9]),
        (1, 0, [3, 5, 2, 9, 7, 0, 8, 6, 1, 4]),
        (2**64 - 1, 10**6, [8, 1, 7, 9, 0, 2, 3, 6, 5, 4]),
    ],
)
def test_the_order_of_an_epoch_never_changes(seed: int, epoch: int, order: list[int]) -> None:
    """A resumed run would go on in another order: samples twice, others never. Do not adapt these figures."""
    assert epoch_order(10, seed, epoch).tolist() == order


@given(count=st.integers(0, 300), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 10**9))
def test_the_order_of_an_epoch_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    """An epoch would see some images twice and others never."""
    order = epoch_order(count, seed, epoch)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(count))


def test_no_two_epochs_or_seeds_share_an_order() -> None:
    """Every epoch would show the images in the same order, which teaches the order too."""
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_the_loader_loads_no_keras() -> None:
    """Tools that only read images would wait seconds for TensorFlow, and hold its memory."""
    code = "import sys, autofit.input.batch_loader; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


BUFFER_BYTES = 20_000
"""For some hundred of these small images: what is decoded far ahead is decoded with the number that was chosen then."""


class SimulatedStorage:
    """Decodes at once, and moves a clock of its own on by what that would have taken.

    `latency` is waited for in each thread by itself, `cpu_seconds` share one core.
    """

    def __init__(self, latency: float, cpu_seconds: float) -> None:
        self.latency, self.cpu_seconds = latency, cpu_seconds
        self.threads: Callable[[], int] = lambda: 1
        self.numbers: list[int] = []
        self.now = 0.0
        self._own = threading.local()
        self._lock = threading.Lock()

    def decode(self, sample: int, out: NDArray[np.uint8]) -> None:
        """See `Decode`."""
        time.sleep(0.001)  # whoever takes the batches is faster, and waits
        with self._lock:
            self.now += max((self.latency + self.cpu_seconds) / self.threads(), self.cpu_seconds)
            self.numbers.append(self.threads())
        self._own.seconds = self.cpu_clock() + self.cpu_seconds
        out[...] = sample

    def clock(self) -> float:
        """In seconds."""
        return self.now

    def cpu_clock(self) -> float:
        """Of a thread."""
        return getattr(self._own, "seconds", 0.0)

    def loading(self, most_threads: int | None = None) -> BatchLoader:
        """A loader that begins with one thread."""
        meter = WaitMeter(self.clock, self.cpu_clock)
        loader = BatchLoader(str, SIZE, threads=1, buffer_bytes=BUFFER_BYTES, most_threads=most_threads, meter=meter)
        self.threads = lambda: loader.threads
        return loader


def take_until(loader: BatchLoader, storage: SimulatedStorage, condition: Callable[[], bool]) -> None:
    """Take batches as fast as they come. Each is looked at: it has to be the one that is next."""
    deadline = time.monotonic() + 60
    groups = ([number % 250, (number + 1) % 250] for number in itertools.count())
    batches = loader.batches(itertools.islice(groups, 10**6), storage.decode)
    for number, batch in enumerate(batches):
        assert firsts(batch) == batch.samples.tolist() == [number % 250, (number + 1) % 250]
        if condition():
            break
        assert time.monotonic() < deadline, storage.numbers[-1]
    batches.close()


def test_files_that_are_waited_for_get_more_threads() -> None:
    """A mounted drive would be read a file at a time; or the batches be others while the number changes."""
    storage = SimulatedStorage(latency=0.1, cpu_seconds=0.001)
    with storage.loading(most_threads=8) as loader:
        take_until(loader, storage, lambda: loader.threads == 8)
        assert set(storage.numbers) >= {1, 2, 4}
    assert decode_threads() == []


@pytest.mark.slow
def test_busy_cores_get_no_more_threads() -> None:
    """A fast disk would have many threads in each other's way."""
    storage = SimulatedStorage(latency=0, cpu_seconds=0.02)
    with storage.loading() as loader:
        take_until(loader, storage, lambda: storage.now > 20 * WINDOWS)
        assert set(storage.numbers) == {1}


def test_a_window_has_several_images_for_each_thread(tmp_path: Path) -> None:
    """The number of threads would be judged by one image, while new threads still wait for their first."""
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    asked: list[int] = []

    class Meter(WaitMeter):
        def window(self, least_images: int) -> None:
            asked.append(least_images)

    loader = BatchLoader(
        [str(tmp_path / "photo.png")], SIZE, threads=3, buffer_bytes=BUFFER_BYTES, most_threads=6, meter=Meter()
    )
    with loader:
        list(loader.batches([[0, 0]]))
        loader._pool.resize(6)
        list(loader.batches([[0]]))
    assert asked == [4 * 3, 4 * 3, 4 * 6]


@pytest.mark.slow
def test_threads_that_do_not_help_are_given_back() -> None:
    """A storage that gives so many files a second and no more would be asked for many at once, for nothing."""
    storage = SimulatedStorage(latency=0, cpu_seconds=0.02)
    storage.cpu_clock = lambda: 0.0  # type: ignore[method-assign]  # the seconds are not the cores'
    with storage.loading() as loader:
        take_until(loader, storage, lambda: storage.now > 20 * WINDOWS)
        assert set(storage.numbers) == {1, 2}
        assert (2, 1) in itertools.pairwise(storage.numbers)


def test_a_number_that_is_given_as_the_most_stays() -> None:
    """A measurement with so many threads would be one of others."""
    storage = SimulatedStorage(latency=0.1, cpu_seconds=0)
    with storage.loading(most_threads=1) as loader:
        take_until(loader, storage, lambda: storage.now > 20 * WINDOWS)
        assert set(storage.numbers) == {1}


def test_what_more_threads_hold_is_not_there_for_batches_ahead() -> None:
    """The memory that was set aside for images would be used twice."""
    size = (100, 100)
    buffer_bytes = 10 * thread_bytes(size)
    with BatchLoader(str, size, threads=1, buffer_bytes=buffer_bytes) as loader:
        assert loader._ahead_bytes() == buffer_bytes
        assert loader._choice._most == 8
        loader._pool.resize(5)
        assert loader._ahead_bytes() == buffer_bytes - 4 * thread_bytes(size)


def test_what_is_there_for_threads_is_used_before_the_buffer() -> None:
    """On a mounted drive the batches ahead would give way to threads for which there is memory."""
    size = (100, 100)
    buffer_bytes, threads_bytes = 10 * thread_bytes(size), 3 * thread_bytes(size)
    with BatchLoader(str, size, threads=1, buffer_bytes=buffer_bytes, threads_bytes=threads_bytes) as loader:
        assert loader._choice._most == 11
        loader._pool.resize(4)
        assert loader._ahead_bytes() == buffer_bytes
        loader._pool.resize(5)
        assert loader._ahead_bytes() == buffer_bytes - thread_bytes(size)


def test_one_slow_file_holds_up_no_other() -> None:
    """A file that a drive does not give would stop the decoding of all that come after it."""
    gate = threading.Event()
    begun = []

    def decode(sample: int, out: NDArray[np.uint8]) -> None:
        begun.append(sample)
        assert sample or gate.wait(10)
        out[...] = sample

    with loading(threads=2) as loader:
        stream = loader.stream()
        stream.announce([[number, number + 1] for number in range(0, 200, 2)], decode)
        taker = threading.Thread(target=stream.take)
        taker.start()
        wait_until(lambda: len(begun) == 200)
        gate.set()
        taker.join(10)
        assert not taker.is_alive()
        stream.close()
