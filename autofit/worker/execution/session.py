"""A network that is ready to train: built, with its steps compiled, for a frozen and for a trained backbone.

The probe's trials and the training use this same code, so that the probe measures what runs later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from autofit.config.backbones import ModelSpec
from autofit.errors import UserError
from autofit.input.aligned_array import aligned, padded
from autofit.protocol.job import Event, Job, ModelSource, TrainJob, TrialsJob
from autofit.protocol.messages import Phase
from autofit.protocol.payload import Payload
from autofit.worker.execution.loss_scale import LossScale
from autofit.worker.execution.microbatch import MicroBatcher
from autofit.worker.execution.replicas import ReplicatedTrainStep
from autofit.worker.execution.sliced_model import Network, SplitNetwork, WholeNetwork, slices_decide
from autofit.worker.execution.step_options import StepOptions
from autofit.worker.execution.steps import EvaluateStep, Tally, TrainStep, compile_forward, tensors_of
from autofit.worker.execution.strategy import open_strategy, replicas_of, require_replicable, scope_of
from autofit.worker.model.bn_folding import folded
from autofit.worker.model.builder import BuiltModel, TrainedPart, build, build_from_function
from autofit.worker.model.given_model import imported_function
from autofit.worker.model.objective import Objective, given_loss, make_objective
from autofit.worker.model.precision import computes_in_float16
from autofit.worker.model.segments import most_segments
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.memory import device_bytes_reader
from autofit.worker.runtime.phase_times import PhaseTimes
from autofit.worker.runtime.tf_settings import device_name

PADS = {"cpu": False, "gpu": True}
"""Whether slices are padded to one shape. It spares a GPU tuning; a CPU does not tune, and would only compute more. The
slices of a user's own model are never padded, since the output of one row may depend on others."""

CUT_FEATURES = tf.float16
"""The dtype of features at a cut, which are large. It is the same without a cache, so that training is the same."""


UNCUT_WORDS = "the network cannot be cut into segments: activations are kept, and weights are updated one after another"
"""The message if activations should be recomputed and cannot be."""


