"""Tests of the search for the largest batch, on simulated devices."""

import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.probing.search import BatchSearch, first_sizes
from autofit.process.messages import Trial, Verdict

SHAPES = ("linear", "steps", "dips", "sub-linear")
MAX_TRIALS = 8


@dataclass(frozen=True)
class SimulatedDevice:
    """A device with a peak for every size. Its noise is on what grows with the batch: weights are always the same."""

    limit_bytes: int
    peaks: tuple[int, ...]  # of 1 image, 2 images, …

    @property
    def max_batch(self) -> int:
        """The largest size it has a peak for."""
        return len(self.peaks)

    @property
    def largest(self) -> int:
        """The true answer, also where it lies beyond steps and dips."""
        return max((size for size, peak in enumerate(self.peaks, 1) if peak <= self.limit_bytes), default=0)

    def run(self, size: int) -> Trial:
        """What a trial of this size would report."""
        peak = self.peaks[size - 1]
        if peak > self.limit_bytes:
            return Trial(batch_size=size, verdict=Verdict.DEVICE_OOM)
        return Trial(batch_size=size, verdict=Verdict.FITS, peak_bytes=peak)


def random_device(rng: random.Random) -> SimulatedDevice:
    """Any network on any device: 10 MB to 2 GB of base, 0.2 to 100 MB an image, 0 to 3 % noise, up to 4,096 images.

    The limit holds between one image and three times the largest size asked about; one in twenty holds nothing.
    """
    max_batch = round(2 ** rng.uniform(0, 12))
    base, per_image, noise = 10 ** rng.uniform(7, 9.3), 10 ** rng.uniform(5.3, 8), rng.uniform(0, 0.03)
    room = (3 * max_batch) ** rng.random()
    limit = base * 0.9 if rng.random() < 0.05 else base + per_image * room
    images = random_shape(rng)
    peaks = [base + per_image * images(size) * (1 + noise * rng.uniform(-1, 1)) for size in range(1, max_batch + 1)]
    return SimulatedDevice(int(limit), tuple(map(int, peaks)))


def random_shape(rng: random.Random) -> Callable[[int], float]:
    """How many images' worth of memory a batch takes: linear, but for steps, dips, or a quarter less from a size on."""
    edges = [2 ** rng.uniform(1, 12) for _ in range(3)]
    heights = [edge * rng.uniform(0.02, 0.15) for edge in edges]
    dip = rng.uniform(0.05, 0.25)
    shapes: dict[str, Callable[[int], float]] = {
        "linear": float,
        "steps": lambda size: size + sum(h for edge, h in zip(edges, heights, strict=True) if size >= edge),
        "dips": lambda size: size * (1 - dip) if any(edge <= size < 1.5 * edge for edge in edges) else size,
        "sub-linear": lambda size: size * 0.75 if size >= edges[0] else size,
    }
    return shapes[rng.choice(SHAPES)]


def run_search(search: BatchSearch, run: Callable[[int], Trial]) -> list[Trial]:
    """Drive a search to its end; a search that never ends fails here."""
    trials: list[Trial] = []
    while (size := search.ask()) is not None:
        assert len(trials) < MAX_TRIALS
        trials.append(run(size))
        search.tell(trials[-1])
    return trials


def ooms(trials: list[Trial]) -> int:
    return sum(trial.verdict is not Verdict.FITS for trial in trials)


def fits_up_to(largest: int) -> Callable[[int], Trial]:
    """A device of 1 MB an image and 10 MB for the rest, which holds this many images."""

    def run(size: int) -> Trial:
        peak = (10 + size) * 10**6
        verdict = Verdict.FITS if size <= largest else Verdict.DEVICE_OOM
        return Trial(batch_size=size, verdict=verdict, peak_bytes=peak if size <= largest else 0)

    return run


def search_for(largest: int, max_batch: int = 4096) -> BatchSearch:
    return BatchSearch((10 + largest) * 10**6, max_batch)


@dataclass(frozen=True)
class Found:
    """How one search went."""

    largest: int
    near: bool
    trials: int
    ooms: int


def search_device(device: SimulatedDevice) -> Found:
    search = BatchSearch(device.limit_bytes, device.max_batch)
    trials = run_search(search, device.run)
    assert search.answer == max((t.batch_size for t in trials if t.verdict is Verdict.FITS), default=0)
    near = search.answer >= min(0.95 * device.largest, device.largest - 1)
    return Found(device.largest, near, len(trials), ooms(trials))


def share(of: list[bool]) -> float:
    return statistics.mean(map(int, of))


