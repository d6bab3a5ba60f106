"""Answers from the saved profiles of a machine that are certain enough to be used without a trial. Pure.

For a probe a profile is only a hint, and its answer is always verified by a trial (docs/decisions/0013). A stage of
fine-tuning needs less: whether one small size fits, when the run has already trained here. If the answer were wrong,
the size would be halved in the step.
"""

from __future__ import annotations

from collections.abc import Sequence

from autofit.config.rungs import Rung
from autofit.machine.hardware import Hardware
from autofit.probing.recommend import recommended_batch, speed_of
from autofit.probing.records import MemoryModelRecord, ProbeReport, RungRecord, Workload
from autofit.profiles.match import Limit, exact_entry, limit_of, own_entries
from autofit.profiles.records import MachineProfile, Origin, ProfileEntry
from autofit.protocol.messages import Trial, Verdict

ROOM = 0.9
"""A size that ran before counts as fitting if it took at most this share of the present limit."""

WIDEST_FEATURES = 4096
"""The head's weights for one more class, at most; the widest network of `keras.applications` has 4,032 features."""

COPIES_OF_HEAD = 5
"""The head's weights, their gradients, the sum of these over micro-batches, and the two moments of Adam."""

COPIES_OF_LOGITS = 4
"""An image's logits, its probabilities, and the gradients of both."""

FLOAT32_BYTES = 4


def known_report(
    profiles: Sequence[tuple[MachineProfile, Origin]],
    machine: Hardware,
    workload: Workload,
    limit: Limit,
    size: int,
    limited_by: str,
) -> ProbeReport | None:
    """The report that a probe of this size would give, from the newest measurement on this machine; None if unknown.

    Args:
        profiles: as `ProfileStore.load` returns them.
        machine: the machine that would run the probe.
        workload: the network.
        limit: the memory limit that counts now.
        size: the largest of interest.
        limited_by: which limit that is, in a few words.
    """
    for entry in own_entries(profiles, machine, workload):
        answer = _answer(entry, workload, limit, size)
        if answer:
            return _report(entry, machine, workload, limit, answer, size, limited_by)
    return None


def known_rung(
    profiles: Sequence[tuple[MachineProfile, Origin]],
    machine: Hardware,
    workload: Workload,
    limit: Limit,
    size: int,
) -> RungRecord | None:
    """The result of an earlier probe of this workload under such a limit, also if nothing fitted; None without one.

    Args:
        profiles: as `ProfileStore.load` returns them.
        machine: the machine that would run the probe.
        workload: the network on a rung of the ladder.
        limit: the memory limit that counts now.
        size: the largest of interest.
    """
    entry = exact_entry(profiles, machine, workload, limit, size)
    if entry is None:
        return None
    trials, recommended = [trial.as_trial() for trial in entry.trials], min(entry.recommended_batch, size)
    largest = min(entry.largest_feasible_batch, size)
    return RungRecord(
        rung=Rung(segments=workload.segments),
        largest_feasible_batch=largest,
        recommended_batch=recommended,
        fastest_batch=recommended_batch(trials, largest, device=machine.device),
        images_per_second=speed_of(recommended, trials),
        bytes_per_image=entry.memory_model.bytes_per_image if entry.memory_model else 0.0,
        non_allocator_bytes=entry.non_allocator_bytes,
        most_segments=max((trial.most_segments for trial in trials), default=0),
        trials=trials,
        saved=True,
    )


def _answer(entry: ProfileEntry, workload: Workload, limit: Limit, size: int) -> int:
    """The largest size, up to `size`, that fits according to an entry; 0 if the entry does not tell."""
    more = _bytes_of_more_classes(entry, workload, size)
    room = ROOM * limit.bytes - max(more, 0)
    if any(trial.batch_size >= size and trial.memory_bytes <= room for trial in _fresh(entry)):
        return size
    was_bound = entry.largest_feasible_batch < entry.max_batch
    is_same_limit = limit_of(entry).is_alike(Limit(limit.bytes - more, limit.is_given))
    return min(entry.largest_feasible_batch, size) if was_bound and is_same_limit else 0


def _bytes_of_more_classes(entry: ProfileEntry, workload: Workload, size: int) -> int:
    """The memory that the head takes at most beyond that of an entry's; negative if it has fewer classes."""
    more_classes = workload.num_classes - entry.workload.num_classes
    weights = (workload.hidden_units or WIDEST_FEATURES) + 1
    return more_classes * FLOAT32_BYTES * (COPIES_OF_HEAD * weights + COPIES_OF_LOGITS * size)


def _fresh(entry: ProfileEntry) -> list[Trial]:
    """The trials that fitted in a worker of their own and whose memory was measured."""
    trials = [trial.as_trial() for trial in entry.trials]
    return [one for one in trials if one.fresh and one.verdict is Verdict.FITS and one.memory_bytes > 0]


def _report(
    entry: ProfileEntry,
    machine: Hardware,
    workload: Workload,
    limit: Limit,
    answer: int,
    size: int,
    limited_by: str,
) -> ProbeReport:
    model = entry.memory_model
    return ProbeReport(
        workload=workload,
        hardware=machine.model_dump(mode="json", exclude={"other_gpu_processes"}),
        memory_limit_bytes=limit.bytes,
        limited_by=limited_by,
        max_batch=size,
        largest_feasible_batch=answer,
        recommended_batch=min(entry.recommended_batch, answer),
        non_allocator_bytes=entry.non_allocator_bytes,
        baseline_rss_bytes=entry.baseline_rss_bytes,
        memory_model=model and MemoryModelRecord(**model.model_dump(exclude={"headroom_bytes"})),
        headroom_bytes=model.headroom_bytes if model else 0.0,
        trials=[trial.as_trial() for trial in entry.trials],
        source="profile",
        wall_seconds=0.0,
    )
