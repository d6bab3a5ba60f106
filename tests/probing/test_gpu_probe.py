"""A probe of a simulated GPU from its first trial to its report: processes, seconds, headroom. No card has seen it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from autofit.config.options import make_options
from autofit.config.rungs import KEPT, ON_REQUEST, Rung
from autofit.probing.ladder import goal_of, next_rung, rung_record
from autofit.probing.loop import Prober
from autofit.probing.records import ProbeReport
from autofit.probing.request import ProbeRequest
from autofit.protocol.messages import MemoryBudget, Verdict
from autofit.runs.model_source import model_source, workload
from tests.support.machines import make_hardware
from tests.support.simulated_gpu import (
    GIGABYTE,
    START_SECONDS,
    SimulatedClock,
    SimulatedGpu,
    SimulatedGpuLauncher,
    random_gpu,
)
from tests.support.views import RecordingView

MACHINE = make_hardware(device="gpu", host_limit_bytes=128 * GIGABYTE, host_available_bytes=100 * GIGABYTE)


@dataclass
class Probe:
    """One probe of a simulated GPU."""

    gpu: SimulatedGpu
    folder: Path
    max_batch: int = 10**6
    stays_whole: bool = True
    clock: SimulatedClock = field(default_factory=SimulatedClock)

    def __post_init__(self) -> None:
        self.launcher = SimulatedGpuLauncher(self.gpu, self.clock, self.stays_whole)

    def run(self) -> ProbeReport:
        """Find the answer and check that no worker is left."""
        options = make_options(image_size=32)
        request = ProbeRequest(
            source=model_source(options, 3),
            workload=workload(options, 3),
            memory=MemoryBudget(device="gpu", limit_bytes=self.gpu.limit_bytes, is_given=True),
            machine=MACHINE,
            limited_by="--memory-limit",
            max_batch=self.max_batch,
            folder=self.folder,
            others_bytes=lambda: self.gpu.others_bytes,
        )
        report = Prober(request, self.launcher, RecordingView(), clock=self.clock, sleep=self.clock.sleep).run()
        assert all(worker.closed for worker in self.launcher.workers)
        return report

    @property
    def used(self) -> int:
        """The number of processes that ran a trial."""
        return sum(bool(worker.requests) for worker in self.launcher.workers)


@pytest.mark.parametrize("seed", range(20))
def test_a_probe_takes_the_time_of_its_trials_and_one_and_a_half_starts(tmp_path: Path, seed: int) -> None:
    """Starting processes would take longer than what is measured in them, as it does when each size has its own."""
    probe = Probe(random_gpu(random.Random(seed)), tmp_path)
    report = probe.run()
    trials_seconds = sum(trial.seconds for trial in report.trials)

    assert 0.95 * probe.gpu.largest <= report.largest_feasible_batch <= probe.gpu.largest
    assert probe.used <= 2
    assert report.wall_seconds <= trials_seconds + 1.5 * START_SECONDS


@pytest.mark.parametrize("limit", [4, 16, 40, 80])
def test_a_probe_of_mobilenet_takes_a_minute_at_most(tmp_path: Path, limit: int) -> None:
    """The target for a card, with the readings of an H100: a frozen network of 8 MB an image, sizes up to 4,096."""
    report = Probe(SimulatedGpu(limit * GIGABYTE, GIGABYTE // 20, 8 * 10**6), tmp_path, max_batch=4096).run()

    assert report.wall_seconds <= 60


def test_the_report_says_where_the_seconds_went(tmp_path: Path) -> None:
    """A probe that takes long would not say whether it was starting, tuning or measuring."""
    report = Probe(SimulatedGpu(16 * GIGABYTE, GIGABYTE, 8 * 10**6), tmp_path).run()
    spent = report.time_spent

    assert spent is not None
    assert START_SECONDS <= spent.process_starts_seconds <= 1.5 * START_SECONDS
    assert spent.first_steps_seconds == pytest.approx(sum(trial.first_steps_seconds for trial in report.trials))
    assert spent.steady_steps_seconds == pytest.approx(sum(trial.steady_steps_seconds for trial in report.trials))
    total = sum(spent.model_dump().values())
    assert total == pytest.approx(report.wall_seconds)


def test_one_more_shape_is_tuned_for_the_answer_alone(tmp_path: Path) -> None:
    """A shorter last batch at each size of the climb would double what is tuned."""
    probe = Probe(SimulatedGpu(16 * GIGABYTE, GIGABYTE, 8 * 10**6), tmp_path)
    report = probe.run()
    climbing, verifying = probe.launcher.workers

    assert [request.partial_batch for request in climbing.requests] == [False] * len(climbing.requests)
    assert [request.partial_batch for request in verifying.requests] == [True]
    assert verifying.shapes == {report.largest_feasible_batch, report.largest_feasible_batch // 16}


def test_the_recommended_size_leaves_the_headroom_free(tmp_path: Path) -> None:
    """A training would fill the card to its last percent for no more images a second."""
    report = Probe(SimulatedGpu(16 * GIGABYTE, GIGABYTE, 8 * 10**6), tmp_path).run()
    recommended = [t for t in report.trials if t.batch_size == report.recommended_batch]

    assert report.headroom_bytes == pytest.approx(0.8 * GIGABYTE)
    assert all(trial.memory_bytes <= report.memory_limit_bytes - report.headroom_bytes for trial in recommended)
    assert report.recommended_batch < report.largest_feasible_batch
    fastest = max(trial.images_per_second for trial in report.trials)
    assert recommended[0].images_per_second >= 0.97 * fastest


@pytest.mark.parametrize(
    ("gpu", "rung"),
    [
        (SimulatedGpu(4 * GIGABYTE, 3 * GIGABYTE, 3 * 10**8), ON_REQUEST),  # three images
        (SimulatedGpu(4 * GIGABYTE, 3 * GIGABYTE, 4 * 10**8), ON_REQUEST),  # two
        (SimulatedGpu(40 * GIGABYTE, GIGABYTE, 8 * 10**6), None),  # over 4,000, of which half are as fast
    ],
)
def test_a_rung_is_tried_for_speed_if_it_still_rose_at_the_largest_size(
    tmp_path: Path, gpu: SimulatedGpu, rung: Rung | None
) -> None:
    """On a small card a network would train with three images at once, since four leave too little memory free."""
    report = Probe(gpu, tmp_path).run()
    goal = goal_of(report.workload.model_copy(update={"trainable": "all"}), 10**4, "gpu", may_climb=True)
    assert report.recommended_batch < report.largest_feasible_batch
    assert next_rung(goal, [rung_record(KEPT, report)]) == rung


@pytest.mark.parametrize(("stays_whole", "processes"), [(True, 2), (False, 3)])
def test_an_out_of_memory_ends_only_a_process_whose_allocator_is_not_whole(
    tmp_path: Path, *, stays_whole: bool, processes: int
) -> None:
    """Each out-of-memory would cost a start of 15 s; or a fragmented allocator be asked again, and believed."""
    gpu = SimulatedGpu(4 * GIGABYTE, 3 * GIGABYTE, 4 * 10**8)  # two images
    probe = Probe(gpu, tmp_path, stays_whole=stays_whole)
    report = probe.run()

    assert report.largest_feasible_batch == 2
    assert probe.used == processes
    ooms = [trial for trial in report.trials if trial.verdict is Verdict.DEVICE_OOM]
    assert {trial.worker_stays for trial in ooms} == {stays_whole}


def test_what_other_processes_take_is_kept_free_too(tmp_path: Path) -> None:
    """A notebook that fills the card during a probe would make each training on it run out."""
    probe = Probe(SimulatedGpu(16 * GIGABYTE, GIGABYTE, 8 * 10**6), tmp_path)
    sleep = probe.clock.sleep

    def sleep_and_grow(seconds: float) -> None:
        sleep(seconds)
        if probe.clock.now > 19:
            probe.gpu.others_bytes = 2 * GIGABYTE

    probe.clock.sleep = sleep_and_grow  # type: ignore[method-assign]
    report = probe.run()

    assert report.headroom_bytes == pytest.approx(2.8 * GIGABYTE)
    assert report.trials[0].other_processes_bytes == 0
    assert report.trials[-1].other_processes_bytes == 2 * GIGABYTE
    assert 0.95 * probe.gpu.largest <= report.largest_feasible_batch <= probe.gpu.largest