def test_a_thousand_devices() -> None:
    """The figures that the probe is built on: near the true maximum, in few trials, rarely out of memory."""
    rng = random.Random(20260801)
    found = [search_device(random_device(rng)) for _ in range(1000)]

    assert share([f.near for f in found]) >= 0.98
    assert statistics.median(f.trials for f in found) == 3
    assert statistics.median(f.ooms for f in found) == 0
    assert share([f.trials <= 6 for f in found]) >= 0.97
    assert share([f.ooms <= 1 for f in found]) >= 0.78  # the others hold 0 to 3 images: 4 fails, and 1 or 2 as well


def test_devices_of_some_size() -> None:
    """The devices that people train on hold 16 images and more: the tiny ones must not flatter the figures."""
    rng = random.Random(20260802)
    found = [f for f in (search_device(random_device(rng)) for _ in range(1000)) if f.largest >= 16]

    assert len(found) > 300
    assert share([f.near for f in found]) >= 0.95
    assert statistics.median(f.trials for f in found) == 4
    assert statistics.median(f.ooms for f in found) == 0
    assert share([f.trials <= 6 for f in found]) >= 0.94
    assert share([f.ooms <= 1 for f in found]) >= 0.96


@pytest.mark.parametrize("largest", [*range(4, 40), 100, 300, 1000, 4000])
def test_straight_line_is_followed_to_its_end(largest: int) -> None:
    """On a device without noise no trial may run out of memory, but for 6 and 5 where one peak is all that is known."""
    search = search_for(largest)
    trials = run_search(search, fits_up_to(largest))

    assert search.answer >= 0.95 * largest
    assert len(trials) <= 6
    assert ooms(trials) == max(0, 6 - largest)


def test_room_for_everything_needs_few_trials() -> None:
    """On a large device the search must jump, not double its way up to `max_batch`."""
    search = BatchSearch(10**12, 4096)

    assert [trial.batch_size for trial in run_search(search, fits_up_to(10**6))] == [4, 16, 256, 4096]
    assert search.answer == 4096


@pytest.mark.parametrize("largest", [0, 1, 2, 3])
def test_tiny_devices_are_answered_exactly(largest: int) -> None:
    """Between one image and two lies a factor of two: the search goes down to 1 and back up."""
    search = search_for(largest)
    trials = run_search(search, fits_up_to(largest))

    assert [trial.batch_size for trial in trials[:2]] == [4, 1]
    assert search.answer == largest
    assert len(trials) <= 4


@pytest.mark.parametrize("max_batch", [1, 2, 3, 4, 5, 16, 17])
def test_small_max_batch_is_reached_and_not_passed(max_batch: int) -> None:
    """A set of three images has no batch of four."""
    search = BatchSearch(10**12, max_batch)

    assert max(trial.batch_size for trial in run_search(search, fits_up_to(100))) == max_batch
    assert search.answer == max_batch


def test_step_up_is_bisected_with_strictly_smaller_sizes() -> None:
    """A workspace from 200 images on hides the true limit: the failed size must not be asked for again, nor more."""

    def run(size: int) -> Trial:
        if size >= 200:
            return Trial(batch_size=size, verdict=Verdict.DEVICE_OOM)
        return Trial(batch_size=size, verdict=Verdict.FITS, peak_bytes=(10 + size) * 10**6)

    search = search_for(500)
    trials = run_search(search, run)
    failed = [trial.batch_size for trial in trials if trial.verdict is not Verdict.FITS]

    assert failed == sorted(failed, reverse=True)
    assert len(set(failed)) == len(failed)
    assert 190 <= search.answer < 200


def test_dip_is_no_proof_for_sizes_that_were_not_run() -> None:
    """A quarter less memory from 128 on: the answer is a size that ran, near the limit beyond the dip."""

    def run(size: int) -> Trial:
        peak = (10 + size * (0.75 if size >= 128 else 1)) * 10**6
        fits = peak <= 310 * 10**6
        return Trial(batch_size=size, verdict=Verdict.FITS if fits else Verdict.HOST_OOM, peak_bytes=int(peak) * fits)

    search = search_for(300)
    trials = run_search(search, run)

    assert Trial(batch_size=search.answer, verdict=Verdict.FITS, peak_bytes=run(search.answer).peak_bytes) in trials
    assert 380 <= search.answer <= 400


def test_timeout_ends_the_search_with_what_fits() -> None:
    """A size too slow to time costs minutes: larger and nearly as large ones would cost them again."""
    search = search_for(1000)
    search.tell(fits_up_to(1000)(4))
    search.tell(Trial(batch_size=16, verdict=Verdict.TIMEOUT))

    assert search.ask() is None
    assert search.answer == 4


