"""A probe from its first trial to its verified answer, on workers that are simulated: no process, no TensorFlow."""

# ruff: noqa: D102 - the methods of our seams are documented where the seams are

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from autofit.config.options import make_options
from autofit.config.rungs import KEPT, ON_REQUEST, Rung
from autofit.errors import AutofitError, InterruptedRunError, StorageError, TrainingFailedError, UserError
from autofit.machine.hardware import Hardware
from autofit.probing.hint import ProfileHint
from autofit.probing.ladder import Start
from autofit.probing.loop import Prober
from autofit.probing.recommend import recommended_speed
from autofit.probing.records import ProbeReport
from autofit.probing.request import ProbeRequest
from autofit.process.launch import Exit, Worker
from autofit.protocol.job import Event, Job, Outcome
from autofit.protocol.messages import EpochEnd, MemoryBudget, Phase, Progress, Request, Trial, Verdict
from autofit.protocol.payload import Payload
from autofit.runs.model_source import model_source, on_rung, workload
from autofit.storage.run_directory import AttemptDirectory
from tests.support.machines import make_hardware

LIMIT_BYTES = 1000 * 10**6
IMAGE_BYTES = 10 * 10**6
BASELINE_RSS_BYTES = 200 * 10**6
FASTEST = 32

Answer = Trial | Outcome | Exit | Literal["silence"]
Device = Callable[[int, int], Answer]
"""The answer of the n-th worker to a trial of a size: a measurement, an outcome, a sudden exit, or nothing."""


UNBUILT = Outcome(verdict=Verdict.DEVICE_OOM, cause="while building")
"""A worker whose memory runs out before its network is built."""


def speed(size: int) -> float:
    """Images per second: as fast as any from 32 on."""
    return min(size, FASTEST) * 10.0


def fits(size: int, host_bytes: int = 0) -> Trial:
    return Trial(
        batch_size=size,
        verdict=Verdict.FITS,
        peak_bytes=size * IMAGE_BYTES,
        host_bytes=host_bytes,
        step_seconds=size / speed(size),
        images_per_second=speed(size),
    )


def runs_out(size: int) -> Trial:
    return Trial(batch_size=size, verdict=Verdict.DEVICE_OOM, cause="out of memory")


def device(largest: int) -> Device:
    """A device on which every worker fits this many images at once."""
    return lambda _, size: fits(size) if size <= largest else runs_out(size)


@dataclass
class SimulatedWorker:
    """A worker that answers each request at once: it writes the files that a real worker writes."""

    attempt: AttemptDirectory
    number: int
    device: Device
    asked: list[int] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    exit: Exit | None = None
    closed: bool = False

    def begin(self, outcome: Outcome | None) -> None:
        if outcome is not None:
            self.end(outcome)
        else:
            self.event(Event(baseline_rss_bytes=BASELINE_RSS_BYTES))

    def poll(self) -> Exit | None:
        return self.exit

    def send(self, request: Request) -> None:
        if request.trial is None:
            self.end(Outcome(verdict=Verdict.COMPLETED))
        elif self.exit is None:
            if not self.asked:
                self.event(Event(allocator_bytes=LIMIT_BYTES))
            self.asked.append(request.trial)
            self.requests.append(request)
            self.line(self.attempt.progress, Progress(time=0.0, phase=Phase.PROBE).model_dump_json())
            self.do(self.device(self.number, request.trial))

    def do(self, answer: Answer) -> None:
        if isinstance(answer, Trial):
            changes = {"fresh": len(self.asked) == 1, "allocator_bytes": answer.allocator_bytes or LIMIT_BYTES}
            self.event(Event(trial=answer.model_copy(update=changes)))
            if answer.verdict is not Verdict.FITS:
                self.end(Outcome(verdict=Verdict.COMPLETED))
        elif isinstance(answer, Outcome):
            if answer == UNBUILT:
                self.line(self.attempt.progress, Progress(time=0.0, phase=Phase.BUILD).model_dump_json())
            self.end(answer)
        elif isinstance(answer, Exit):
            self.exit = answer

    def kill(self) -> None:
        self.exit = self.exit or Exit(-9)

    def close(self) -> None:
        self.closed = True

    def end(self, outcome: Outcome) -> None:
        outcome.save(self.attempt.outcome)
        self.exit = Exit(0)

    def event(self, event: Event) -> None:
        self.line(self.attempt.events, event.model_dump_json(exclude_defaults=True))

    def line(self, path: Path, text: str) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")


