"""Tests of the search on a GPU, on simulated devices: no card has seen it yet."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.probing.gpu_search import GpuSearch, headroom_bytes
from autofit.probing.search import NextTrial
from autofit.protocol.messages import Trial, Verdict
from tests.support.simulated_gpu import GIGABYTE, SimulatedGpu, random_gpu

MORE_THAN_ANY_HOLDS = 10**6


@dataclass
class Searched:
    """One search: its trials in their order, and the processes that it needed."""

    search: GpuSearch
    gpu: SimulatedGpu
    trials: list[Trial] = field(default_factory=list)
    starts: int = 0

    @property
    def answer(self) -> int:
        """The answer of the search."""
        return self.search.answer

    @property
    def sizes(self) -> list[int]:
        """The sizes that ran, in their order."""
        return [trial.batch_size for trial in self.trials]

    @property
    def share(self) -> float:
        """The answer as a share of the true maximum."""
        return self.answer / self.gpu.largest


def searched(gpu: SimulatedGpu, max_batch: int = MORE_THAN_ANY_HOLDS, search: GpuSearch | None = None) -> Searched:
    """Drive a search to its end, in processes that an out-of-memory does not end."""
    found = Searched(search or GpuSearch(gpu.limit_bytes, max_batch), gpu)
    tuned: set[int] | None = None  # the sizes that the process ran; None before there is one
    while (asked := found.search.ask()) is not None:
        assert len(found.trials) < 10
        if asked.fresh or tuned is None:
            tuned = set()
            found.starts += 1
        trial = gpu.trial(asked.size, is_tuned=asked.size in tuned, is_first=not tuned)
        tuned.add(asked.size)
        found.trials.append(trial)
        found.search.tell(trial)
    return found


@pytest.mark.slow
def test_a_thousand_devices() -> None:
    """The probe would miss its target on a GPU: 95 % of the maximum, never over, 6 shapes, 2 starts, 8 % headroom."""
    rng = random.Random(20261128)
    for _ in range(1000):
        gpu = random_gpu(rng)
        found = searched(gpu)
        assert 0.95 <= found.share <= 1
        assert len(set(found.sizes)) <= 6
        assert found.starts <= 2
        assert found.search.headroom_bytes(found.answer) <= 0.08 * gpu.limit_bytes
        assert [trial.verdict for trial in found.trials if trial.verdict is not Verdict.FITS] == []


@pytest.mark.slow
def test_a_thousand_devices_whose_steady_steps_keep_workspaces() -> None:
    """Where steady peaks are off by a twentieth too, an answer may come later or be smaller, but not wrong."""
    rng = random.Random(20261129)
    found = []
    for _ in range(1000):
        gpu = random_gpu(rng)
        gpu.kept_share = 0.05
        found.append(searched(gpu))

    assert all(0.9 <= one.share <= 1 for one in found)
    assert sum(one.share >= 0.95 for one in found) >= 700
    assert sum(one.starts <= 2 for one in found) >= 900
    assert sum(len(set(one.sizes)) <= 6 for one in found) >= 850


def test_workspaces_of_first_steps_say_nothing() -> None:
    """The readings of an H100: a line through first-step peaks was off by 311 % and kept 55 of 83 GB free."""
    gpu = SimulatedGpu(83 * GIGABYTE, 50 * 10**6, 8 * 10**6)
    found = searched(gpu)

    assert found.share >= 0.95
    assert found.search.model is not None
    assert found.search.model.bytes_per_image == pytest.approx(8 * 10**6, rel=0.001)
    assert any(trial.first_step_peak_bytes > 1.2 * trial.peak_bytes for trial in found.trials)


def test_sizes_grow_eightfold_and_the_answer_alone_has_its_own_process() -> None:
    """Each further size is tuned for seconds, and each further process costs as much as all its trials."""
    gpu = SimulatedGpu(80 * GIGABYTE, GIGABYTE, 8 * 10**6)
    asked = []
    search = GpuSearch(gpu.limit_bytes, MORE_THAN_ANY_HOLDS)
    while (trial := search.ask()) is not None:
        asked.append(trial)
        search.tell(gpu.trial(trial.size, is_tuned=False, is_first=trial.fresh))

    with_headroom = (76 * GIGABYTE - GIGABYTE) // (8 * 10**6)
    assert asked[:-1] == [NextTrial(size, fresh=False) for size in (4, 32, 256, 2048, with_headroom)]
    assert asked[-1].fresh
    assert 0.95 * gpu.largest <= asked[-1].size <= gpu.largest


def test_a_speed_that_no_longer_grows_ends_the_climb() -> None:
    """A card that is saturated at 32 images would be tuned for larger ones that are no faster."""
    gpu = SimulatedGpu(80 * GIGABYTE, GIGABYTE, 8 * 10**6)
    search, sizes = GpuSearch(gpu.limit_bytes, MORE_THAN_ANY_HOLDS), []
    while (asked := search.ask()) is not None:
        trial = gpu.trial(asked.size, is_tuned=False, is_first=asked.fresh)
        search.tell(trial.model_copy(update={"images_per_second": float(min(asked.size, 32))}))
        sizes.append(asked.size)

    assert sizes[:3] == [4, 32, 256]
    assert len(sizes) == 5


def test_room_for_every_size_of_interest_ends_at_the_largest_of_them() -> None:
    """A probe of at most 4,096 images, which is the default, would tune sizes that it may not answer."""
    found = searched(SimulatedGpu(80 * GIGABYTE, GIGABYTE, 10**6), max_batch=4096)

    assert found.sizes == [4, 32, 256, 2048, 4096]
    assert (found.answer, found.starts) == (4096, 2)


@pytest.mark.parametrize("max_batch", [1, 2, 3, 4, 5, 8, 17, 33, 100])
def test_small_max_batch_is_reached_and_not_passed(max_batch: int) -> None:
    """A set of three images has no batch of four; nor may a probe stop at four where eight are asked for."""
    found = searched(SimulatedGpu(80 * GIGABYTE, GIGABYTE, 10**6), max_batch=max_batch)

    assert max(found.sizes) == found.answer == max_batch
    assert found.starts <= 2


@pytest.mark.parametrize("largest", range(1, 60))
def test_a_card_that_holds_few_images_is_answered(largest: int) -> None:
    """A large network on a small card: rounding down twice would lose images that fit."""
    bytes_per_image = 10**8
    gpu = SimulatedGpu(GIGABYTE + largest * bytes_per_image, GIGABYTE, bytes_per_image)
    found = searched(gpu)

    assert largest >= found.answer >= min(0.95 * largest, largest - 1)


def test_nothing_fits() -> None:
    """A network whose weights alone are too large would be answered with a size, or never."""
    gpu = SimulatedGpu(4 * GIGABYTE, 5 * GIGABYTE, 10**8)
    found = searched(gpu)

    assert (found.answer, found.sizes) == (0, [4, 1])


@dataclass
class CrookedGpu(SimulatedGpu):
    """A card on which sizes from `edge` on need so many bytes more."""

    edge: int = 0
    more_bytes: int = 0

    @property
    def largest(self) -> int:
        """The true answer, on either side of the edge."""
        above = (self.limit_bytes - self.more_bytes - self.base_bytes) // self.bytes_per_image
        return above if above >= self.edge else min(super().largest, self.edge - 1)

    def trial(self, size: int, *, is_tuned: bool, is_first: bool) -> Trial:
        """A trial of a card of which a part is taken."""
        if size < self.edge:
            return super().trial(size, is_tuned=is_tuned, is_first=is_first)
        straight = SimulatedGpu(self.limit_bytes, self.base_bytes + self.more_bytes, self.bytes_per_image)
        return straight.trial(size, is_tuned=is_tuned, is_first=is_first)


@pytest.mark.parametrize(("edge", "more"), [(300, 3), (1000, 2), (1200, 5), (20, 6)])
def test_a_step_beyond_the_line_is_found_by_trial_in_the_same_process(edge: int, more: int) -> None:
    """An out-of-memory leaves the allocator whole: a process for each size in the gap would take 15 s each."""
    gpu = CrookedGpu(12 * GIGABYTE, GIGABYTE, 8 * 10**6, edge=edge, more_bytes=more * GIGABYTE)
    found = searched(gpu)

    assert 0.9 <= found.share <= 1
    assert found.starts <= 3
    assert any(trial.verdict is Verdict.FITS and trial.fresh for trial in found.trials[1:])


def test_a_line_that_misses_a_size_by_a_third_is_neither_used_nor_told() -> None:
    """Its figures would be absurd: the probe goes on by what the last size took, and gives none."""
    gpu = CrookedGpu(40 * GIGABYTE, GIGABYTE, 8 * 10**6, edge=200, more_bytes=20 * GIGABYTE)
    found = searched(gpu)

    assert found.search.model is None
    assert found.share >= 0.95
    assert all(trial.verdict is Verdict.FITS for trial in found.trials)


def test_memory_that_others_take_meanwhile_is_left_to_them() -> None:
    """The line of the sizes before would lead to a size for which there is no room any more."""
    gpu = SimulatedGpu(20 * GIGABYTE, GIGABYTE, 8 * 10**6)
    search = GpuSearch(gpu.limit_bytes, MORE_THAN_ANY_HOLDS)
    for size in (4, 32, 256):
        search.tell(gpu.trial(size, is_tuned=False, is_first=size == 4))
    gpu.others_bytes = 6 * GIGABYTE
    search.tell(gpu.trial(300, is_tuned=False, is_first=False))
    found = searched(gpu, search=search)

    assert search.headroom_bytes(found.answer) == pytest.approx(7 * GIGABYTE)
    assert 0.95 <= found.share <= 1
    assert all(trial.verdict is Verdict.FITS for trial in found.trials)


@pytest.mark.parametrize(("limit", "expected"), [(4, 0.3), (6, 0.3), (80, 4.0)])
def test_headroom_is_a_share_and_300_mb_at_least(limit: int, expected: float) -> None:
    """A training on a full card has nothing left for what no trial shows; one on a small card next to nothing."""
    assert headroom_bytes(limit * GIGABYTE) == pytest.approx(expected * GIGABYTE)


# Saved profiles -------------------------------------------------------------------------------------------------------


def saved(gpu: SimulatedGpu, *sizes: int) -> list[Trial]:
    trials = [gpu.trial(size, is_tuned=False, is_first=False) for size in sizes]
    return [trial.model_copy(update={"saved": True}) for trial in trials]


def test_a_known_size_is_one_trial() -> None:
    """A second probe of the same network would climb again."""
    gpu = SimulatedGpu(16 * GIGABYTE, GIGABYTE, 8 * 10**6)
    known = saved(gpu, 4, 32, 256, 1700, 1840)
    search = GpuSearch(gpu.limit_bytes, MORE_THAN_ANY_HOLDS, saved=known, expected=1840)

    assert searched(gpu, search=search).sizes == [1840]


def test_a_known_line_predicts_for_another_limit() -> None:
    """The same card with another limit would be measured from nothing."""
    gpu = SimulatedGpu(8 * GIGABYTE, GIGABYTE, 8 * 10**6)
    search = GpuSearch(gpu.limit_bytes, MORE_THAN_ANY_HOLDS, saved=saved(gpu, 4, 32, 256))
    found = searched(gpu, search=search)

    assert len(found.trials) == 1
    assert found.share >= 0.95


def test_a_profile_that_does_not_hold_is_dropped() -> None:
    """Its two sizes failed: the climb would go on from sizes that never ran here."""
    gpu = SimulatedGpu(8 * GIGABYTE, GIGABYTE, 8 * 10**6)
    known = saved(SimulatedGpu(80 * GIGABYTE, GIGABYTE, 8 * 10**6), 4, 32, 9000)
    search = GpuSearch(gpu.limit_bytes, MORE_THAN_ANY_HOLDS, saved=known, expected=9000)
    found = searched(gpu, search=search)

    assert search.hint_failed
    assert found.sizes[2] == 4
    assert found.share >= 0.95


@given(
    outcomes=st.lists(
        st.tuples(st.sampled_from([Verdict.FITS] * 3 + [Verdict.DEVICE_OOM, Verdict.TIMEOUT]), st.integers(0, 10**12)),
        min_size=10,
        max_size=10,
    ),
    limit_bytes=st.integers(0, 10**12),
    max_batch=st.integers(1, 4096),
)
def test_no_device_makes_a_search_wrong(
    *, outcomes: list[tuple[Verdict, int]], limit_bytes: int, max_batch: int
) -> None:
    """A search would not end, ask above a failed size, or answer with a size that did not run fresh."""
    search, is_used = GpuSearch(limit_bytes, max_batch), False
    trials: list[Trial] = []
    while (asked := search.ask()) is not None:
        verdict, peak = outcomes[len(trials)]
        trial = Trial(batch_size=asked.size, verdict=verdict, peak_bytes=peak, fresh=asked.fresh or not is_used)
        is_used = True
        trials.append(trial)
        search.tell(trial)
    fails = [trial.batch_size for trial in trials if trial.verdict is not Verdict.FITS]
    ceiling = min(fails, default=max_batch + 1)
    fresh = [t.batch_size for t in trials if t.verdict is Verdict.FITS and t.fresh and t.batch_size < ceiling]

    assert search.answer == max(fresh, default=0)
    assert fails == sorted(set(fails), reverse=True)
    assert all(1 <= trial.batch_size <= max_batch for trial in trials)
