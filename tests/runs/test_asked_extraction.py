"""An extraction on request: the worker that follows another is asked for the same shard; an end is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.errors import AutofitError, DoesNotFitError, TrainingFailedError
from autofit.process.launch import Exit, Launcher, Worker
from autofit.protocol.cache_job import ShardAnswer
from autofit.protocol.job import Event
from autofit.protocol.messages import BadImage, Request
from autofit.protocol.payload import Payload
from autofit.runs.asked_extraction import AskedExtraction
from autofit.storage.run_directory import AttemptDirectory, RunDirectory

Act = Callable[["Stub", int], None]


class Stub:
    """A worker that acts on each request for a shard."""

    def __init__(self, attempt: AttemptDirectory, act: Act) -> None:
        self.attempt, self._act = attempt, act
        self.code: int | None = None
        self.is_closed = False

    def tell(self, event: Event) -> None:
        """Append an event."""
        with self.attempt.events.open("a") as file:
            file.write(event.model_dump_json() + "\n")

    def answer(self, number: int) -> None:
        """Say that a shard is done."""
        self.tell(
            Event(shard=ShardAnswer(number=number, entry=f"entry-{number}", images=3, extracted=3, is_first=True))
        )

    def poll(self) -> Exit | None:
        """How it ended."""
        return None if self.code is None else Exit(self.code)

    def send(self, request: Request) -> None:
        """Act."""
        if self.code is None:
            assert request.shard is not None
            self._act(self, request.shard)

    def kill(self) -> None:
        """Whoever supervises it closes it."""

    def close(self) -> None:
        """End it."""
        self.is_closed = True


class Stubs:
    """Starts such workers."""

    isolated = True

    def __init__(self, act: Act) -> None:
        self.started: list[Stub] = []
        self._act = act

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Start one."""
        assert (payload, lock_fd) == (None, None)
        self.started.append(Stub(attempt, self._act))
        return self.started[-1]


def extraction(folder: Path, stubs: Stubs, notes: list[Event], error: AutofitError | None = None) -> AskedExtraction:
    """One whose attempts follow each other, three at most."""
    files = RunDirectory(folder / "run")
    files.create()

    def supervise(launcher: Launcher, sleep: Callable[[float], None]) -> AutofitError | None:
        for _ in range(3):
            _, attempt = files.new_attempt()
            worker = launcher.launch(attempt, None, None)
            try:
                while worker.poll() is None:
                    sleep(0.001)
            finally:
                worker.close()
        return error

    return AskedExtraction(files, stubs, supervise, notes.append)


def test_one_worker_answers_one_request_after_another(tmp_path: Path) -> None:
    """TensorFlow would be started for each shard, and once more when the extraction is closed."""
    stubs, notes = Stubs(Stub.answer), list[Event]()
    asked = extraction(tmp_path, stubs, notes)
    assert [asked.extract(number).entry for number in (4, 0, 4)] == ["entry-4", "entry-0", "entry-4"]
    asked.close()
    assert len(stubs.started) == 1
    assert stubs.started[0].is_closed
    assert len(notes) == 3


def test_the_next_worker_is_asked_for_what_the_last_one_left(tmp_path: Path) -> None:
    """A shard in which a worker ran out of memory would be missing."""

    def act(stub: Stub, number: int) -> None:
        if len(stubs.started) == 1 and number == 7:
            stub.tell(Event(quarantined=BadImage(path="a.jpg", reason="cut off")))
            stub.code = 1
        else:
            stub.answer(number)

    stubs, notes = Stubs(act), list[Event]()
    asked = extraction(tmp_path, stubs, notes)
    assert [asked.extract(number).number for number in (6, 7, 8)] == [6, 7, 8]
    asked.close()
    assert len(stubs.started) == 2
    assert [note.quarantined.path for note in notes if note.quarantined] == ["a.jpg"]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (DoesNotFitError("not even one image"), DoesNotFitError, "not even one image"),
        (None, TrainingFailedError, "ended without an answer"),
    ],
)
def test_the_end_of_the_workers_is_told(
    tmp_path: Path, error: AutofitError | None, kind: type[AutofitError], words: str
) -> None:
    """Whoever asks would wait for ever."""

    def act(stub: Stub, number: int) -> None:
        del number
        stub.code = 1

    asked = extraction(tmp_path, Stubs(act), [], error)
    with pytest.raises(kind, match=words):
        asked.extract(1)
    asked.close()
