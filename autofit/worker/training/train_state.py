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

from autofit.errors import TrainingFailedError
from autofit.protocol.messages import StageName, StageRecord
from autofit.storage.checkpoints import Checkpoint
from autofit.worker.execution.session import Session
from autofit.worker.model.keras_internals import shared_seed_states
from autofit.worker.model.network_hash import graph_sha256, network_sha256
from autofit.worker.model.weights import frozen_hash
from autofit.worker.training.training_progress import TrainingProgress

OTHER_WEIGHTS = "the backbone's weights are not those that this run was started with: bring the same weights back"
OTHER_OWN_WEIGHTS = (
    "the model's weights below the head are not those that this run was started with: the function is called in each "
    "stage and has to give the same each time, such as those of one file"
)

Arrays = dict[str, np.ndarray[Any, Any]]
PROBABILITIES = "probabilities"
SPARE_CHECKPOINT_BYTES = 256 * 2**20
"""Room for the probabilities of the validation (20 MB), arrays of callbacks besides weights, and headers."""


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
        below = session.built.below_head
        is_own = below is not None or not session.built.head_layers
        self.network_sha256 = graph_sha256(model, with_modules=False) if is_own else of_layers
        self._below_head_sha256 = frozen_hash(below.variables) if below is not None else None
        self._other_weights = OTHER_WEIGHTS if below is None else OTHER_OWN_WEIGHTS
        self._known_sha256 = {"", of_layers, self.network_sha256}  # those of earlier versions were of the layers
        self._seeds, self._undrawn = (seeds := shared_seed_states()), _read(seeds)
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
        seeds = _read(self._seeds)
        others["seeds"] = {} if np.array_equal([*seeds.values()], [*self._undrawn.values()]) else seeds
        return groups | {name: arrays for name, arrays in others.items() if arrays}

    def restore(self, checkpoint: Checkpoint, progress: TrainingProgress) -> None:
        """Set everything to the state that a checkpoint holds.

        Raises:
            TrainingFailedError: it belongs to another network, or the frozen backbone was built with other weights.
        """
        if progress.frozen_sha256 != self.frozen_sha256:
            raise TrainingFailedError(self._other_weights)
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
        _write(self._seeds, groups.get("seeds", self._undrawn))
        _write([*objective.loss.variables, *objective.metric_variables], groups["metrics"])
        self.best, self.head = dict(groups.get("best", {})), dict(groups.get("head", {}))
        self.probabilities = groups.get("validation", {}).get(PROBABILITIES)
        self.callbacks = dict(groups.get("callbacks", {}))

    def begin_stage(
        self,
        checkpoint: Checkpoint,
        stage: StageName,
        finished: Sequence[StageRecord],
        frozen_sha256: str | None = None,
    ) -> None:
        """Take the head's weights from a checkpoint of the stage before; the backbone keeps those it was built with.

        Fine-tuning begins with the head as it was solved on the training images, or with its best epoch; a refit with
        the head that was handed over. The best of the stages before is handed over if nothing better comes.

        Args:
            checkpoint: the last checkpoint of the stage before.
            stage: the stage that begins.
            finished: the stages before it, of which one may have been left out, with no epoch.
            frozen_sha256: the hash of what was frozen in the stage before; None if that is not known.

        Raises:
            TrainingFailedError: the checkpoint is of another network, or the user's function now gives other weights.
        """
        now = self.frozen_sha256 if stage == "refit" else self._below_head_sha256
        if self._below_head_sha256 is not None and frozen_sha256 not in {None, now}:
            raise TrainingFailedError(self._other_weights)
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
