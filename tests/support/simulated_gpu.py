"""A simulated GPU: what trials on one report and how long they take, made from one H100's readings.

Not a model of any card: it has the traits that make a search on a GPU different. Steady needs are on a line. The first
steps of a size also take workspaces of 0.3 to 4 GB, 50 % more or less each time, which are elastic: where there is no
room they are smaller, and no size fails for them. Each new size of a process is tuned for 2 s, a process takes 15 s to
start, and an out-of-memory takes the allocator's 10 s and leaves it whole.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from pathlib import Path

from autofit.process.launch import Exit, Worker
from autofit.protocol.job import Event, Outcome
from autofit.protocol.messages import Phase, Progress, Request, Trial, Verdict
from autofit.protocol.payload import Payload
from autofit.storage.run_directory import AttemptDirectory

GIGABYTE = 10**9
START_SECONDS = 15.0
IMPORT_SHARE = 0.6  # of a start, before the process needs the card; assumed: the readings do not say
TUNING_SECONDS = 2.0
OOM_SECONDS = 10.0  # TensorFlow's allocator waits so long for memory that is freed
VALIDATION_SHARE = 0.35  # of a training step
SAVE_SECONDS = 0.2
TIMED_SECONDS, TIMED_STEPS = 0.6, 8  # of the steady steps in a trial

SPEEDS = {4: 238, 16: 1176, 32: 1524, 64: 2902, 128: 3273, 256: 4029, 512: 4681, 1024: 5192, 2048: 6230}
"""Images/s of a frozen MobileNet at 224 px on an H100, by batch."""


@dataclass
class SimulatedGpu:
    """One network on one GPU; the same seed gives the same readings.

    Attributes:
        limit_bytes: the memory that the allocator may take.
        base_bytes: what a batch of no images needs.
        bytes_per_image: what each image needs in a steady step.
        seed: of the noise of the workspaces.
        kept_share: the largest share of the images' bytes that a size keeps in steady steps for the workspace of the
            algorithm that tuning chose; elastic too.
        others_bytes: memory that other processes take beyond what they held when the limit was found.
    """

    limit_bytes: int
    base_bytes: int
    bytes_per_image: int
    seed: int = 0
    kept_share: float = 0.0
    others_bytes: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def largest(self) -> int:
        """The true answer: the largest batch whose steady need fits."""
        return max(0, (self.limit_bytes - self.others_bytes - self.base_bytes) // self.bytes_per_image)

    def trial(self, size: int, *, is_tuned: bool, is_first: bool) -> Trial:
        """What a worker reports of this size.

        Args:
            size: images at once.
            is_tuned: the process has run this size before.
            is_first: the process has run nothing before.
        """
        room_bytes = self.limit_bytes - self.others_bytes
        needs_bytes = self.base_bytes + size * self.bytes_per_image
        tuning = 0.0 if is_tuned else TUNING_SECONDS
        if needs_bytes > room_bytes:
            return Trial(
                batch_size=size,
                verdict=Verdict.DEVICE_OOM,
                peak_bytes=room_bytes,
                other_processes_bytes=self.others_bytes,
                seconds=OOM_SECONDS + tuning,
                worker_stays=True,
                fresh=is_first,
            )
        step_seconds = size / speed(size)
        steady = steady_steps(step_seconds) * step_seconds
        first = tuning + (1 + VALIDATION_SHARE) * step_seconds
        workspace_bytes = 10 ** self._random.uniform(math.log10(0.3), math.log10(4)) * GIGABYTE
        workspace_bytes *= self._random.uniform(0.5, 1.5)
        kept_bytes = self._random.uniform(0, self.kept_share) * size * self.bytes_per_image
        return Trial(
            batch_size=size,
            verdict=Verdict.FITS,
            peak_bytes=min(room_bytes, needs_bytes + round(kept_bytes)),
            first_step_peak_bytes=min(room_bytes, needs_bytes + round(workspace_bytes)),
            other_processes_bytes=self.others_bytes,
            step_seconds=step_seconds,
            images_per_second=speed(size),
            seconds=first + steady + VALIDATION_SHARE * step_seconds + SAVE_SECONDS,
            first_steps_seconds=first,
            steady_steps_seconds=steady,
            fresh=is_first,
        )


def random_gpu(rng: random.Random) -> SimulatedGpu:
    """Any network on any card: 4 to 80 GB, 1 to 100 MB an image, weights and the like of 20 MB to 1.5 GB."""
    return SimulatedGpu(
        limit_bytes=round(GIGABYTE * 4 * 20 ** rng.random()),
        base_bytes=round(10 ** rng.uniform(math.log10(20e6), math.log10(1.5e9))),
        bytes_per_image=round(10 ** rng.uniform(6, 8)),
        seed=rng.getrandbits(32),
    )


def speed(size: int) -> float:
    """Images/s of a batch: between two readings linear in the number of doublings, beyond the last no more."""
    sizes = sorted(SPEEDS)
    if size <= sizes[0]:
        return SPEEDS[sizes[0]] * size / sizes[0]
    if size >= sizes[-1]:
        return float(SPEEDS[sizes[-1]])
    upper = next(known for known in sizes if known >= size)
    lower = sizes[sizes.index(upper) - 1]
    share = math.log2(size / lower) / math.log2(upper / lower)
    return SPEEDS[lower] + share * (SPEEDS[upper] - SPEEDS[lower])


def steady_steps(step_seconds: float) -> int:
    """The number of steps after the first that a worker times."""
    return max(1, min(TIMED_STEPS - 1, math.ceil(TIMED_SECONDS / step_seconds)))


# Its workers, on a clock that they advance ----------------------------------------------------------------------------


@dataclass
class SimulatedClock:
    """A clock that jumps, when somebody sleeps, to the next thing that a worker has to say."""

    now: float = 0.0
    due: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """The time now, in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass, at least so many seconds."""
        self.due = [time for time in self.due if time > self.now]
        self.now = max(self.now + seconds, min(self.due, default=0.0))


@dataclass
class SimulatedGpuWorker:
    """A worker that runs trials on a simulated GPU and takes the time for it."""

    attempt: AttemptDirectory
    gpu: SimulatedGpu
    clock: SimulatedClock
    stays_whole: bool
    requests: list[Request] = field(default_factory=list)
    closed: bool = False
    _said: list[tuple[float, Path, str]] = field(default_factory=list)
    _free_at: float = 0.0
    _tuned: set[int] = field(default_factory=set)
    _ends_at: float = math.inf

    def __post_init__(self) -> None:
        self._free_at = self.clock.now + IMPORT_SHARE * START_SECONDS
        self._say(Event(baseline_rss_bytes=GIGABYTE))

    @property
    def shapes(self) -> set[int]:
        """The batch sizes that it ran, partial batches included."""
        return self._tuned

    def send(self, request: Request) -> None:
        """Run a trial, or end."""
        if request.trial is None:
            self._ends_at = self.clock.now
            return
        if not self.requests:
            self._free_at = max(self._free_at, self.clock.now) + (1 - IMPORT_SHARE) * START_SECONDS
        self._free_at = max(self._free_at, self.clock.now)
        progress = Progress(time=0.0, phase=Phase.PROBE).model_dump_json()
        self._said.append((self._free_at, self.attempt.progress, progress))
        trial = self._run(request.trial, partial_batch=request.partial_batch)
        self.requests.append(request)
        self._free_at += trial.seconds
        self._say(Event(trial=trial))
        if trial.verdict is not Verdict.FITS and not trial.worker_stays:
            Outcome(verdict=Verdict.COMPLETED).save(self.attempt.outcome)
            self._ends_at = self._free_at

    def _run(self, size: int, *, partial_batch: bool) -> Trial:
        trial = self.gpu.trial(size, is_tuned=size in self._tuned, is_first=not self.requests)
        self._tuned.add(size)
        changes: dict[str, object] = {"worker_stays": trial.worker_stays and self.stays_whole}
        if partial_batch:
            self._tuned.add(max(1, size // 16))
            changes["seconds"] = trial.seconds + TUNING_SECONDS
            changes["first_steps_seconds"] = trial.first_steps_seconds + TUNING_SECONDS
        return trial.model_copy(update=changes)

    def poll(self) -> Exit | None:
        """Write what is due by now; it ends after its last words."""
        for _, path, line in [said for said in self._said if said[0] <= self.clock.now]:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        self._said = [said for said in self._said if said[0] > self.clock.now]
        return Exit(0) if self.clock.now >= self._ends_at else None

    def kill(self) -> None:
        """End now."""
        self._ends_at = self.clock.now

    def close(self) -> None:
        """Note that nobody watches it any more."""
        self.closed = True

    def _say(self, event: Event) -> None:
        self._said.append((self._free_at, self.attempt.events, event.model_dump_json(exclude_defaults=True)))
        self.clock.due.append(self._free_at)


@dataclass
class SimulatedGpuLauncher:
    """Starts workers on one simulated GPU; without `stays_whole` an out-of-memory ends the process."""

    gpu: SimulatedGpu
    clock: SimulatedClock
    stays_whole: bool = True
    isolated: bool = True
    workers: list[SimulatedGpuWorker] = field(default_factory=list)

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Start a worker."""
        del payload, lock_fd
        self.workers.append(SimulatedGpuWorker(attempt, self.gpu, self.clock, self.stays_whole))
        return self.workers[-1]
