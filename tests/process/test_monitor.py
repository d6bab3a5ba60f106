"""Watching one worker: its files as they grow, its deadlines, and its end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from autofit.errors import StorageError
from autofit.process.launch import Exit, ProcessLauncher
from autofit.process.monitor import DEADLINE_SECONDS, Patience, WorkerExit, monitored
from autofit.process.tail import Tail
from autofit.protocol.job import Event, Job, Outcome, TrialsJob
from autofit.protocol.messages import EpochEnd, MemoryBudget, MemorySample, OomEvent, Phase, Progress, Request, Verdict
from autofit.protocol.payload import Payload
from autofit.storage.run_directory import AttemptDirectory
from tests.support.views import RecordingView

EVENT = Event(message="m").model_dump_json(exclude_defaults=True).encode() + b"\n"


class ScriptedWorker:
    """A worker and its clock: each second of sleep does the next thing, until there is none left: then it has ended."""

    isolated = True

    def __init__(self, attempt: AttemptDirectory, script: Sequence[object], *, ends: bool = True) -> None:
        self.attempt, self.script, self.ends = attempt, list(script), ends
        self.now = 0.0
        self.exit: Exit | None = None
        self.sent: list[Request] = []
        self.calls: list[str] = []

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> ScriptedWorker:
        """Be the launcher of itself."""
        del attempt, payload, lock_fd
        return self

    def clock(self) -> float:
        """Seconds slept so far."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let a second pass, whatever was asked for."""
        del seconds
        self.now += 1
        thing = self.script.pop(0) if self.script else None
        if isinstance(thing, Progress):
            with self.attempt.progress.open("a") as file:
                file.write(thing.model_dump_json() + "\n")
        if isinstance(thing, float):  # this process was stopped for so long
            self.now += thing
        if isinstance(thing, bytes):
            with self.attempt.stdout.open("ab") as file:
                file.write(thing)
        if isinstance(thing, type) and issubclass(thing, BaseException):
            raise thing
        if self.ends and not self.script:
            self.exit = Exit(0)

    def poll(self) -> Exit | None:
        """How it ended."""
        return self.exit

    def send(self, request: Request) -> None:
        """Keep a request."""
        self.sent.append(request)

    def kill(self) -> None:
        """Be killed at once."""
        self.calls.append(f"kill at {self.now:g}")
        self.exit = Exit(-9)

    def close(self) -> None:
        """Keep that it was closed."""
        self.calls.append("close")


def job(device: str = "cpu", limit_bytes: int = 10**9, *, is_given: bool = True) -> Job:
    memory = MemoryBudget.model_validate({"device": device, "limit_bytes": limit_bytes, "is_given": is_given})
    return Job(attempt=1, source=None, memory=memory, isolated=True, work=TrialsJob())


PATIENCE = Patience({**dict.fromkeys(Phase, 5.0), Phase.START: 100.0, Phase.WEIGHTS: 20.0}, stop_seconds=3.0)


def watch(
    tmp_path: Path, script: Sequence[object], *, ends: bool = True, deadline: float | None = None
) -> tuple[WorkerExit, ScriptedWorker, RecordingView]:
    attempt, view = AttemptDirectory(tmp_path), RecordingView()
    worker = ScriptedWorker(attempt, script, ends=ends)
    with monitored(
        job(), attempt, worker, view=view, epochs=3, patience=PATIENCE, clock=worker.clock, sleep=worker.sleep
    ) as watching:
        watching.trial_deadline_seconds = deadline
        return watching.run(), worker, view


# The tail of a growing file ----------------------------------------------------------------------------------------


