"""What one trial measures, and the record of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from autofit.protocol.messages import Trial, Verdict
from autofit.worker.runtime.memory import CPU, allocator_bytes, resident_bytes


@dataclass
class Measurement:
    """What one trial has measured so far.

    Attributes:
        device: TensorFlow's name of the device.
        step_peaks: the allocator's peak in each whole step, in bytes; on a GPU without the first one.
        other_peaks: its peaks in everything else that the size has to suffice for.
        first_peaks: on a GPU, its peaks in the first step of each kind, which tunes.
        step_seconds: the time of each whole step.
        other_first_seconds: the times of the first steps of other kinds.
        arena_resident_bytes, non_allocator_bytes: on a CPU, as in `Trial`.
    """

    device: str
    step_peaks: list[int] = field(default_factory=list)
    other_peaks: list[int] = field(default_factory=list)
    first_peaks: list[int] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    other_first_seconds: list[float] = field(default_factory=list)
    arena_resident_bytes: int = 0
    non_allocator_bytes: int = 0

    @property
    def peak_bytes(self) -> int:
        """The peak of the size; on a GPU without the first steps, unless the trial did not get further."""
        return max([*self.step_peaks, *self.other_peaks], default=0) or self.first_step_peak_bytes

    @property
    def first_step_peak_bytes(self) -> int:
        """On a GPU, the peak of the first steps; 0 on a CPU."""
        return max(self.first_peaks, default=0)

    @property
    def spread_bytes(self) -> int:
        """The largest minus the smallest peak of the whole steps."""
        return max(self.step_peaks) - min(self.step_peaks) if self.step_peaks else 0

    def trial(
        self, batch_size: int, verdict: Verdict, cause: str, *, seconds: float, fresh: bool, worker_stays: bool
    ) -> Trial:
        """The record of the trial, which took so many seconds in all."""
        fits, took = verdict is Verdict.FITS, self.step_seconds
        step_seconds = float(np.median(took[1:] or took)) if fits else 0.0
        is_timed = fits and (len(took) > 1 or not fresh)  # the first step of a process is slow: its memory is untouched
        return Trial(
            batch_size=batch_size,
            verdict=verdict,
            peak_bytes=self.peak_bytes,
            first_step_peak_bytes=self.first_step_peak_bytes,
            arena_resident_bytes=self.arena_resident_bytes,
            allocator_bytes=allocator_bytes() if self.device == CPU else 0,
            spread_bytes=self.spread_bytes,
            non_allocator_bytes=self.non_allocator_bytes,
            host_bytes=resident_bytes(),
            step_seconds=step_seconds,
            images_per_second=batch_size / step_seconds if is_timed else 0.0,
            seconds=seconds,
            first_steps_seconds=sum(self.other_first_seconds) + sum(took[:1]),
            steady_steps_seconds=sum(took[1:]),
            worker_stays=worker_stays,
            fresh=fresh,
            cause=cause,
        )