def test_timeout_of_the_first_size_leaves_one_image_to_try() -> None:
    """Giving up at 4 images would report that nothing fits where 1 does."""
    search = search_for(1000)
    search.tell(Trial(batch_size=4, verdict=Verdict.TIMEOUT))
    assert search.ask() == 1
    search.tell(fits_up_to(1)(1))

    assert search.ask() is None
    assert search.answer == 1


def test_failed_verification_takes_the_answer_back() -> None:
    """The answer is run again in a fresh process: if it fails there, it is no answer, and the search goes on below."""
    search = search_for(1000)
    run_search(search, fits_up_to(1000))
    verified = search.answer
    search.tell(Trial(batch_size=verified, verdict=Verdict.DEVICE_OOM))

    assert 0 < search.answer < verified
    size = search.ask()
    assert size is not None
    assert search.answer < size < verified


def test_verified_answer_ends_the_search() -> None:
    """Telling the verification's success must not start the search anew."""
    search = search_for(1000)
    run_search(search, fits_up_to(1000))
    search.tell(fits_up_to(1000)(search.answer))

    assert search.ask() is None


def test_unmeasured_peaks_still_find_an_answer() -> None:
    """An allocator without statistics gives no peaks: sizes grow until one fails, then close in."""

    def run(size: int) -> Trial:
        return Trial(batch_size=size, verdict=Verdict.FITS if size <= 100 else Verdict.DEVICE_OOM)

    search = BatchSearch(10**9, 4096)
    trials = run_search(search, run)

    assert [trial.batch_size for trial in trials[:4]] == [4, 16, 64, 256]
    assert search.model is None
    assert 90 <= search.answer <= 100


def test_model_is_the_line_through_what_fits() -> None:
    """The report's memory model must be of this search's trials; before any there is none."""
    search = search_for(1000)
    assert search.model is None
    run_search(search, fits_up_to(1000))

    assert search.model is not None
    assert search.model.base_bytes == pytest.approx(10 * 10**6)
    assert search.model.bytes_per_image == pytest.approx(10**6)


@pytest.mark.parametrize("verdict", [Verdict.CRASHED, Verdict.USER_ERROR, Verdict.STORAGE, Verdict.INTERRUPTED])
def test_failure_that_is_not_memory_is_refused(verdict: Verdict) -> None:
    """Taking a crash for a size that does not fit would shrink the batch for an error that is not memory."""
    with pytest.raises(ValueError, match=f"{verdict.value} says nothing about batch 4"):
        search_for(10).tell(Trial(batch_size=4, verdict=verdict))


def test_sizes_below_one_are_refused() -> None:
    """A search over no sizes has no first size."""
    with pytest.raises(ValueError, match="at least one image: max_batch 0"):
        BatchSearch(10**9, 0)


def test_first_sizes() -> None:
    """Two sizes far enough apart for a slope, none above what was asked about."""
    assert [first_sizes(most) for most in (1, 4, 10, 4096)] == [(1,), (4,), (4, 10), (4, 16)]
    assert first_sizes(4096, first=8) == (8, 32)


@given(
    outcomes=st.lists(
        st.tuples(st.sampled_from([Verdict.FITS] * 3 + [Verdict.DEVICE_OOM, Verdict.TIMEOUT]), st.integers(0, 10**12)),
        min_size=MAX_TRIALS,
        max_size=MAX_TRIALS,
    ),
    limit_bytes=st.integers(0, 10**12),
    max_batch=st.integers(1, 4096),
    first=st.integers(1, 4096),
    tolerance=st.floats(0, 1),
)
def test_no_device_leads_it_astray(
    outcomes: list[tuple[Verdict, int]], limit_bytes: int, max_batch: int, first: int, tolerance: float
) -> None:
    """Whatever a device does: it ends, asks only between what fits and what failed, and answers with what ran."""
    search = BatchSearch(limit_bytes, max_batch, first=first, tolerance=tolerance)
    told = iter(outcomes)

    def run(size: int) -> Trial:
        assert search.ask() == size
        verdict, peak = next(told)
        return Trial(batch_size=size, verdict=verdict, peak_bytes=peak)

    trials = run_search(search, run)
    fits = [trial.batch_size for trial in trials if trial.verdict is Verdict.FITS]
    fails = [trial.batch_size for trial in trials if trial.verdict is not Verdict.FITS]

    assert search.answer == max(fits, default=0)
    assert fits == sorted(set(fits))
    assert fails == sorted(set(fails), reverse=True)
    assert not fits or not fails or max(fits) < min(fails)
    assert all(1 <= trial.batch_size <= max_batch for trial in trials)