@dataclass
class SimulatedLauncher:
    """Starts simulated workers; `at_start` is the outcome with which each ends before its first event."""

    device: Device
    at_start: Outcome | None = None
    isolated: bool = True
    workers: list[SimulatedWorker] = field(default_factory=list)
    payloads: list[Payload | None] = field(default_factory=list)

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        del lock_fd
        assert sum(not worker.closed for worker in self.workers) < 2, "one measures, one is on standby"
        assert all(worker.closed for worker in self.workers if worker.asked), "two at a time would measure each other"
        assert Job.load(attempt.job).work.kind == "trials"
        worker = SimulatedWorker(attempt, len(self.workers) + 1, self.device)
        self.workers.append(worker)
        self.payloads.append(payload)
        worker.begin(self.at_start)
        return worker

    @property
    def asked(self) -> list[list[int]]:
        """The sizes that each worker was asked for, without the idle workers."""
        return [worker.asked for worker in self.workers if worker.asked]


class Silence:
    """A view that shows nothing."""

    def update(self, progress: Progress, *, epochs: int) -> None: ...

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None: ...

    def message(self, text: str) -> None: ...

    def passthrough(self, text: str) -> None: ...


@dataclass
class Clock:
    """A clock that only advances in `sleep`; `interrupt_at` is the time of Ctrl-C."""

    now: float = 0.0
    interrupt_at: float = float("inf")

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        del seconds
        self.now += 20.0
        if self.now >= self.interrupt_at:
            self.interrupt_at = float("inf")
            raise KeyboardInterrupt


MACHINE = make_hardware(host_limit_bytes=12 * 10**9, host_available_bytes=9 * 10**9, limited_by="the host")


MEMORY = MemoryBudget(device="cpu", limit_bytes=LIMIT_BYTES, is_given=True)


@dataclass
class Bench:
    """A prober on a simulated device."""

    folder: Path
    max_batch: int = 4096
    clock: Clock = field(default_factory=Clock)
    payload: Payload | None = None
    rung: Rung = KEPT
    hint: ProfileHint | None = None
    memory: MemoryBudget = field(default_factory=lambda: MEMORY)
    machine: Hardware = field(default_factory=lambda: MACHINE)
    start: Start = field(default_factory=Start)
    from_above: bool = False
    others_bytes: int = 0

    def probe(self, launcher: SimulatedLauncher) -> ProbeReport:
        options = make_options(image_size=32)
        request = ProbeRequest(
            source=on_rung(model_source(options, 3), self.rung),
            workload=workload(options, 3),
            memory=self.memory,
            machine=self.machine,
            limited_by="--memory-limit",
            max_batch=self.max_batch,
            folder=self.folder,
            hint=self.hint,
            start=self.start,
            from_above=self.from_above,
            payload=self.payload,
            others_bytes=lambda: self.others_bytes,
        )
        try:
            return Prober(request, launcher, Silence(), clock=self.clock, sleep=self.clock.sleep).run()
        finally:
            assert all(worker.closed for worker in launcher.workers), "a worker was left behind"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_answer_was_itself_run_in_a_fresh_worker(bench: Bench) -> None:
    """The answer would be verified only by a fragmented process, or not at all, and a training could not use it."""
    launcher = SimulatedLauncher(device(97))
    report = bench.probe(launcher)
    assert 93 <= report.largest_feasible_batch <= 97  # within 5 %
    assert [report.largest_feasible_batch] in launcher.asked
    verified = [t for t in report.trials if t.batch_size == report.largest_feasible_batch]
    assert [(trial.verdict, trial.fresh) for trial in verified] == [(Verdict.FITS, True)]


def test_the_report_has_the_probed_network_and_the_results(bench: Bench) -> None:
    """`probe.json` would lack fields that its readers rely on, or have fields that do not belong to it."""
    report = bench.probe(SimulatedLauncher(device(97)))
    assert report.memory_limit_bytes == LIMIT_BYTES
    assert report.allocator_limit_bytes == LIMIT_BYTES
    assert report.limited_by == "--memory-limit"
    assert report.memory_model is not None
    assert report.memory_model.bytes_per_image == pytest.approx(IMAGE_BYTES)
    assert report.hardware["cores"] == 2
    assert "other_gpu_processes" not in report.hardware
    assert report.wall_seconds > 0
    assert ProbeReport.model_validate_json(report.to_json()) == report


@pytest.mark.parametrize("largest", [1, 2, 3, 4, 7, 16, 31, 33, 64, 97, 1000])
def test_the_recommendation_fits_and_is_as_fast_as_any(bench: Bench, largest: int) -> None:
    """A training would start with a size that was found not to fit, or with a slow one."""
    report = bench.probe(SimulatedLauncher(device(largest)))
    assert 0 < report.recommended_batch <= report.largest_feasible_batch <= largest
    assert speed(report.recommended_batch) >= 0.95 * speed(report.largest_feasible_batch)


