"""The state of a training that a checkpoint holds, read from a session and written back into it.

Weights, optimizer, seeds and metrics are arrays; the progress is `TrainingProgress`. A frozen backbone's variables are
not written: they are built again, and must have the same hash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from autofit.errors import TrainingFailedError
from autofit.protocol.messages import Calibration, StageName, StageRecord
from autofit.storage.checkpoints import Checkpoint
from autofit.storage.records import Record
from autofit.worker.execution.loss_scale import LossScale
from autofit.worker.execution.session import Session
from autofit.worker.execution.steps import TrainStep
from autofit.worker.model.network_hash import graph_sha256, network_sha256
from autofit.worker.model.weights import frozen_hash
from autofit.worker.training.monitored_figure import Figures, is_better, monitored

Arrays = dict[str, np.ndarray[Any, Any]]
PROBABILITIES = "probabilities"
SKIPPED_UPDATES = "skipped_updates"
SPARE_CHECKPOINT_BYTES = 256 * 2**20
"""Room for the probabilities of the validation (20 MB), arrays of callbacks besides weights, and headers."""


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
        return self.moved(
            stage=stage, position=0, step=0, skipped_updates=0, waited_epochs=0, stopped=False, callbacks_ended=False
        )

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

    def planned_anew(self, planned: int) -> TrainingProgress:
        """The progress if the stage is to end after epoch `planned`, which may be later or earlier than before.

        A finished stage may become unfinished by this, and an unfinished one finished.
        """
        others = [stage for stage in self.stages if stage.name != self.stage]
        is_finished = len(others) < len(self.stages)
        if is_finished and not self.stopped and self.epoch < planned:
            return self.moved(stages=others)
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
    ) -> TrainingProgress:
        """The progress after an epoch with these metrics: at the beginning of the next one, with the best noted.

        `best_value` follows `monitor`: by default `val_loss`, or `loss` without a validation. Fine-tuning, whose loss
        rises with its confidence, is then better if it is more accurate, or by the `quality` that stands for that;
        if it is as accurate, by the `calibrated_loss` where that is known. Without a validation its epochs are compared
        only with each other: the head's figures are of images that it was fitted to. Those of a refit, which has none,
        leave the history and the best as they are.
        """
        ended = self.moved(epoch=epoch + 1, position=0, step=0, skipped_updates=0)
        if self.stage == "refit":
            return ended.moved(refit_losses=[*self.refit_losses, logs["loss"]])
        progress = ended.moved(history={name: [*self._column(name), value] for name, value in logs.items()})
        value = monitored(logs, monitor) if calibrated_loss is None else calibrated_loss
        accuracy = logs.get("val_accuracy", logs.get("accuracy")) if quality is None else quality
        if not math.isfinite(logs.get("val_loss", logs["loss"])):
            value = math.nan  # a network of NaN always gives the first class, which may be more accurate
        now, best = Figures(value, accuracy), Figures.known(self.best_value, self.best_accuracy)
        before, by_accuracy = Figures.known(self.value_before, self.accuracy_before), self.stage == "fine-tune"
        ends_worse = before is not None and is_better(before, now, monitor, by_accuracy=by_accuracy)
        progress = progress.moved(ends_worse=ends_worse)
        if is_better(now, best, monitor, by_accuracy=by_accuracy) or self._is_first_unseen(logs):
            return progress.moved(best_epoch=epoch, best_value=value, best_accuracy=accuracy, waited_epochs=0)
        return progress.moved(waited_epochs=self.waited_epochs + 1)

    def _is_first_unseen(self, logs: Mapping[str, float]) -> bool:
        """Whether a whole epoch has just ended that is the first of fine-tuning, in a run without validation."""
        is_first = self.stage == "fine-tune" and self.epoch == self.first_epoch
        return is_first and "val_loss" not in logs and not self.stopped

    def _column(self, name: str) -> list[float]:
        """The values of a metric so far. Before the first stage that computes in float16 no update was skipped."""
        if name == SKIPPED_UPDATES and name not in self.history:
            return [0.0] * len(self.history.get("loss", []))
        return self.history.get(name, [])

    def has_waited(self, patience: int | None) -> bool:
        """Whether `patience` epochs have passed without a better one; never with a patience of None."""
        return patience is not None and self.waited_epochs >= patience


class TrainState:
    """The arrays of a session, read from it and written back into it.

    Attributes:
        frozen_sha256: the hash of the backbone's weights, if it is frozen; else None.
        network_sha256: the hash of the layers and their settings; of a network of the user's of its connections, too.
        best: the best weights so far, with which the model is saved in the end.
        head: the best weights of the head's stage; empty before its end.
        probabilities: what the best epoch's model predicts for validation images, see `Evaluation.probabilities`.
        callbacks: the arrays in the states of the callbacks.
        before: the best weights before a fine-tuning without validation; empty in any other stage.
        damaged: the path of a changeable variable that was no number before it trained; empty if all were.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        frozen = session.built.features.variables if session.built.frozen and session.built.features is not None else []
        left_out = {id(variable) for variable in frozen}
        self._model = [variable for variable in session.built.model.variables if id(variable) not in left_out]
        self.frozen_sha256 = frozen_hash(frozen) if frozen else None
        model, of_layers = session.built.model, network_sha256(session.built.model)
        self.network_sha256 = of_layers if session.built.head_layers else graph_sha256(model)
        self._known_sha256 = {"", of_layers, self.network_sha256}  # those of earlier versions were of the layers
        self.best: Arrays = {}
        self.head: Arrays = {}
        self.probabilities: NDArray[np.float32] | None = None
        self.callbacks: Arrays = {}
        self.before: Arrays = {}
        self.damaged = ""

    @property
    def changeable(self) -> list[keras.Variable]:
        """The model's variables that may change."""
        return self._model

    def hashes(self) -> dict[str, str | None]:
        """The hashes by which a checkpoint is known to belong to this network."""
        return {"frozen_sha256": self.frozen_sha256, "network_sha256": self.network_sha256}

    def most_checkpoint_bytes(self) -> int:
        """The size that no checkpoint of this session exceeds, in bytes.

        It holds the weights up to three times (now, best, head) and twice in callbacks. The optimizer may be that of
        another stage, with up to four arrays for each variable. `SPARE_CHECKPOINT_BYTES` are for the rest.
        """
        network = 4 * sum(math.prod(variable.shape) for variable in self._session.built.model.variables)
        optimizer = 4 * sum(math.prod(variable.shape) for variable in self._session.objective.optimizer.variables)
        return 10 * network + 2 * optimizer + SPARE_CHECKPOINT_BYTES

    def weights(self) -> Arrays:
        """The model's variables that may change, by name."""
        return _read(self._model)

    def groups(self) -> dict[str, Arrays]:
        """The arrays that a checkpoint writes, by group."""
        objective = self._session.objective
        groups = {
            "model": self.weights(),
            "optimizer": _read(objective.optimizer.variables),
            "metrics": _read([*objective.loss.variables, *objective.metric_variables]),
        }
        kept = {} if self.probabilities is None else {PROBABILITIES: self.probabilities}
        others = {"best": self.best, "head": self.head, "validation": kept, "callbacks": self.callbacks}
        return groups | {name: arrays for name, arrays in others.items() if arrays}

    def restore(self, checkpoint: Checkpoint, progress: TrainingProgress) -> None:
        """Set everything to the state that a checkpoint holds.

        Raises:
            TrainingFailedError: it belongs to another network, or the frozen backbone was built with other weights.
        """
        if progress.frozen_sha256 != self.frozen_sha256:
            raise TrainingFailedError(
                "the backbone's weights are not those that this run was started with: bring the same weights back"
            )
        if progress.network_sha256 not in self._known_sha256:
            raise TrainingFailedError(
                "the model is another network than this run was started with: its layers, their settings or their "
                "connections differ; give the same model again, or start a new run"
            )
        objective = self._session.objective
        groups = checkpoint.groups
        _write(self._model, groups["model"])
        self._session.train_step.restore_loss_scale(progress.loss_scale)
        _write(objective.optimizer.variables, groups["optimizer"])
        _write([*objective.loss.variables, *objective.metric_variables], groups["metrics"])
        self.best, self.head = dict(groups.get("best", {})), dict(groups.get("head", {}))
        self.probabilities = groups.get("validation", {}).get(PROBABILITIES)
        self.callbacks = dict(groups.get("callbacks", {}))

    def begin_stage(self, checkpoint: Checkpoint, stage: StageName, finished: Sequence[StageRecord]) -> None:
        """Take the head's weights from a checkpoint of the stage before; the backbone keeps those it was built with.

        Fine-tuning begins with the head as it was solved on the training images, or with its best epoch; a refit with
        the head that was handed over. The best of the stages before is handed over if nothing better comes.

        Args:
            checkpoint: the last checkpoint of the stage before.
            stage: the stage that begins.
            finished: the stages before it, of which one may have been left out, with no epoch.

        Raises:
            TrainingFailedError: the checkpoint is of another network.
        """
        groups = checkpoint.groups
        self.probabilities = groups.get("validation", {}).get(PROBABILITIES)
        self.callbacks = dict(groups.get("callbacks", {}))
        if stage == "refit":
            self._write_head(groups["head"])
            self.best = dict(groups["best"])
            return
        self.head = dict(groups["best"])
        self._write_head(self.head)
        self.best = self.weights()
        if any(record.method == "solved" for record in finished):
            self._write_head(groups["model"])

    def _write_head(self, arrays: Arrays) -> None:
        _write(self._model[-len(arrays) :], arrays)

    def show(self, weights: Arrays) -> None:
        """Set the model to these weights, as `weights()` gave them."""
        _write(self._model, weights)

    def show_best(self) -> None:
        """Set the model to the best epoch's weights."""
        if self.best:
            _write(self._model, self.best)


def _names(variables: Sequence[keras.Variable]) -> list[str]:
    return [f"{number:04d}/{variable.path}" for number, variable in enumerate(variables)]


def _read(variables: Sequence[keras.Variable]) -> Arrays:
    return {
        name: np.array(keras.ops.convert_to_numpy(variable.value))
        for name, variable in zip(_names(variables), variables, strict=True)
    }


def _write(variables: Sequence[keras.Variable], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Assign arrays by place; names may differ between processes (Keras numbers its layers), shapes may not."""
    ordered = [arrays[name] for name in sorted(arrays)]
    wanted = [(tuple(v.shape), str(v.dtype)) for v in variables]
    if wanted != [(a.shape, str(a.dtype)) for a in ordered]:
        raise TrainingFailedError(
            "the checkpoint belongs to another network: resume with the model it was started with"
        )
    for variable, array in zip(variables, ordered, strict=True):
        variable.assign(array)