@dataclass(frozen=True, slots=True)
class Session:
    """A network with its objective and its compiled steps.

    With `pads`, each slice of images has as many rows as the micro-batch, and the last rows may be zeros whose outputs
    are dropped: a GPU then tunes for one shape only. The argument `usual` of the methods is the batch size of the pass,
    which may be less than the micro-batch.

    Attributes:
        built: the model and its parts.
        objective: loss, metrics and optimizer.
        network: what a training step runs.
        extract: the compiled frozen backbone; None if the backbone trains, or the model has none.
        micro_decides: why the micro-batch size changes the result; None if it does not.
        times: where the time of the first calls is recorded.
    """

    built: BuiltModel
    objective: Objective
    network: Network
    train_step: TrainStep
    evaluate_step: EvaluateStep
    extract: Callable[[np.ndarray], tf.Tensor] | None
    micro_decides: str | None
    pads: bool = False
    times: PhaseTimes = field(default_factory=PhaseTimes)

    @property
    def head_in_slices(self) -> bool:
        """Whether the head contains a part of the backbone, so that it runs in micro-batches too."""
        return self.built.cut is not None

    @property
    def most_segments(self) -> int:
        """The most segments, for computing activations again, of the part that trains; 1 if it cannot be cut."""
        built = self.built
        if built.features is None or built.head is None:
            return most_segments(built.model)
        layers = built.head_layers or [built.head]
        return max(map(most_segments, layers if built.frozen else [built.features, *layers]))

    def train_batch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray,
        micro: MicroBatcher,
        on_phase: Callable[[Phase], None],
        usual: int | None = None,
    ) -> dict[str, tf.Tensor]:
        """Make one update from a batch of uint8 images `(n, height, width, 3)`; returns the epoch's metrics so far.

        Raises:
            OutOfDeviceMemoryError: not even a single image fits; the weights are as before.
            TornUpdateError: memory ran out during the update: the weights are unusable.
        """
        count = len(images)
        if self.extract is None:
            on_phase(Phase.TRAIN)
            computed = micro.repeat(
                self._part(count),
                lambda rows: self._accumulate(images, labels, weights, rows),
                self._usual_part(usual),
            )
            return self._commit(computed, count)
        on_phase(Phase.EXTRACT)
        features = self.features_of(images, micro, usual)
        on_phase(Phase.TRAIN)
        return self.train_on_features(features, labels, weights, micro, usual)

    def features_of(self, images: np.ndarray, micro: MicroBatcher, usual: int | None = None) -> tf.Tensor:
        """Run the frozen part on uint8 images `(n, height, width, 3)`; returns features `(n, *feature_shape)`.

        Raises:
            OutOfDeviceMemoryError: not even a single image fits.
        """
        return micro.repeat(len(images), lambda rows: self._extracted(images, rows), usual)

    def train_on_features(
        self, features: Any, labels: np.ndarray, weights: np.ndarray, micro: MicroBatcher, usual: int | None = None
    ) -> dict[str, tf.Tensor]:
        """Update the head from one batch of features; returns the epoch's metrics so far.

        A head on pooled features takes the batch whole, if that fits; one with a part of the backbone in it takes it in
        micro-batches.

        Raises:
            OutOfDeviceMemoryError: a single image does not fit; the weights are as before.
            TornUpdateError: the weights can no longer be trusted.
        """
        count = len(labels)
        part = self._part(count)
        if self.head_in_slices:
            work = partial(self._accumulate, features, labels, weights)
            return self._commit(micro.repeat(part, work, self._usual_part(usual)), count)
        computed = micro.of_heads.repeat(
            part, lambda rows: self._accumulate(features, labels, weights, min(rows, part))
        )
        return self._commit(computed, count)

    def _accumulate(self, inputs: Any, labels: np.ndarray, weights: np.ndarray, rows: int) -> tuple[Any, ...]:
        part = self._part(len(labels))
        shapes = [rows] if self.train_step.pads else [min(rows, part), part % rows]
        with self.times.call("train", *shapes):
            return self.train_step.accumulate(inputs, labels, weights, rows)

    def _commit(self, computed: tuple[Any, ...], count: int) -> dict[str, tf.Tensor]:
        with self.times.call("update"):
            return self.train_step.commit(computed, count)

    def _evaluate(self, inputs: Any, labels: np.ndarray, tally: Tally) -> None:
        with self.times.call("evaluate", len(inputs)):
            self.evaluate_step(inputs, labels, tally)

    def _extracted(self, images: np.ndarray, size: int) -> tf.Tensor:
        slices = [self._features(images[at : at + size], size) for at in range(0, len(images), size)]
        return slices[0] if len(slices) == 1 else tf.concat(slices, axis=0)

    def _features(self, images: np.ndarray, rows: int) -> tf.Tensor:
        """The features of one slice; if slices are padded, it is padded to `rows`."""
        assert self.extract is not None  # noqa: S101 - told apart by the caller
        if not self.pads:
            return self.extract(aligned(images))
        return self.extract(padded(images, rows))[: len(images)]

    def _part(self, count: int) -> int:
        """The most samples of a batch of `count` that one device has."""
        return -(-count // self.train_step.replicas)

    def _usual_part(self, usual: int | None) -> int | None:
        return None if usual is None else self._part(usual)

    def fresh_tally(self, *, keeps_outputs: bool = False) -> Tally:
        """Reset the metrics and the counts of predicted classes, and begin a tally with their values."""
        self.objective.reset()
        self.evaluate_step.predicted.assign(np.zeros(self.evaluate_step.predicted.shape))
        return Tally(tensors_of(self.evaluate_step.variables), keeps_outputs=keeps_outputs)

    def evaluate_batch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        tally: Tally,
        micro: MicroBatcher,
        usual: int | None = None,
    ) -> None:
        """Count one batch of images."""

        def one_slice(start: int, stop: int) -> None:
            part, rows = images[start:stop], micro.rows(usual)
            if self.extract is not None:
                inputs = self._features(part, rows)
            else:
                inputs = padded(part, rows) if self.pads else aligned(part)
            self._evaluate(inputs, labels[start:stop], tally)

        micro.slices(len(images), one_slice, usual)

    def evaluate_features(self, features: Any, labels: np.ndarray, tally: Tally, micro: MicroBatcher) -> None:
        """Count one batch of features.

        Raises:
            OutOfDeviceMemoryError: not even a single image fits.
        """

        def one_slice(start: int, stop: int) -> None:
            self._evaluate(features[start:stop], labels[start:stop], tally)

        parts = micro if self.head_in_slices else micro.of_heads
        parts.slices(len(labels), one_slice)

    def results_of(self, values: list[tf.Tensor]) -> dict[str, float]:
        """Set the metrics to these values and return their results."""
        for variable, value in zip(self.evaluate_step.variables, values, strict=True):
            variable.assign(value)
        return self.metrics()

    @property
    def predicted(self) -> list[int]:
        """How often each class was predicted, by the values that were set last."""
        return [int(count) for count in keras.ops.convert_to_numpy(self.evaluate_step.predicted)]

    def metrics(self) -> dict[str, float]:
        """The metrics so far, read from the device."""
        return {name: float(value) for name, value in self.objective.results().items()}