@pytest.mark.parametrize("max_batch", [1, 2, 3, 5, 8, 80])
def test_no_size_beyond_the_largest_of_interest_is_tried(bench: Bench, max_batch: int) -> None:
    """A probe for a set of a hundred images would climb to thousands."""
    bench.max_batch = max_batch
    launcher = SimulatedLauncher(device(10**6))
    assert bench.probe(launcher).largest_feasible_batch == max_batch
    assert max(size for sizes in launcher.asked for size in sizes) == max_batch


def test_after_an_out_of_memory_a_new_worker_measures(bench: Bench) -> None:
    """A worker with a fragmented allocator would be asked again, and its answers believed."""
    launcher = SimulatedLauncher(device(10))
    report = bench.probe(launcher)
    assert report.largest_feasible_batch == 10
    for worker in launcher.workers:
        assert all(size <= 10 for size in worker.asked[:-1])
    assert sum(sizes[-1] > 10 for sizes in launcher.asked) >= 1


def test_an_answer_that_fails_in_a_fresh_worker_is_dropped(bench: Bench) -> None:
    """The probe would return a size that has just failed."""

    def only_once(worker: int, size: int) -> Answer:
        return fits(size) if size <= (97 if worker == 1 else 60) else runs_out(size)

    launcher = SimulatedLauncher(only_once)
    report = bench.probe(launcher)
    assert 0 < report.largest_feasible_batch <= 60
    assert [report.largest_feasible_batch] in launcher.asked
    assert any(t.verdict is Verdict.DEVICE_OOM for t in report.trials)


def test_a_fresh_process_over_the_limit_does_not_fit_whatever_its_allocator_says(bench: Bench) -> None:
    """The kernel or the supervisor would end the training: the limit is on all that is resident."""

    def resident(_: int, size: int) -> Answer:
        return fits(size, host_bytes=500 * 10**6 + size * IMAGE_BYTES)  # 50 images come to the limit

    report = bench.probe(SimulatedLauncher(resident))
    assert 0 < report.largest_feasible_batch <= 50
    over = [trial for trial in report.trials if trial.verdict is Verdict.HOST_OOM]
    assert {trial.cause for trial in over} == {"resident memory over the limit"}
    assert min(trial.batch_size for trial in over) > report.largest_feasible_batch


@pytest.mark.parametrize("taken_bytes", [0, 2 * 10**9])
def test_a_neighbour_that_takes_the_hosts_memory_is_named(bench: Bench, taken_bytes: int) -> None:
    """What it left would be saved as what the machine holds, and the size be said to need more than there is."""
    killed = Outcome(verdict=Verdict.HOST_OOM, cause="SIGKILL: the kernel's OOM killer")
    bench.others_bytes = taken_bytes
    report = bench.probe(SimulatedLauncher(lambda _, size: fits(size) if size <= 10 else killed))
    assert report.largest_feasible_batch == 10
    words = "; another program took 2 GB of the memory meanwhile" if taken_bytes else ""
    for trial in report.trials:
        ran_out = trial.verdict is Verdict.HOST_OOM
        assert trial.other_processes_bytes == (taken_bytes if ran_out else 0)
        assert trial.cause == (killed.cause + words if ran_out else "")


@pytest.mark.parametrize("is_given", [False, True])
def test_a_neighbour_that_leaves_a_smaller_arena_is_named(bench: Bench, *, is_given: bool) -> None:
    """What a worker could not get beside it would be saved as what the machine holds, for each later probe."""
    short = Outcome(verdict=Verdict.DEVICE_OOM, cause="out of memory")
    bench.others_bytes, bench.memory = 2 * 10**9, MEMORY.model_copy(update={"is_given": is_given})
    report = bench.probe(SimulatedLauncher(lambda _, size: fits(size) if size <= 10 else short))
    told = {trial.other_processes_bytes for trial in report.trials if trial.verdict is Verdict.DEVICE_OOM}
    assert told == ({0} if is_given else {2 * 10**9})  # a limit that was given is smaller than what is there


def test_a_process_that_was_over_the_limit_for_a_while_does_not_fit_either(bench: Bench) -> None:
    """The resident memory at its end would hide the resident memory in a step."""

    def touched(_: int, size: int) -> Answer:
        trial = fits(size, host_bytes=size)
        return trial.model_copy(
            update={"arena_resident_bytes": size * IMAGE_BYTES * 2, "non_allocator_bytes": 40 * 10**6}
        )

    report = bench.probe(SimulatedLauncher(touched))
    assert 0 < report.largest_feasible_batch <= 48


