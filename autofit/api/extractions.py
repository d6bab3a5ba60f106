"""What a machine's profile has of an extraction: looked up before a run, and kept after it."""

from __future__ import annotations

import contextlib
import time

from autofit.machine.hardware import Hardware
from autofit.probing.records import Workload
from autofit.process.monitor import Tail
from autofit.profiles.match import find_extraction
from autofit.profiles.records import SavedExtraction
from autofit.profiles.store import ProfileStore
from autofit.protocol.job import Event
from autofit.runs.model_source import workload
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import RunDirectory


def known_extraction(record: RunRecord, machine: Hardware, store: ProfileStore) -> SavedExtraction | None:
    """What is known of such an extraction on this machine; None where nothing is, or where the run has no use for it.

    A given `micro_batch_size` is the extraction's too.
    """
    if not record.plan.feature_cache or record.options.micro_batch_size is not None:
        return None
    return find_extraction(store.load(), machine, _workload(record))


def keep_extraction(
    record: RunRecord, machine: Hardware, store: ProfileStore, files: RunDirectory, earlier: int
) -> None:
    """Save what the newest extraction of a run has measured; where that is not possible, the store warns.

    Args:
        record: the run.
        machine: where it ran just now.
        store: where to.
        files: its directory.
        earlier: so many of its attempts were made before, perhaps on another machine.
    """
    with contextlib.suppress(OSError):  # a run directory that cannot be read any more: others say so
        events = [event for attempt in files.attempts()[earlier:] for event in Tail(attempt.events).records(Event)]
        speeds = [event.extraction for event in events if event.extraction]
        if speeds:
            store.save_extraction(speeds[-1], _workload(record), machine, time.time())


def _workload(record: RunRecord) -> Workload:
    return workload(record.options, len(record.data.class_names))
