"""What a training reports to its parent: the heartbeat, the speed, and the events that must not be lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autofit.protocol.job import Event
from autofit.protocol.messages import BadImage, EpochEnd, Phase, StageName, StageRecord
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.execution.microbatch import Shrink
from autofit.worker.runtime.heartbeat import Heartbeat, was_written
from autofit.worker.training.training_progress import TrainingProgress

SMOOTHING = 0.2
"""The weight of the newest step in the moving average of images a second."""


class RunEvents:
    """Reports the progress of one attempt.

    Args:
        heartbeat: writes the lines.
        attempt: the number of the attempt.
        stage: the stage of the training that the attempt is in.
        launched_at: when the parent started the worker, by the same clock.
        attempts: those of the run so far.
        clock: in seconds.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        attempt: int,
        stage: StageName,
        launched_at: float,
        attempts: Sequence[AttemptDirectory] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._heartbeat, self._attempt, self._launched_at, self._clock = heartbeat, attempt, launched_at, clock
        self._stage: StageName = stage
        self._attempts, self._shown = attempts, set[str]()
        self._first_epoch = 0
        heartbeat.beat(stage=stage)
        heartbeat.times.launched(launched_at)
        self._images_per_second = 0.0
        self._began: float | None = None
        self._has_stepped = False
        self._has_told_limit = False

    def stage_begins_at(self, first_epoch: int) -> None:
        """Say with which epoch the stage begins: epochs are counted on over the stages."""
        self._first_epoch = first_epoch
        self._heartbeat.beat(first_epoch=first_epoch)

    def beat(self, **state: Any) -> None:
        """Update the heartbeat; a worker that is silent for long is taken for hung."""
        self._heartbeat.beat(images_per_second=self._images_per_second, **state)

    def phase(self, phase: Phase) -> None:
        """Announce a phase before it begins."""
        self.beat(phase=phase)

    def message(self, text: str) -> None:
        """Show a line to the user."""
        self._heartbeat.event(Event(message=text))

    def message_once(self, text: str) -> None:
        """Show a line to the user, unless an attempt of the run has shown it."""
        if text not in self._shown:
            self._shown.add(text)
            if not was_written(Event(message=text), self._attempts):
                self.message(text)

    def step_begins(self, **state: Any) -> None:
        """Announce a step."""
        self.beat(**state)
        self._began = self._began or self._clock()

    def step_ended(self, images: int, metrics: Mapping[str, Any], **state: Any) -> None:
        """Report a step, and its part in the speed: from the end of the step before to the end of this one.

        On a GPU a step returns before the device has finished it, so the time within the step would be too short. The
        first step, which traces, says nothing about speed.
        """
        now = self._clock()
        if self._has_stepped and self._began is not None:
            speed = images / max(now - self._began, 1e-9)
            before = self._images_per_second
            self._images_per_second = before + SMOOTHING * (speed - before) if before else speed
        self._began = now
        self.beat(metrics=metrics, **state)

    def pause(self) -> None:
        """Leave what follows out of the speed: it is no training step."""
        self._began = None

    def note_first_step(self) -> bool:
        """Report the seconds from the launch to the first step; returns whether this was the first."""
        if self._has_stepped:
            return False
        self._has_stepped = True
        self._heartbeat.event(Event(seconds_to_first_step=self._clock() - self._launched_at))
        return True

    def out_of_memory(self, shrink: Shrink, progress: TrainingProgress) -> None:
        """Report an out-of-memory after which the work is repeated with a smaller micro-batch."""
        self._heartbeat.event(
            Event(
                oom=shrink.event(self._attempt, self._heartbeat.current_phase, epoch=progress.epoch, step=progress.step)
            )
        )

    def result_changed(self, why: str) -> None:
        """Report that the result may differ from that of an undisturbed run of the plan, and why."""
        self._heartbeat.event(Event(result_changed=True, message=f"the result changes: {why}"))

    def micro_batch_made_smaller(self, progress: TrainingProgress, why: str | None) -> TrainingProgress:
        """Report it, once in a run, if the result changes by that; returns the progress with that noted.

        Args:
            progress: so far.
            why: why the size of the micro-batch changes the result; None if it does not.
        """
        if not why or progress.result_changed:
            return progress
        self.result_changed(why)
        return progress.moved(result_changed=True)

    def bad_image(self, path: str, reason: str) -> None:
        """Report an image that cannot be read."""
        self._heartbeat.event(Event(quarantined=BadImage(path=path, reason=reason)))

    def damaged_checkpoint(self, name: str, is_another_used: bool) -> None:  # noqa: FBT001 - one of two things to say
        """Report a checkpoint that could not be used."""
        then = "using the one before" if is_another_used else "no other is left, and the training begins anew"
        self.message(f"checkpoint {name} is damaged and was set aside; {then}")

    def epoch_ended(
        self,
        epoch: int,
        metrics: dict[str, float],
        solved: StageRecord | None = None,
        source_limit: str = "",
        *,
        is_best: bool | None = None,
    ) -> None:
        """Report a finished epoch, and once in an attempt that the source of batches is slower than the device.

        Args:
            epoch: counted from zero.
            metrics: as `model.fit` would log them.
            solved: the record of the stage, if the epoch solved the head.
            source_limit: a message that the source is the slower one; empty if it is not.
            is_best: whether the epoch's model is the best so far.
        """
        end = EpochEnd(
            epoch=epoch,
            metrics=metrics,
            stage=self._stage,
            first_epoch=self._first_epoch,
            solved=solved,
            is_best=is_best,
        )
        self._heartbeat.event(Event(epoch_end=end))
        if source_limit and not self._has_told_limit:
            self._has_told_limit = True
            self.message(source_limit)