def test_an_answer_whose_process_had_too_low_an_estimate_is_verified_under_what_was_measured(bench: Bench) -> None:
    """A training gets what the processes were measured to take besides tensors, and its first step would run out.

    The first process has an estimate, and 800 MB for tensors; each is measured to take 700 MB besides.
    """

    def answer(worker: int, size: int) -> Answer:
        peak_bytes, room_bytes = size * 100 * 10**6, (800 if worker == 1 else 280) * 10**6
        if peak_bytes > room_bytes:
            return runs_out(size)
        measured = {"peak_bytes": peak_bytes, "non_allocator_bytes": 700 * 10**6, "allocator_bytes": room_bytes}
        return fits(size).model_copy(update=measured)

    report = bench.probe(SimulatedLauncher(answer))
    assert report.largest_feasible_batch == 2
    tried = [(trial.batch_size, trial.verdict, trial.fresh) for trial in report.trials]
    assert (4, Verdict.FITS, False) in tried
    assert (4, Verdict.DEVICE_OOM, True) in tried


def test_nothing_fits(bench: Bench) -> None:
    """A probe on a device that is too small would never end, or return a size."""
    launcher = SimulatedLauncher(device(0))
    report = bench.probe(launcher)
    assert (report.largest_feasible_batch, report.recommended_batch, report.memory_model) == (0, 0, None)
    assert launcher.asked == [[4], [1]]


def test_where_nothing_fits_on_a_gpu_no_size_leaves_a_headroom(bench: Bench) -> None:
    """The report would say what the recommended size leaves free, and that there is none."""
    bench.memory = MEMORY.model_copy(update={"device": "gpu"})
    report = bench.probe(SimulatedLauncher(device(0)))
    assert (report.largest_feasible_batch, report.headroom_bytes) == (0, 0)


def test_only_one_image_fits(bench: Bench) -> None:
    """The probe would give up where a training, slow as it is, is possible."""
    assert bench.probe(SimulatedLauncher(device(1))).largest_feasible_batch == 1


def test_a_worker_that_the_kernel_kills_is_a_size_that_does_not_fit(bench: Bench) -> None:
    """A size that the host could not hold would end the probe instead of being its answer."""

    def killed(_: int, size: int) -> Answer:
        return fits(size) if size <= 20 else Outcome(verdict=Verdict.HOST_OOM, cause="MemoryError")

    report = bench.probe(SimulatedLauncher(killed))
    assert 0 < report.largest_feasible_batch <= 20
    assert Verdict.HOST_OOM in {trial.verdict for trial in report.trials}


@pytest.mark.parametrize("from_above", [True, False])
def test_weights_that_do_not_fit_are_not_tried_with_ever_fewer_images(bench: Bench, *, from_above: bool) -> None:
    """Fine-tuning's probe would start TensorFlow for 32, 16, 8, 4, 2 and 1 images, whose weights take the same."""
    bench.from_above, bench.max_batch = from_above, 32
    launcher = SimulatedLauncher(lambda _, __: UNBUILT)
    report = bench.probe(launcher)
    assert report.largest_feasible_batch == 0
    assert launcher.asked == ([[32], [16]] if from_above else [[4], [1]])
    assert all(trial.fresh and trial.was_building for trial in report.trials)  # else no process had started


def test_where_fewer_images_leave_the_weights_more_room_they_are_tried(bench: Bench) -> None:
    """A network whose weights fit beside one image would be said not to fit, because of the buffers of 512."""
    bench.from_above, bench.max_batch = True, 65536
    bench.probe(launcher := SimulatedLauncher(lambda _, __: UNBUILT))
    assert len(launcher.asked) > 2


def test_a_trial_that_hangs_is_stopped_and_counts_as_too_large(bench: Bench) -> None:
    """The probe would wait for ever on a device that swaps."""

    def stuck(_: int, size: int) -> Answer:
        return fits(size) if size <= 20 else "silence"

    report = bench.probe(SimulatedLauncher(stuck))
    assert 0 < report.largest_feasible_batch <= 20
    assert Verdict.TIMEOUT in {trial.verdict for trial in report.trials}
    assert bench.clock.now < 3600


