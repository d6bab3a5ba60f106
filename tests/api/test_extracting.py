"""What an extraction says that it has done."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.api.extracting import _summed
from autofit.errors import TrainingFailedError
from autofit.protocol.cache_job import ShardsDone
from autofit.protocol.job import Event
from autofit.protocol.messages import BadImage
from autofit.runs.collect_result import events_of
from autofit.storage.run_directory import AttemptDirectory

DONE = Event(sharded=ShardsDone(images=9, extracted=5, shards=2, of_others=1))
BAD = Event(quarantined=BadImage(path="a.jpg", reason="cut off"))


def test_the_events_of_all_workers_are_counted_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file over 64 MiB, as of a million unreadable images, the end would be left out, which says what was done."""
    monkeypatch.setattr("autofit.runs.collect_result.MAX_RECORD_BYTES", 1_000)
    monkeypatch.setattr("autofit.runs.collect_result.MOST_EVENTS", 4)
    attempt = AttemptDirectory(tmp_path)
    told = [Event(kept_rows=3), *[BAD] * 20, Event(kept_rows=2), DONE]
    attempt.events.write_text("".join(event.model_dump_json() + "\n" for event in told))
    found = _summed(events_of(attempt, is_own=True), "/cache", 1.5)
    assert (found.images, found.extracted, found.shards, found.shards_of_others) == (9, 5, 2, 1)
    assert (found.unreadable, found.cache, found.seconds) == (["a.jpg"], "/cache", 1.5)
    assert len(list(events_of(attempt))) < len(told)  # of a stranger's file


def test_an_extraction_without_its_last_word_is_one_line() -> None:
    """A `StopIteration` would come out of the call."""
    with pytest.raises(TrainingFailedError, match="give the same call again"):
        _summed([Event(kept_rows=3)], "/cache", 1.5)