def open_session(job: Job, payload: Payload | None, heartbeat: Heartbeat) -> Session:
    """Build the network of a job and its compiled steps.

    Raises:
        UserError: the model, its weights or its function cannot be used.
    """
    source = job.source
    if source is None:
        raise ValueError("this job has no model")
    heartbeat.device_bytes = device_bytes_reader(device_name(job.memory))
    heartbeat.phase(Phase.BUILD)
    strategy = open_strategy(job)
    scope = scope_of(strategy)
    with scope():
        built = _build(source, job, payload, heartbeat)
    if (count := replicas_of(job, strategy)) > 1:
        require_replicable(built, count)
    network, inputs = _network(built, source.spec)
    extracts = built.frozen and built.features is not None
    objective = make_objective(built.model, source, compiled=built.compiled, scope=scope)
    if objective.note and job.attempt == 1 and isinstance(job.work, TrainJob):
        heartbeat.event(Event(message=objective.note))
    micro_decides = _what_slices_decide(built, network)
    pads = PADS[job.memory.device] and isinstance(network, SplitNetwork) and built.below_head is None
    trains_in_slices = not extracts or built.cut is not None
    pads_training = pads and trains_in_slices and micro_decides is None
    scale = LossScale() if computes_in_float16(_trained(built)) else None
    kind = TrainStep if strategy is None else partial(ReplicatedTrainStep, strategy, built)
    options = StepOptions(pads=pads_training, loss_scale=scale, one_by_one=source.spec.segments > 0)
    session = Session(
        built=built,
        objective=objective,
        network=network,
        train_step=kind(network, objective, inputs, options),
        # a frozen backbone is traced once, for training and for validation
        evaluate_step=EvaluateStep(_trained(built), objective, inputs, pads=pads),
        extract=heartbeat.times.timed("extract", compile_forward(folded(built.features), inputs.dtype))
        if extracts
        else None,
        micro_decides=micro_decides,
        pads=pads,
        times=heartbeat.times,
    )
    if trains_in_slices and job.attempt == 1 and source.spec.segments > 1 and session.most_segments == 1:
        heartbeat.event(Event(message=UNCUT_WORDS))
    return session


def _what_slices_decide(built: BuiltModel, network: Network) -> str | None:
    """Why the micro-batch size changes the result; None if it does not, as for a head whose layers run one by one."""
    if not built.frozen:
        return slices_decide(built.model, network)
    return None if built.below_head is None else slices_decide(_trained(built), network, in_inference=True)


def _trained(built: BuiltModel) -> keras.Model:
    """The model that a step runs: the head if the part below it is frozen, else the whole model."""
    return built.head if built.frozen and built.head is not None else built.model


def _build(source: ModelSource, job: Job, payload: Payload | None, heartbeat: Heartbeat) -> BuiltModel:
    """Build the network. For trials no weights are loaded, which might have to be downloaded.

    Messages about loading are shown in the first attempt only.
    """

    def say(text: str) -> None:
        if job.attempt == 1:
            heartbeat.event(Event(message=text))

    if source.reference is None and not source.sent:
        return build(
            source.spec,
            source.num_classes,
            heartbeat.phase,
            on_message=say,
            loads=not isinstance(job.work, TrialsJob),
            multi_label=source.multi_label,
            later_cut=source.later_cut,
        )
    sent = payload.model if payload else None
    function = imported_function(source.reference, job.import_paths) if source.reference else sent
    if function is None:
        raise UserError("the model function of this run is gone with the process that gave it: give model= again")
    spec = source.spec
    return build_from_function(
        function,
        spec.image_size,
        source.num_classes,
        spec.seed,
        None if spec.trainable == "all" and spec.cut is None else TrainedPart(spec.cut, source.later_cut),
        precision=spec.precision,
        multi_label=source.multi_label,
        loss=given_loss(source),
    )


def _network(built: BuiltModel, spec: ModelSpec) -> tuple[Network, tf.TensorSpec]:
    images, segments = tf.TensorSpec((None, *spec.image_size, 3), tf.uint8), spec.segments
    if built.features is None or built.head is None:
        return WholeNetwork(built.model, segments), images
    network = SplitNetwork(None if built.frozen else built.features, built.head, built.head_layers, segments)
    if not built.frozen:
        return network, images
    return network, tf.TensorSpec((None, *built.feature_shape), CUT_FEATURES if built.cut else tf.float32)


def clear_session() -> None:
    """Clear Keras's global state, for another network in this process."""
    keras.utils.clear_session()