def test_a_trial_has_sixty_times_its_predicted_step_and_two_minutes(bench: Bench) -> None:
    """A device that swaps would hold the probe for hours; or a slow one be taken for stuck."""

    def stuck(_: int, size: int) -> Answer:
        return fits(size).model_copy(update={"step_seconds": float(size)}) if size <= 4 else "silence"

    launcher = SimulatedLauncher(stuck)
    assert bench.probe(launcher).largest_feasible_batch == 4
    assert launcher.asked == [[4, 16]]
    assert 120 + 60 * 16 <= bench.clock.now <= 120 + 60 * 16 + 100


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            Outcome(verdict=Verdict.CRASHED, cause="ValueError: bad kernel"),
            TrainingFailedError,
            "ValueError: bad kernel",
        ),
        (Exit(-11), TrainingFailedError, "SIGSEGV"),
        (Exit(3), TrainingFailedError, "exit code 3"),
        (Outcome(verdict=Verdict.COMPLETED), TrainingFailedError, "ended without an answer"),
        (Outcome(verdict=Verdict.USER_ERROR, cause="model f: no such name"), UserError, "model f: no such name"),
        (Outcome(verdict=Verdict.STORAGE, cause="No space left on device"), StorageError, "No space left on device"),
    ],
    ids=["exception", "signal", "exit code", "silent end", "user", "disk"],
)
def test_an_exit_that_is_not_memory_is_raised_with_its_cause(
    bench: Bench, answer: Answer, kind: type[AutofitError], message: str
) -> None:
    """The probe would go lower and lower on an error that comes at every size, and hide it."""
    launcher = SimulatedLauncher(lambda _, size: fits(size) if size <= 4 else answer)
    with pytest.raises(AutofitError, match=message) as raised:
        bench.probe(launcher)
    assert type(raised.value) is kind
    assert launcher.asked == [[4, 16]]


def test_an_error_at_the_start_of_a_worker_is_raised(bench: Bench) -> None:
    """A limit below the need of the process would be reported as a crash."""
    refusal = Outcome(verdict=Verdict.USER_ERROR, cause="memory_limit 1 GB is under what the bare process needs")
    with pytest.raises(UserError, match="under what the bare process needs"):
        bench.probe(SimulatedLauncher(device(100), at_start=refusal))


@pytest.mark.parametrize("pressed_at", [20.0, 40.0, 60.0, 100.0])
def test_ctrl_c_ends_the_probe_whenever_it_is_pressed(bench: Bench, pressed_at: float) -> None:
    """A Ctrl-C that comes just before an answer would be lost, and the training would start."""
    bench.clock.interrupt_at = pressed_at
    launcher = SimulatedLauncher(lambda _, size: fits(size) if size <= 4 else "silence")
    with pytest.raises(InterruptedRunError, match="the probe was stopped"):
        bench.probe(launcher)


def test_ctrl_c_is_not_lost_where_the_answer_comes_at_the_same_moment(bench: Bench) -> None:
    """A worker that was asked to stop finishes its trial; the probe would take that answer and go on."""

    class Impatient(SimulatedWorker):
        def poll(self) -> Exit | None:
            if self.asked and bench.clock.interrupt_at == 0.0:
                bench.clock.interrupt_at = float("inf")
                raise KeyboardInterrupt
            return super().poll()

    class Launcher(SimulatedLauncher):
        def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
            del payload, lock_fd
            worker = Impatient(attempt, len(self.workers) + 1, self.device)
            self.workers.append(worker)
            worker.begin(None)
            return worker

    bench.max_batch = 1
    launcher = Launcher(device(10))
    bench.clock.interrupt_at = 0.0
    with pytest.raises(InterruptedRunError, match="the probe was stopped"):
        bench.probe(launcher)
    assert launcher.asked == [[1]]


def test_each_worker_gets_the_model_that_was_sent_and_a_folder_of_its_own(bench: Bench) -> None:
    """The verification would build another model, or read what the first worker wrote."""
    bench.payload = Payload(model=lambda shape, classes: (shape, classes))
    launcher = SimulatedLauncher(device(10))
    bench.probe(launcher)
    assert len({worker.attempt.path for worker in launcher.workers}) == len(launcher.workers) > 1
    assert set(map(id, launcher.payloads)) == {id(bench.payload)}


# The processes --------------------------------------------------------------------------------------------------------


def test_a_second_worker_is_on_standby_only_if_it_will_be_needed(bench: Bench) -> None:
    """The verification would wait for an import; or an idle TensorFlow would be left behind by a probe of 8 images."""
    launcher = SimulatedLauncher(device(10**6))
    bench.probe(launcher)
    assert launcher.asked == [[4, 16, 32, 64], [97]]
    assert len(launcher.workers) == 2

    bench.max_batch, bench.folder = 8, bench.folder / "small"
    small = SimulatedLauncher(device(10**6))
    bench.probe(small)
    assert len(small.workers) == 2
    assert small.asked == [[4], [8]]


