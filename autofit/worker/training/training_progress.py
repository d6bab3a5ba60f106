"""How far a training has come: the cursor, the figures and the choices that a checkpoint holds besides arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from autofit.protocol.epoch_stages import is_cut_by_budget
from autofit.protocol.messages import Calibration, StageName, StageRecord
from autofit.storage.records import Record
from autofit.worker.execution.loss_scale import LossScale
from autofit.worker.execution.steps import TrainStep
from autofit.worker.training.monitored_figure import Figures, is_better, is_clearly_worse, monitored

SKIPPED_UPDATES = "skipped_updates"


class TrainingProgress(Record):
    """The progress of a training: everything that a checkpoint holds besides arrays.

    The cursor is `epoch` (from zero) and `position` in the epoch's order; `step` counts the steps of the epoch so far,
    with skipped updates. `loss_scale` is the scale of a network in float16, `skipped_updates` the number of the epoch's
    updates that were skipped for it. `best_value` is the best value so far of the monitored figure, `waited_epochs` the
    number of epochs since then. `best_predicted` says how often the best epoch's validation predicted each class; empty
    without a validation. `stages` are the finished stages, `stage` the checkpoint's. `callbacks` are their states
    (`callback_states.py`); `callbacks_ended`: they were told of the end of the stage; `callbacks_lost`: the user was
    told which of their states could not be kept. `refit_losses` are those of a refit's epochs, which has no history.
    `calibration` is the best model's, if it is one of fine-tuning. `value_before` and `accuracy_before` are the figures
    of the model before fine-tuning; `ends_worse` is that of `StageRecord`, `compared_by` its `chosen_by`.
    """

    epoch: int = 0
    position: int = 0
    step: int = 0
    loss_scale: LossScale | None = None
    skipped_updates: int = 0
    micro_batch_size: int = 0
    validation_micro_batch_size: int = 0
    history: dict[str, list[float]] = Field(default_factory=dict)
    best_epoch: int | None = None
    best_value: float | None = None
    best_accuracy: float | None = None
    best_predicted: list[int] = Field(default_factory=list)
    calibration: Calibration | None = None
    value_before: float | None = None
    accuracy_before: float | None = None
    ends_worse: bool = False
    compared_by: str = ""
    refit_losses: list[float] = Field(default_factory=list)
    waited_epochs: int = 0
    stopped: bool = False
    result_changed: bool = False
    ledger_bytes: int = 0
    frozen_sha256: str | None = None
    network_sha256: str = ""
    callbacks: list[Any] = Field(default_factory=list)
    callbacks_ended: bool = False
    callbacks_lost: bool = False
    stage: StageName = "training"
    stages: list[StageRecord] = Field(default_factory=list)

    def in_stage(self, stage: StageName) -> TrainingProgress:
        """The progress at the beginning of the stage that follows: epochs, history and the best are counted on."""
        begun = self.moved(stage=stage, position=0, step=0, waited_epochs=0, stopped=False, callbacks_ended=False)
        return begun.moved(loss_scale=None, skipped_updates=0)

    def after_stage(
        self, record: StageRecord | None = None, *, cut_short: str = "", diverged: str = ""
    ) -> TrainingProgress:
        """The progress with its stage finished.

        Args:
            record: the record of the stage; by default one of a stage that was trained by epochs.
            cut_short: how far a stage trained by epochs came, if it did not come to its end.
            diverged: how a stage of fine-tuning has diverged, if it has.
        """
        epochs = self.epoch - self.first_epoch
        by_epochs = StageRecord(
            name=self.stage,
            method="epochs",
            epochs=epochs,
            cut_short=cut_short,
            diverged=diverged,
            refitted=self.stage == "refit" and not cut_short,
            ends_worse=self.ends_worse and self.stage == "fine-tune",
            chosen_by=self.compared_by if self.stage == "fine-tune" else "",
        )
        return self.moved(stages=[*self.stages, record or by_epochs])

    def stopped_if(self, planned: int, *, ends_itself: bool, out_of_time: bool) -> TrainingProgress:
        """The progress after an epoch, stopped if the stage ends by itself or has no time for the epochs that are left.

        If none are left it was not stopped: more may be asked for later.
        """
        lacks_time = out_of_time and self.epoch < planned
        return self.moved(stopped=self.stopped or ends_itself or lacks_time)

    def planned_anew(self, planned: int, *, is_timed: bool = False) -> TrainingProgress:
        """The progress if the stage is to end after epoch `planned`, which may be later or earlier than before.

        A finished stage may become unfinished by this, and an unfinished one finished. One that a time budget has ended
        early is finished as long as the attempt `is_timed`.
        """
        others = [stage for stage in self.stages if stage.name != self.stage]
        is_finished = len(others) < len(self.stages)
        may_go_on = not self.stopped or (not is_timed and is_cut_by_budget(self.stages, self.stage))
        if is_finished and may_go_on and self.epoch < planned:
            return self.moved(stages=others, stopped=False)
        if not is_finished and not self.position and self.epoch >= planned and not self.is_at_stage_start:
            return self.after_stage()
        return self

    @property
    def first_epoch(self) -> int:
        """The epoch with which the stage begins: so many have the stages before it."""
        return sum(stage.epochs for stage in self.stages if stage.name != self.stage)

    @property
    def is_at_stage_start(self) -> bool:
        """Whether nothing of the stage is trained yet."""
        return self.epoch == self.first_epoch and not self.position

    def losses_of_stage(self) -> list[float]:
        """The training loss of each finished epoch of the stage."""
        return self.refit_losses if self.stage == "refit" else self.history.get("loss", [])[self.first_epoch :]

    def moved(self, **changes: Any) -> TrainingProgress:
        """A copy with these changes."""
        return self.model_copy(update=changes)

    def after_update(self, step: TrainStep) -> TrainingProgress:
        """The progress with the loss scale of the next step; counts the update if it was skipped."""
        if step.loss_scale is None:
            return self
        return self.moved(loss_scale=step.loss_scale, skipped_updates=self.skipped_updates + step.is_skipped)

    def skipped_logs(self) -> dict[str, float]:
        """How many updates of the epoch were skipped, for its history; empty for a network without a loss scale."""
        return {} if self.loss_scale is None else {SKIPPED_UPDATES: float(self.skipped_updates)}

    def after_epoch(
        self,
        epoch: int,
        logs: Mapping[str, float],
        monitor: str = "auto",
        calibrated_loss: float | None = None,
        quality: float | None = None,
        images: int = 0,
        most_loss: float | None = None,
    ) -> TrainingProgress:
        """The progress after an epoch with these metrics: at the beginning of the next one, with the best noted.

        `best_value` follows `monitor`: by default `val_loss`, or `loss` without a validation. Fine-tuning, whose loss
        rises with its confidence, is then better if it is more accurate, or by the `quality` that stands for that;
        if it is as accurate, by the `calibrated_loss` where that is known. Without a validation its epochs are compared
        only with each other: the head's figures are of images that it was fitted to. Those of a refit, which has none,
        leave the history and the best as they are. `images` is the number of images for validation. An epoch with a
        calibrated loss above `most_loss` is not the best.
        """
        ended = self.moved(epoch=epoch + 1, position=0, step=0, skipped_updates=0)
        if self.stage == "refit":
            return ended.moved(refit_losses=[*self.refit_losses, logs["loss"]])
        progress = ended.moved(history=self._history_with(logs))
        value = monitored(logs, monitor) if calibrated_loss is None else calibrated_loss
        accuracy = logs.get("val_accuracy", logs.get("accuracy")) if quality is None else quality
        if not math.isfinite(logs.get("val_loss", logs["loss"])):
            value = math.nan  # a network of NaN always gives the first class, which may be more accurate
        now, best = Figures(value, accuracy), Figures.known(self.best_value, self.best_accuracy)
        before, by_accuracy = Figures.known(self.value_before, self.accuracy_before), self.stage == "fine-tune"
        if before is not None:
            is_worse = is_clearly_worse(now, before, monitor, images, by_accuracy=by_accuracy)
            progress = progress.moved(ends_worse=is_worse)
        may_be_best = calibrated_loss is None or most_loss is None or calibrated_loss <= most_loss
        is_best = may_be_best and is_better(now, best, monitor, by_accuracy=by_accuracy)
        if is_best or self._is_first_unseen(logs):
            return progress.moved(best_epoch=epoch, best_value=value, best_accuracy=accuracy, waited_epochs=0)
        return progress.moved(waited_epochs=self.waited_epochs + 1)

    def _is_first_unseen(self, logs: Mapping[str, float]) -> bool:
        """Whether a whole epoch has just ended that is the first of fine-tuning, in a run without validation."""
        is_first = self.stage == "fine-tune" and self.epoch == self.first_epoch
        return is_first and "val_loss" not in logs and not self.stopped

    def _history_with(self, logs: Mapping[str, float]) -> dict[str, list[float]]:
        """The history with these metrics of one more epoch; one that does not compute in float16 skips no update."""
        skips_none = {SKIPPED_UPDATES: 0.0} if SKIPPED_UPDATES in self.history and SKIPPED_UPDATES not in logs else {}
        return {name: [*self._column(name), value] for name, value in {**logs, **skips_none}.items()}

    def _column(self, name: str) -> list[float]:
        """The values of a metric so far. Before the first stage that computes in float16 no update was skipped."""
        if name == SKIPPED_UPDATES and name not in self.history:
            return [0.0] * len(self.history.get("loss", []))
        return self.history.get(name, [])

    def has_waited(self, patience: int | None) -> bool:
        """Whether `patience` epochs have passed without a better one; never with a patience of None."""
        return patience is not None and self.waited_epochs >= patience
