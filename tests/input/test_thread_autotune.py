from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.input.thread_autotune import (
    MOST_THREADS,
    PATIENCE,
    WINDOWS,
    ThreadChoice,
    Window,
    extra_threads,
    most_useful_threads,
)

CORES = 2
CPU_SECONDS = 0.005  # a photo of 640x480
MB = 10**6


@dataclass
class Storage:
    """A machine that decodes, and a storage that answers each file after a while.

    `share_of_cores` is what the training leaves of them; `noise` is the standard deviation of the rate's logarithm.
    """

    latency: float = 0.0
    share_of_cores: float = 1.0
    waited: float = 0.9
    noise: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    def rate(self, threads: int) -> float:
        """Images/s."""
        return min(threads / (self.latency + CPU_SECONDS), CORES * self.share_of_cores / CPU_SECONDS)

    def window(self, threads: int) -> Window:
        """A second of it."""
        rate = self.rate(threads) * self.chance.lognormvariate(0, self.noise)
        return Window(1.0, round(rate), self.waited, rate * CPU_SECONDS)


def go(choice: ThreadChoice, storage: Storage, windows: int = 30) -> list[int]:
    """The numbers of threads, one after another."""
    numbers = [choice.threads]
    for _ in range(windows):
        choice.note(storage.window(choice.threads))
        if choice.threads != numbers[-1]:
            numbers.append(choice.threads)
    return numbers


def test_a_local_disk_keeps_a_thread_for_each_core() -> None:
    """Threads without work would take memory, and the interpreter's lock from the training."""
    assert go(ThreadChoice(CORES, 32), Storage(), 1000) == [2]


@pytest.mark.parametrize(("latency", "numbers"), [(0.02, [2, 4, 8, 16]), (0.05, [2, 4, 8, 16, 32])])
def test_a_drive_with_latency_gets_as_many_as_keep_the_cores_busy(latency: float, numbers: list[int]) -> None:
    """Two threads would read 40 images/s from a mounted drive, on cores that decode 400."""
    assert go(ThreadChoice(CORES, 64), Storage(latency)) == numbers


def test_it_stops_at_the_bound() -> None:
    """A storage that is ever so slow would get threads without end."""
    choice = ThreadChoice(CORES, 12)
    assert go(choice, Storage(2.0), 1000) == [2, 4, 8, 12]


def test_it_starts_and_stays_where_no_more_are_allowed() -> None:
    """A number that was asked for would be changed."""
    assert go(ThreadChoice(5, 5), Storage(0.05)) == [5]
    assert go(ThreadChoice(5, 1), Storage(0.05)) == [5]


def test_nothing_is_tried_while_the_consumer_does_not_wait() -> None:
    """More images would be decoded at once for a training that never waits."""
    assert go(ThreadChoice(CORES, 32), Storage(0.05, waited=0.05), 1000) == [2]


def test_cores_that_the_training_uses_do_not_look_like_a_slow_drive() -> None:
    """Threads wait for a core as they wait for a file: going by that alone, it would grow to the bound."""
    assert go(ThreadChoice(CORES, 32), Storage(share_of_cores=0.4), 2 * WINDOWS) == [2, 4, 2]


def test_what_did_not_help_is_tried_again_more_and_more_rarely() -> None:
    """A slow spell during the one try would cost the whole run; a try every few seconds would cost as well."""
    numbers = go(ThreadChoice(CORES, 32), Storage(share_of_cores=0.4), WINDOWS * PATIENCE * 31)
    assert numbers == [2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2]


def test_a_drive_that_becomes_slow_later_gets_more() -> None:
    """The first epoch's local copy, or a warm cache, would decide for all that follow."""
    choice = ThreadChoice(CORES, 32)
    go(choice, Storage())
    assert go(choice, Storage(0.05)) == [2, 4, 8, 16, 32]
    go(choice, Storage(0.02))
    assert choice.threads == 32


def test_a_drive_that_becomes_slower_by_half_gets_more() -> None:
    """It would stay with what was enough for the faster one."""
    choice = ThreadChoice(CORES, 64)
    assert go(choice, Storage(0.02))[-1] == 16
    assert go(choice, Storage(0.06))[-1] == 32


def test_threads_that_are_not_needed_any_more_are_given_back() -> None:
    """After the first epoch from a drive, the second from memory would have sixteen threads on two cores."""
    choice = ThreadChoice(CORES, 16)
    assert go(choice, Storage(0.1))[-1] == 16
    assert go(choice, Storage(0)) == [16, 8, 4, 2]


def test_fewer_are_tried_only_as_long_as_nothing_is_lost() -> None:
    """A storage that changed would end up with the fewest, whatever it needs."""
    choice = ThreadChoice(CORES, 16)
    assert go(choice, Storage(0.1))[-1] == 16
    assert go(choice, Storage(0.02)) == [16, 8, 16]


@pytest.mark.parametrize("odd_images", [0, 1, 10**6])
@pytest.mark.parametrize("at", range(12))
def test_a_single_odd_window_decides_nothing(at: int, odd_images: int) -> None:
    """One hiccup of a mounted drive would set the number for hours."""
    choice, storage = ThreadChoice(CORES, 16), Storage(0.1)
    for number in range(15):
        window = storage.window(choice.threads)
        choice.note(window if number != at else Window(1.0, odd_images, 1.0, window.cpu_seconds))
    assert choice.threads == 16


@pytest.mark.parametrize(("latency", "least", "most"), [(0.0, 2, 4), (0.02, 12, 32), (0.1, 32, 32)])
def test_on_a_noisy_machine_it_is_nearly_as_fast_as_with_the_best_number(latency: float, least: int, most: int) -> None:
    """Noise would walk the number up and down for ever."""
    ends, rates = [], []
    for seed in range(20):
        choice, storage = ThreadChoice(CORES, 32), Storage(latency, noise=0.05, chance=random.Random(seed))
        go(choice, storage, 60)
        for _ in range(300):
            rates.append(storage.rate(choice.threads))
            choice.note(storage.window(choice.threads))
        ends.append(choice.threads)
    assert sum(rates) / len(rates) > 0.95 * Storage(latency).rate(32)
    assert least <= sum(ends) / len(ends) <= most


@given(
    first=st.integers(1, 8),
    most=st.integers(1, 80),
    windows=st.lists(
        st.builds(Window, st.floats(0.5, 100), st.integers(0, 10**4), st.floats(0, 100), st.floats(0, 100)),
        max_size=120,
    ),
)
def test_it_never_leaves_its_bounds(first: int, most: int, windows: list[Window]) -> None:
    """No thread at all would hang the training; a thousand would end it."""
    choice = ThreadChoice(first, most)
    for window in windows:
        choice.note(window)
        assert first <= choice.threads <= max(first, most)


@pytest.mark.parametrize(("cores", "most"), [(1, 16), (2, 32), (4, 64), (16, 256), (32, MOST_THREADS), (300, 300)])
def test_the_bound_grows_with_the_cores(cores: int, most: int) -> None:
    """Two cores would be flooded, or a large machine have fewer threads than cores."""
    assert most_useful_threads(cores) == most


def test_the_buffer_bounds_what_threads_hold() -> None:
    """Under a memory limit, photos being decoded would take what the allocator was promised, attempt after attempt."""
    assert extra_threads((224, 224), 1) == 0
    few = extra_threads((224, 224), 32 * MB)
    assert 4 <= few <= 16
    assert extra_threads((224, 224), 16 * MB) == few // 2
    assert extra_threads((448, 448), 4 * 32 * MB) == few