def test_inline_has_no_second_worker(bench: Bench) -> None:
    """Two workers in one process would measure each other."""
    launcher = SimulatedLauncher(device(97), isolated=False)
    bench.probe(launcher)
    assert all(worker.asked for worker in launcher.workers)


def fits_in_process(size: int) -> Trial:
    """A process of 300 MB, of which the image buffers are 32 MiB."""
    return fits(size).model_copy(update={"non_allocator_bytes": 300 * 10**6 + 32 * 2**20})


def test_where_activations_are_recomputed_the_answer_has_held_in_less_room(bench: Bench) -> None:
    """The peak of a step is not the same in each: what just fits in the trial would run out in the training."""
    bench.rung = ON_REQUEST
    launcher = SimulatedLauncher(lambda _, size: fits_in_process(size) if size <= 66 else runs_out(size))
    report = bench.probe(launcher)
    verifying = launcher.workers[1].requests[0]
    assert verifying.memory is not None
    assert verifying.memory.buffer_bytes > 32 * 2**20 + 0.04 * (bench.memory.limit_bytes - report.baseline_rss_bytes)
    assert verifying.steps == 12


def test_the_memory_outside_the_allocator_is_measured_and_subtracted(bench: Bench) -> None:
    """The allocator would get the memory that TensorFlow itself needs, and the process would grow over its limit."""
    launcher = SimulatedLauncher(lambda _, size: fits_in_process(size) if size <= 66 else runs_out(size))
    report = bench.probe(launcher)
    first, verifying = launcher.workers[0].requests[0].memory, launcher.workers[1].requests[0].memory
    assert first is not None
    assert first.non_allocator_bytes is None  # for the worker to estimate
    assert verifying is not None
    assert verifying.non_allocator_bytes == 316 * 10**6  # with the least margin
    assert verifying.buffer_bytes == 32 * 2**20
    assert report.non_allocator_bytes == 316 * 10**6
    assert 63 <= report.largest_feasible_batch <= 66  # (1000 - 300 - 34) / 10


def test_a_process_that_grew_from_trial_to_trial_is_given_that_much_more(bench: Bench) -> None:
    """The process that trains would grow once more as its trials did, and over the limit."""

    def growing(_: int, size: int) -> Answer:
        trial, more_bytes = fits_in_process(size), 20 * 10**6 if size >= 32 else 0
        return trial.model_copy(update={"non_allocator_bytes": trial.non_allocator_bytes + more_bytes})

    launcher = SimulatedLauncher(growing)
    report = bench.probe(launcher)
    verifying = launcher.workers[1].requests[0].memory
    assert verifying is not None
    assert verifying.non_allocator_bytes == report.non_allocator_bytes == (320 + 20) * 10**6


def test_a_size_that_ran_out_under_an_estimate_is_tried_with_what_was_measured(bench: Bench) -> None:
    """Under a tight limit nothing would be found to fit, since a process was taken to need more than it does."""
    short = runs_out(4).model_copy(
        update={"non_allocator_bytes": 300 * 10**6 + 32 * 2**20, "allocator_bytes": 60 * 10**6}
    )

    def device(number: int, size: int) -> Answer:
        return short if number == 1 else fits_in_process(size) if size <= 66 else runs_out(size)

    launcher = SimulatedLauncher(device)
    report = bench.probe(launcher)
    assert [launcher.workers[n].asked[0] for n in (0, 1)] == [4, 4]
    assert 63 <= report.largest_feasible_batch <= 66
    assert short not in report.trials


def test_a_size_that_ran_out_in_a_process_with_an_estimated_budget_is_tried_in_one_with_the_measured(
    bench: Bench,
) -> None:
    """A process keeps the budget of its first size: 11 images were "found" in 304 MB, and 21 fitted in 489."""

    def device(number: int, size: int) -> Answer:
        if number == 1 and size > 4:
            return runs_out(size).model_copy(update={"allocator_bytes": 60 * 10**6})
        return fits_in_process(size) if size <= 66 else runs_out(size)

    launcher = SimulatedLauncher(device)
    report = bench.probe(launcher)
    assert [worker.asked[:2] for worker in launcher.workers[:2]] == [[4, 16], [16]]
    assert 63 <= report.largest_feasible_batch <= 66


def test_the_first_size_and_the_first_process_are_as_the_rung_before_allows(bench: Bench) -> None:
    """Each rung of the ladder would run out of memory with four images first, and again for what is only estimated."""
    launcher = SimulatedLauncher(lambda _, size: fits_in_process(size) if size <= 2 else runs_out(size))
    bench.start = Start(from_one=True, non_allocator_bytes=300 * 10**6)
    report = bench.probe(launcher)
    first = launcher.workers[0]
    assert first.asked[0] == 1
    assert first.requests[0].memory is not None
    assert first.requests[0].memory.non_allocator_bytes == 300 * 10**6
    assert report.largest_feasible_batch == 2


