"""The measurements of feature extractions in a machine's profile: looked up before a run, and saved after it."""

from __future__ import annotations

import contextlib
import time

from autofit.machine.hardware import Hardware
from autofit.probing.records import Workload
from autofit.profiles.match import Limit, exact_entry, find_extraction
from autofit.profiles.records import SavedExtraction
from autofit.profiles.store import ProfileStore
from autofit.protocol.messages import MemoryBudget
from autofit.runs.collect_result import events_of
from autofit.runs.model_source import workload
from autofit.runs.run_record import RunRecord
from autofit.runs.stage_speed import attempts_at_first_stage
from autofit.storage.run_directory import RunDirectory


def known_extraction(record: RunRecord, machine: Hardware, store: ProfileStore) -> SavedExtraction | None:
    """The saved measurement of such an extraction on this machine; None if there is none, or the run cannot use it.

    The run cannot use it if `micro_batch_size` is given: the extraction then uses that size.
    """
    if not record.plan.feature_cache or record.options.micro_batch_size is not None:
        return None
    return find_extraction(store.load(), machine, _workload(record))


def save_extraction(
    record: RunRecord, machine: Hardware, store: ProfileStore, files: RunDirectory, earlier: int
) -> None:
    """Save the measurement of a run's newest extraction of whole images through the whole backbone.

    Later stages extract augmented views, through the layers below a cut. If it fails, the store shows a warning.

    Args:
        record: the run.
        machine: the machine on which it has just run.
        store: where to save it.
        files: the run directory.
        earlier: the number of attempts of earlier sessions, which perhaps ran on another machine.
    """
    with contextlib.suppress(OSError):  # the run directory cannot be read any more: other code reports that
        attempts = attempts_at_first_stage(files, earlier)
        events = (event for attempt, *_ in attempts for event in events_of(attempt))
        speeds = [event.extraction for event in events if event.extraction]
        if speeds:
            store.save_extraction(speeds[-1], _workload(record), machine, time.time())


def fitting_size(measured: Workload, machine: Hardware, memory: MemoryBudget, store: ProfileStore, most: int) -> int:
    """The first micro-batch size of an extraction: `most`, or a smaller size if a probe has found that this fits.

    Args:
        measured: the workload of the training whose features are extracted.
        machine: where it runs.
        memory: the memory budget of the worker.
        store: may hold a probe of this machine under such a limit.
        most: the largest micro-batch size.
    """
    limit = Limit(memory.limit_bytes, memory.is_given)
    entry = exact_entry(store.load(), machine, measured, limit, most)
    return most if entry is None else max(1, min(most, entry.largest_feasible_batch))


def _workload(record: RunRecord) -> Workload:
    return workload(record.settled_options, len(record.data.class_names))