def test_a_line_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    """Half a line that is taken for one is lost, and so is its other half."""
    path, tail = tmp_path / "events.jsonl", Tail(tmp_path / "events.jsonl")
    assert tail.records(Event) == []
    with path.open("wb", buffering=0) as file:
        for part, whole in ((EVENT[:7], 0), (EVENT[7:], 1), (EVENT * 2 + EVENT[:1], 2), (EVENT[1:-1], 0), (b"\n", 1)):
            file.write(part)
            assert [event.message for event in tail.records(Event)] == ["m"] * whole
    assert tail.records(Event) == []


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe\0", b'{"unknown": 1}', b"[" * 100_000, b'"text"'])
def test_a_damaged_line_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    """One torn line would end the parent, or hide every line after it."""
    (tmp_path / "events.jsonl").write_bytes(EVENT + damage + b"\n" + EVENT)
    assert len(Tail(tmp_path / "events.jsonl").records(Event)) == 2


def test_a_file_that_cannot_be_read_just_now_ends_nothing(tmp_path: Path) -> None:
    """A hiccup of a mounted drive would end the parent, and with it a good worker."""
    tail = Tail(tmp_path)
    assert tail.read() == b""  # a folder: IsADirectoryError stands for any OSError


def test_what_was_written_faster_than_it_is_read_is_heard_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a worker that ends after a flood of events, as after Ctrl-Z of its parent, the last ones would be missing."""
    monkeypatch.setattr("autofit.process.tail.MOST_NEWS_BYTES", len(EVENT) + 1)
    (tmp_path / "events.jsonl").write_bytes(EVENT * 5)
    ended, _, view = watch(tmp_path, [None])
    assert len(ended.events) == 5
    assert view.messages == ["m"] * 5


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    """A run directory may come from a stranger: nobody writes to its pipe, and its reader would stay for ever."""
    os.mkfifo(tmp_path / "events.jsonl")
    assert Tail(tmp_path / "events.jsonl").records(Event) == []


# Deadlines ---------------------------------------------------------------------------------------------------------


def line(phase: Phase, **state: int) -> Progress:
    return Progress(time=0.0, phase=phase, **state)


def test_a_pause_of_this_process_is_no_silence(tmp_path: Path) -> None:
    """Ctrl-Z for an hour, and `fg`, would end a good worker."""
    ended, worker, _ = watch(tmp_path, [line(Phase.TRAIN), 3600.0, None, 3600.0, line(Phase.TRAIN), None])
    assert ended.diagnosis.verdict is Verdict.CRASHED  # by itself, at the end of the script
    assert worker.calls == ["close"]


def test_a_worker_that_is_silent_after_a_pause_as_well_is_hung(tmp_path: Path) -> None:
    """A pause would make a hang last for ever."""
    ended, worker, _ = watch(tmp_path, [line(Phase.TRAIN), None, 3600.0], ends=False)
    assert ended.diagnosis.verdict is Verdict.HUNG
    assert worker.calls == ["kill at 3608", "close"]


def test_silence_is_a_hang_after_the_deadline_of_its_phase(tmp_path: Path) -> None:
    """A download of an hour taken for a hang never ends; a hang taken for a download never ends either."""
    ended, worker, _ = watch(tmp_path, [None, line(Phase.WEIGHTS), *[None] * 15, line(Phase.BUILD)], ends=False)
    assert ended.diagnosis.verdict is Verdict.HUNG
    assert worker.calls == ["kill at 24", "close"]


def test_news_is_no_hang(tmp_path: Path) -> None:
    """A training that takes longer than one deadline in all would be killed in the middle."""
    news = [thing for step in range(10) for thing in (line(Phase.TRAIN, step=step), None, None, None)]
    assert watch(tmp_path, news)[0].diagnosis.verdict is Verdict.CRASHED


def test_a_trial_has_a_deadline_of_its_own(tmp_path: Path) -> None:
    """A probe that swaps would take a quarter of an hour for each size."""
    ended, worker, _ = watch(tmp_path, [line(Phase.PROBE)], ends=False, deadline=2.0)
    assert ended.diagnosis.verdict is Verdict.TIMEOUT
    assert worker.calls == ["kill at 4", "close"]


def test_every_phase_has_a_deadline() -> None:
    """A phase without one would end the parent with a KeyError in the middle of a run."""
    assert set(DEADLINE_SECONDS) == set(Phase)


def test_a_worker_that_was_asked_to_leave_has_its_time(tmp_path: Path) -> None:
    """A commit that takes a moment would be cut off, or a stuck worker waited for without end."""
    ended, worker, view = watch(tmp_path, [None, KeyboardInterrupt], ends=False)
    assert ended.diagnosis.verdict is Verdict.INTERRUPTED
    assert worker.sent == [Request(leave="interrupted")]
    assert worker.calls == ["kill at 6", "close"]
    assert view.messages == ["stopping (press Ctrl-C again to stop at once)"]  # a trial has nothing to save


def test_a_second_ctrl_c_is_raised_and_the_worker_closed(tmp_path: Path) -> None:
    """The worker would live on in a notebook whose cell has ended."""
    attempt = AttemptDirectory(tmp_path)
    worker = ScriptedWorker(attempt, [KeyboardInterrupt, KeyboardInterrupt], ends=False)
    with (
        pytest.raises(KeyboardInterrupt),
        monitored(job(), attempt, worker, view=RecordingView(), clock=worker.clock, sleep=worker.sleep) as watching,
    ):
        watching.run()
    assert worker.calls == ["close"]


# What is shown and kept --------------------------------------------------------------------------------------------


def test_what_a_worker_says_is_shown_in_its_order(tmp_path: Path) -> None:
    """A message after the step that follows from it makes no sense to who reads along."""
    oom = OomEvent(
        attempt=1,
        epoch=0,
        step=2,
        phase=Phase.TRAIN,
        micro_batch_size_before=8,
        micro_batch_size_after=4,
        seconds_lost=1,
    )
    events = [
        Event(message="hello"),
        Event(oom=oom),
        Event(epoch_end=EpochEnd(epoch=0, metrics={})),
        Event(non_allocator_bytes=7),
    ]
    (tmp_path / "events.jsonl").write_text("".join(event.model_dump_json() + "\n" for event in events))
    ended, _, view = watch(tmp_path, [line(Phase.TRAIN, step=3), None])
    assert view.messages == ["hello", "out of memory with 8 images at once: continuing with 4", "epoch 0 of 3"]
    assert list(ended.events) == events
    assert ended.last == line(Phase.TRAIN, step=3) == view.updates[-1]
    assert ended.wall_seconds == 2


class LastWords(ScriptedWorker):
    """Speaks at the very moment at which it ends: between two looks of the parent."""

    def poll(self) -> Exit | None:
        """WorkerExit, with an event, a heartbeat, a print and an outcome that were not there a moment ago."""
        self.attempt.events.write_bytes(EVENT)
        self.attempt.progress.write_text(line(Phase.SAVE, step=9).model_dump_json() + "\n")
        self.attempt.stdout.write_text("bye")
        Outcome(verdict=Verdict.COMPLETED).save(self.attempt.outcome)
        return Exit(0)


def test_words_said_at_the_moment_of_the_end_are_heard(tmp_path: Path) -> None:
    """A parent that reads first and then asks for the end loses what came between the two."""
    attempt, view = AttemptDirectory(tmp_path), RecordingView()
    with monitored(job(), attempt, LastWords(attempt, []), view=view) as watching:
        ended = watching.run()
    assert [event.message for event in ended.events] == ["m"]
    assert ended.last == line(Phase.SAVE, step=9)
    assert view.printed == "bye"
    assert ended.diagnosis.verdict is Verdict.COMPLETED


def test_a_character_that_comes_in_two_parts_is_shown_whole(tmp_path: Path) -> None:
    """What the user's own code prints would come out with holes, wherever a read ends within a character."""
    text = "größe 画像 \N{GRINNING FACE}\n".encode()
    assert watch(tmp_path, [text[n : n + 1] for n in range(len(text))])[2].printed == text.decode()


def test_the_limit_of_a_gpu_says_nothing_about_the_host(tmp_path: Path) -> None:
    """A kill of a worker with 8 GB resident, beside a GPU of 8 GB, would be taken for memory and shrink the batch."""
    AttemptDirectory(tmp_path).memory.write_text(MemorySample(host_bytes=8 * 10**9).model_dump_json())
    verdicts = []
    for device in ("cpu", "gpu"):
        attempt = AttemptDirectory(tmp_path)
        worker = ScriptedWorker(attempt, [])
        worker.exit = Exit(-9)
        with monitored(job(device, 8 * 10**9, is_given=False), attempt, worker, view=RecordingView()) as watching:
            verdicts.append(watching.run().diagnosis.verdict)
    assert verdicts == [Verdict.HOST_OOM, Verdict.CRASHED]


def test_a_kill_near_a_given_limit_that_the_kernel_does_not_own_up_to_is_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training is always near the limit that it was given: each `kill -9` would halve its micro-batch."""
    AttemptDirectory(tmp_path).memory.write_text(MemorySample(host_bytes=8 * 10**9).model_dump_json())
    verdicts = []
    for counts in ([3, 3], [3, 4], [None, None]):
        counted = iter(counts).__next__
        monkeypatch.setattr("autofit.machine.cgroups.oom_kill_counter", lambda _, counted=counted: counted)
        attempt = AttemptDirectory(tmp_path)
        worker = ScriptedWorker(attempt, [])
        worker.exit = Exit(-9)
        with monitored(job(limit_bytes=8 * 10**9), attempt, worker, view=RecordingView()) as watching:
            verdicts.append(watching.run().diagnosis.verdict)
    assert verdicts == [Verdict.CRASHED, Verdict.HOST_OOM, Verdict.HOST_OOM]


def test_a_neighbours_kill_and_a_later_kill_by_hand_are_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `kill -9` would halve the micro-batch since the kernel has killed another program of the container before."""
    found = []
    for last in (4, 3):  # what the worker has read, a quarter of a second ago at most, before the count became 4
        attempt, counted = AttemptDirectory(tmp_path), iter([3, 4]).__next__
        attempt.memory.write_text(MemorySample(host_bytes=10**9, oom_kills=last).model_dump_json())
        monkeypatch.setattr("autofit.machine.cgroups.oom_kill_counter", lambda _, counted=counted: counted)
        worker = ScriptedWorker(attempt, [])
        worker.exit = Exit(-9)
        with monitored(job(limit_bytes=8 * 10**9), attempt, worker, view=RecordingView()) as watching:
            found.append(watching.run().diagnosis)
    assert [one.verdict for one in found] == [Verdict.CRASHED, Verdict.HOST_OOM]
    assert found[0].cause.startswith("SIGKILL, not by the kernel")


def test_a_folder_that_cannot_be_written_starts_no_worker(tmp_path: Path) -> None:
    """A full disk would end in a traceback."""
    attempt = AttemptDirectory(tmp_path / "gone")
    with (
        pytest.raises(StorageError, match="gone cannot be written"),
        monitored(job(), attempt, ScriptedWorker(attempt, []), view=RecordingView()),
    ):
        pass


# Real processes, of a few lines each -------------------------------------------------------------------------------

HASTY = """
import os, sys
folder = sys.argv[1]
def write(name, data, mode):
    with open(os.path.join(folder, name), mode) as file:
        file.write(data)
for number in range(300):
    write("events.jsonl", '{"message": "%d"}\\n' % number, "a")
write("progress.jsonl", '{"time": 1, "phase": "save", "step": 300}\\n', "a")
print("printed last", end="")
sys.stdout.flush()
write("outcome.json", '{"schema": "autofit/outcome/1", "verdict": "completed"}', "w")
os._exit(0)
"""


def small_worker(code: str) -> ProcessLauncher:
    return ProcessLauncher([sys.executable, "-I", "-S", "-c", code])


def watch_process(folder: Path, code: str) -> tuple[WorkerExit, RecordingView]:
    folder.mkdir()
    view = RecordingView()
    with monitored(job(), AttemptDirectory(folder), small_worker(code), view=view) as watching:
        return watching.run(), view


def test_the_last_words_before_an_end_are_heard(tmp_path: Path) -> None:
    """What a worker says between the last look and its end is lost: an event, an epoch, the outcome itself."""
    for number in range(5):
        ended, view = watch_process(tmp_path / str(number), HASTY)
        assert [event.message for event in ended.events] == [str(number) for number in range(300)]
        assert ended.diagnosis.verdict is Verdict.COMPLETED
        assert ended.last
        assert ended.last.step == 300
        assert view.printed == "printed last"


def test_thirty_attempts_leave_nothing_in_the_parent(tmp_path: Path) -> None:
    """A parent that grows by an open file, a thread or a zombie with each attempt ends a long run by itself."""
    ends = ["os.kill(os.getpid(), 9)", "os.abort()", "os._exit(3)", "os.close(0)", "os.kill(os.getpid(), 11)"]
    before, children_before = descriptors(), psutil.Process().children()
    for number in range(30):
        ended, _ = watch_process(tmp_path / str(number), f"import os; {ends[number % 5]}")
        assert ended.diagnosis.verdict is Verdict.CRASHED
    assert descriptors() == before
    assert psutil.Process().children() == children_before
    kept = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {"job.json", "stdout.log", "stderr.log"}


def descriptors() -> list[str]:
    return sorted(str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())


def test_a_worker_is_closed_while_it_writes(tmp_path: Path) -> None:
    """A parent that leaves early, as a probe does, would wait for a worker, or leave it writing."""
    code = "import os\nwhile True: os.write(1, b'x' * 1000); os.write(2, b'y' * 1000)"
    attempt = AttemptDirectory(tmp_path)
    with monitored(job(), attempt, small_worker(code), view=RecordingView()):
        deadline = time.monotonic() + 10
        while not (attempt.stdout.exists() and attempt.stdout.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.01)
    size = attempt.stdout.stat().st_size
    assert size > 0
    time.sleep(0.05)
    assert attempt.stdout.stat().st_size == size


def test_an_outcome_of_another_version_is_none(tmp_path: Path) -> None:
    """A file that is not understood would be believed by half."""
    outcome = Outcome(verdict=Verdict.COMPLETED).to_json()
    for text, verdict in ((outcome, Verdict.COMPLETED), (outcome.replace("outcome/1", "outcome/9"), Verdict.CRASHED)):
        code = f"import sys; open(sys.argv[1] + '/outcome.json', 'w').write({text!r})"
        assert watch_process(tmp_path / verdict, code)[0].diagnosis.verdict is verdict