def test_a_size_of_interest_is_come_to_from_below_where_nothing_has_fitted(bench: Bench) -> None:
    """64, 32, ... and 1 have run out on the rung before, each in a process of its own: it would go on like that."""
    bench.start, bench.from_above, bench.max_batch = Start(from_one=True), True, 64
    launcher = SimulatedLauncher(device(64))
    report = bench.probe(launcher)
    assert launcher.workers[0].asked[0] == 1
    assert report.largest_feasible_batch == 64


def test_a_gpu_process_has_the_whole_limit(bench: Bench) -> None:
    """The host's image buffers would be subtracted from the device's memory."""
    bench.memory = MEMORY.model_copy(update={"device": "gpu"})
    launcher = SimulatedLauncher(device(10**6))
    bench.probe(launcher)
    assert {request.memory for worker in launcher.workers for request in worker.requests} == {bench.memory}


def test_images_that_leave_no_room_for_tensors_do_not_fit_and_start_no_worker(bench: Bench) -> None:
    """A worker would refuse the limit as bad input, and end a probe that had only asked for too much."""
    bench.hint = ProfileHint(
        trials=(saved(4), saved(200_000)), expected_batch=200_000, non_allocator_bytes=0, origin="an untrusted profile"
    )
    bench.max_batch = 10**6
    launcher = SimulatedLauncher(device(97))
    report = bench.probe(launcher)
    assert report.trials[0] == Trial(
        batch_size=200_000, verdict=Verdict.HOST_OOM, cause="its images take all the memory"
    )
    assert 93 <= report.largest_feasible_batch <= 97


# Saved profiles -------------------------------------------------------------------------------------------------------


def saved(size: int) -> Trial:
    return fits(size).model_copy(update={"saved": True})


KNOWN = ProfileHint(
    trials=tuple(map(saved, (4, 16, 32, 64, 98))), expected_batch=98, non_allocator_bytes=0, origin="your profile"
)


def test_a_known_size_is_verified_and_nothing_else(bench: Bench) -> None:
    """A saved profile would save nothing."""
    bench.hint = KNOWN
    launcher = SimulatedLauncher(device(100))
    report = bench.probe(launcher)
    assert launcher.asked == [[98]]
    assert len(launcher.workers) == 1
    assert launcher.workers[0].requests[0].steps == 1
    assert report.source == "profile"
    assert report.largest_feasible_batch == 98
    assert report.baseline_rss_bytes == BASELINE_RSS_BYTES
    assert report.recommended_batch == 32  # from the speeds that were measured then
    assert [trial.saved for trial in report.trials] == [True] * 5 + [False]


@pytest.mark.parametrize(("larger_bytes", "answer"), [(100 * 10**6, 56), (-50 * 10**6, 71), (4 * 10**6, 66)])
def test_a_process_that_is_larger_than_the_profiles_asks_for_fewer_images(
    bench: Bench, larger_bytes: int, answer: int
) -> None:
    """Another installation of the same libraries has 0.1 GB more resident, and the profile would fail its one trial."""
    non_allocator_bytes = 300 * 10**6
    known = tuple(fits_in_process(size).model_copy(update={"saved": True}) for size in (4, 64, 66))
    bench.hint = ProfileHint(
        known,
        expected_batch=66,
        non_allocator_bytes=non_allocator_bytes,
        origin="",
        baseline_rss_bytes=BASELINE_RSS_BYTES - larger_bytes,
    )
    launcher = SimulatedLauncher(
        lambda _, size: fits_in_process(size).model_copy(
            update={"non_allocator_bytes": fits_in_process(size).non_allocator_bytes + larger_bytes}
        )
    )
    report = bench.probe(launcher)
    assert launcher.asked == [[answer]]
    assert report.source == "profile"
    given = launcher.workers[0].requests[0]
    assert given.steps == (2 if answer > 66 else 1)  # no speed is known of a size beyond those that were timed
    assert given.memory is not None
    assert given.memory.non_allocator_bytes == report.non_allocator_bytes == non_allocator_bytes + larger_bytes


def test_a_profile_that_does_not_hold_is_dropped_with_a_message(bench: Bench) -> None:
    """The report would mix another machine's figures with this one's."""
    bench.hint = KNOWN
    report = bench.probe(SimulatedLauncher(device(60)))
    assert report.source == "measured"
    assert not any(trial.saved for trial in report.trials)
    assert 57 <= report.largest_feasible_batch <= 60


def test_another_limit_starts_from_the_known_line(bench: Bench) -> None:
    """A near match would be as slow as none."""
    bench.hint = ProfileHint(
        trials=tuple(map(saved, (4, 16, 32, 64, 300))), expected_batch=0, non_allocator_bytes=0, origin="your profile"
    )
    launcher = SimulatedLauncher(device(100))
    report = bench.probe(launcher)
    assert all(len(sizes) == 1 for sizes in launcher.asked)
    assert len(launcher.asked) <= 2
    assert report.source == "profile"
    assert 95 <= report.largest_feasible_batch <= 100


def test_sizes_that_fitted_under_a_larger_limit_are_not_said_to_fit_under_this_one(bench: Bench) -> None:
    """A table would say that 300 images fit, and take 3 GB of 1, and the best speed be that of a size too large."""
    known = tuple(saved(size).model_copy(update={"images_per_second": 10.0 * size}) for size in (4, 16, 64, 104, 300))
    bench.hint = ProfileHint(trials=known, expected_batch=0, non_allocator_bytes=0, origin="your profile")
    report = bench.probe(SimulatedLauncher(device(100)))
    assert report.source == "profile"
    assert [trial.batch_size for trial in report.trials if trial.saved] == [4, 16, 64]
    assert max(trial.memory_bytes for trial in report.trials) <= LIMIT_BYTES


def test_a_size_that_fitted_under_this_limit_tells_how_fast_a_slightly_smaller_one_is(bench: Bench) -> None:
    """The recommended size of a profile, with few images less today, would have no speed in a report."""
    known = tuple(saved(size).model_copy(update={"images_per_second": 10.0 * size}) for size in (4, 64, 104, 300))
    bench.hint = ProfileHint(trials=known, expected_batch=98, non_allocator_bytes=0, origin="your profile")
    report = bench.probe(SimulatedLauncher(lambda _, size: fits(size).model_copy(update={"images_per_second": 0.0})))
    assert [trial.batch_size for trial in report.trials if trial.saved] == [4, 64, 104]
    assert report.recommended_batch == report.largest_feasible_batch == 98
    assert recommended_speed(report) == 1040


def test_a_host_without_room_for_a_second_process_has_one_at_a_time(bench: Bench) -> None:
    """The kernel would end one of the two, and a size that fits be taken for one that does not."""
    bench.machine = MACHINE.model_copy(update={"host_available_bytes": LIMIT_BYTES + 10**9})
    launcher = SimulatedLauncher(device(97))
    bench.probe(launcher)
    assert all(worker.asked for worker in launcher.workers)


def test_a_first_worker_leaves_room_for_no_more_images_than_are_of_interest(bench: Bench) -> None:
    """Buffers for 16 large images would be taken off a limit that a probe of 4 keeps easily."""
    bench.max_batch = 4
    launcher = SimulatedLauncher(device(97))
    bench.probe(launcher)
    memory = launcher.workers[0].requests[0].memory
    assert memory is not None
    assert memory.buffer_bytes == 32 * 2**20


def test_an_impossible_process_size_in_a_profile_is_ignored(bench: Bench) -> None:
    """An untrusted file could make a probe report that nothing fits, and the training fail."""
    bench.hint = ProfileHint(
        trials=tuple(map(saved, (4, 16))), expected_batch=0, non_allocator_bytes=2**50, origin="an untrusted profile"
    )
    report = bench.probe(SimulatedLauncher(device(97)))
    assert 92 <= report.largest_feasible_batch <= 97
    assert report.non_allocator_bytes == 0


def test_a_profile_of_one_small_size_holds(bench: Bench) -> None:
    """A probe of at most 4 images would say each time that its own profile does not hold."""
    bench.hint = ProfileHint(trials=(saved(4),), expected_batch=4, non_allocator_bytes=0, origin="your profile")
    bench.max_batch = 4
    report = bench.probe(SimulatedLauncher(device(97)))
    assert (report.source, report.largest_feasible_batch) == ("profile", 4)


def test_a_size_that_was_never_timed_is_timed_now(bench: Bench) -> None:
    """A smaller `max_batch` than the profile's makes an answer of a size that never ran: it would have no speed."""
    bench.hint = ProfileHint(trials=KNOWN.trials, expected_batch=50, non_allocator_bytes=0, origin="your profile")
    bench.max_batch = 50
    launcher = SimulatedLauncher(device(97))
    bench.probe(launcher)
    assert [request.steps for request in launcher.workers[0].requests] == [2]
