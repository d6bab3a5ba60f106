"""Builds the network, from raw images to probabilities.

All its layers are Keras's own, so that a saved model opens with plain `keras.models.load_model`. The model and its
parts share their layers: training the head trains the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import keras

from autofit.config.backbones import Backbone, ModelSpec, find
from autofit.config.hub_presets import is_preset
from autofit.config.precisions import Precision
from autofit.protocol.messages import Phase
from autofit.protocol.model_jobs import OutputKind
from autofit.worker.model.cut_points import CutPoint, choose_cut, cut_points, named_apart, split_at
from autofit.worker.model.given_model import ModelFunction, check_model, model_in
from autofit.worker.model.head import chain, head_of
from autofit.worker.model.hub_backbone import load_hub_backbone
from autofit.worker.model.keras_internals import all_layers
from autofit.worker.model.outputs import label_outputs, output_kind
from autofit.worker.model.own_head import (
    OwnHead,
    leave_out_regularizers,
    refuse_compiled,
    split_head,
    untrained_words,
)
from autofit.worker.model.precision import in_precision, layers_in
from autofit.worker.model.preprocessing import preprocess
from autofit.worker.model.reopening import check_reopens
from autofit.worker.model.weights import load_backbone
from autofit.worker.runtime.keras_config import require_own_settings

Preprocess = Callable[[keras.KerasTensor], keras.KerasTensor]


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A model and its parts.

    Attributes:
        model: from raw 0..255 images `(n, height, width, 3)` to probabilities `(n, classes)`.
        features: from the same images to pooled features `(n, d)`; None if the model cannot be split.
        head: from features `(n, d)` to probabilities `(n, classes)`; None if the model cannot be split.
        head_layers: the head's layers in order: perhaps a hidden Dense, perhaps a Dropout, the Dense with the softmax.
            A trainer that calls them one by one can draw the dropout mask once for a whole batch. Empty if the model
            cannot be split.
        frozen: whether no weight of `features` trains.
        compiled: whether the user has compiled the model, so that its loss, optimizer and metrics are used.
        below_head: of a user's own network that is split, the part below the head, whatever of it trains; else None.
        cut: the name of the layer at which the backbone is cut, perhaps `outer/inner`; None for no cut. With a cut,
            `features` ends at that layer, whose output `(n, ...)` is the features, and the layers above are in `head`.
            They are the first of `head_layers`, a network that is called in inference mode: random layers of a
            backbone, such as stochastic depth, are inactive, and the result does not depend on the micro-batch.
        note: a line for the user about layers of such a network; may be empty.
        outputs: what the model's output holds; a prediction turns logits into probabilities.
        precision: the precision in which the layers were asked to compute.
    """

    model: keras.Model
    features: keras.Model | None
    head: keras.Model | None
    head_layers: tuple[keras.Layer, ...]
    frozen: bool
    compiled: bool
    below_head: keras.Model | None = None
    cut: str | None = None
    note: str = ""
    outputs: OutputKind = "probabilities"
    precision: Precision = "float32"

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape of an image's features; empty if the model cannot be split."""
        return () if self.head is None else tuple(self.head.input_shape[1:])


class TrainedPart(NamedTuple):
    """The part of a user's own network that trains, if not all that the user lets train.

    Attributes:
        cut: as in `ModelSpec`; None if the head alone trains.
        later_cut: where the network is to be cut in a later stage; None if it is not.
    """

    cut: str | None = None
    later_cut: str | None = None


@layers_in("float32")
def build(
    spec: ModelSpec,
    num_classes: int,
    on_phase: Callable[[Phase], None],
    *,
    on_message: Callable[[str], None] = lambda _: None,
    loads: bool = True,
    multi_label: bool = False,
    later_cut: str | None = None,
) -> BuiltModel:
    """Build the model of `spec`.

    Args:
        spec: the description of the model.
        num_classes: the number of outputs.
        on_phase: called with each phase before it begins.
        on_message: called with a line for the user about the weights that were loaded.
        loads: whether to load pretrained weights. Without them the model takes the same memory and time.
        multi_label: whether each class has a probability of its own, by a sigmoid; else all have one softmax.
        later_cut: where the same network is to be cut in a later stage; None if it is not, or wherever it can be.

    Raises:
        UserError: the backbone, the image size, the weights or the cut cannot be used.
    """
    if spec.backbone is None:
        raise ValueError("a ModelSpec without a backbone is built by build_from_function")
    require_own_settings()
    backbone = find(spec.backbone)
    backbone.check_image_size(spec.image_size)
    keras.utils.set_random_seed(spec.seed)
    weights = spec.weights if loads else "none"
    on_phase(Phase.BUILD if weights == "none" else Phase.WEIGHTS)
    network, preprocessing = _backbone(backbone, spec, weights, on_message)
    if weights != "none":
        on_phase(Phase.BUILD)
    _chosen_cut(network, later_cut)  # raises if there is none
    cut = _chosen_cut(network, spec.cut)
    _freeze(network, spec)
    head_layers = head_of(spec, num_classes, multi_label=multi_label)
    if cut is not None:
        return _assemble_cut(network, cut, preprocessing, head_layers, spec)
    return _assemble(network, preprocessing, head_layers, spec)


def _backbone(
    backbone: Backbone, spec: ModelSpec, weights: str, on_message: Callable[[str], None]
) -> tuple[keras.Model, Preprocess]:
    """The backbone, from preprocessed images to pooled features; and its preprocessing of images, in float32."""
    if is_preset(backbone.name):
        loads = weights != "none"
        found = load_hub_backbone(backbone.name, spec.image_size, spec.precision, loads=loads, on_message=on_message)
        return found.network, keras.layers.Rescaling(found.scale, found.offset, name="preprocessing")
    with layers_in(spec.precision):
        network = load_backbone(backbone, spec.image_size, weights, on_message)
    return network, partial(preprocess, preprocessing=backbone.preprocessing)


def build_from_function(
    function: ModelFunction,
    image_size: tuple[int, int],
    num_classes: int,
    seed: int,
    part: TrainedPart | None = None,
    loss: Any = None,
    *,
    precision: Precision = "float32",
    multi_label: bool = False,
) -> BuiltModel:
    """Build by a user's function `(input_shape, num_classes) -> keras.Model`, and check that its model can be trained.

    Args:
        function: the user's function.
        image_size: (height, width) in pixels.
        num_classes: the number of classes.
        seed: the seed for the initial weights.
        part: what trains; None for what the user lets train.
        loss: the user's loss for an uncompiled model; None for autofit's.
        precision: the precision of its layers; with `float32` each keeps the policy that the user gave it.
        multi_label: whether each class has a probability of its own.

    Raises:
        UserError: the function failed, or its model cannot be trained in micro-batches, saved and opened again, split
            below a head, or cut there; the message says why.
    """
    require_own_settings()
    keras.utils.set_random_seed(seed)
    shape = (*image_size, 3)
    model = model_in(function, precision, shape, num_classes)
    if part is not None:
        refuse_compiled(model)
    check_model(model, shape, num_classes, multi_label=multi_label)
    check_reopens(model)
    model = in_precision(model, precision)
    head = None if part is None else split_head(model, num_classes, multi_label=multi_label)
    outputs = label_outputs(model, shape) if multi_label else output_kind(model, shape, loss)
    built = BuiltModel(
        model, None, None, (), frozen=False, compiled=model.compiled, outputs=outputs, precision=precision
    )
    return built if head is None or part is None else _split(built, head, part, shape)


def _split(built: BuiltModel, head: OwnHead, part: TrainedPart, shape: tuple[int, int, int]) -> BuiltModel:
    """The model of a user with its parts: the features, and what is above them.

    What is above trains, also where the user has frozen it, as for the stage of the head (docs/decisions/0075). Weights
    that Keras itself does not train, such as the mean of a Normalization, stay as they are.
    """
    notes = leave_out_regularizers(built.model), untrained_words(head.below)
    for layer in [built.model, *all_layers(built.model)]:  # a model that trains passes nothing on to a layer inside
        layer.trainable = True
    _freeze_normalizations(built.model)
    _chosen_cut(head.below, part.later_cut)  # raises if there is none
    cut = _chosen_cut(head.below, part.cut)
    features, upper = (head.below, None) if cut is None else _frozen_below(head.below, cut)
    features = of_fixed_size(features, shape)
    if part.cut is None:
        features.trainable = False
    inputs = keras.Input(features.output_shape[1:], dtype="float32")
    layers = head.layers
    if upper is not None:
        taken = {layer.name for layer in layers}
        layers = (named_apart(of_fixed_size(upper, features.output_shape[1:]), upper.name, taken), *layers)
    return dataclasses.replace(
        built,
        features=features,
        head=keras.Model(inputs, chain(layers, inputs), name="head"),
        head_layers=layers,
        frozen=part.cut is None or cut is not None,
        below_head=head.below,
        cut=cut.name if cut else None,
        note="; ".join(filter(None, notes)),
    )


def of_fixed_size(network: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """The same network, restricted to inputs of one shape, if it takes inputs of several shapes."""
    if tuple(network.input_shape[1:]) == tuple(shape):
        return network
    inputs = keras.Input(shape, dtype=network.inputs[0].dtype)
    return keras.Model(inputs, network(inputs))


def _chosen_cut(network: keras.Model, wanted: str | None) -> CutPoint | None:
    """The cut that a spec asks for; None if everything or only the head trains."""
    return None if wanted is None else choose_cut(cut_points(network), wanted)


def _frozen_below(network: keras.Model, cut: CutPoint) -> tuple[keras.Model, keras.Model]:
    """The parts of a network below and above a cut, the lower one frozen."""
    lower, upper = split_at(network, cut.name)
    lower.trainable = False
    return lower, upper


def _batch_normalizations(model: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """Every BatchNormalization in the model, however deeply nested."""
    return (layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization))


def _freeze(network: keras.Model, spec: ModelSpec) -> None:
    """Set which layers of the backbone train.

    Pretrained statistics stay unchanged only with `trainable = False` on each BatchNormalization: `training=False` in
    an inner call is overridden by an outer `training=True` (Keras 3.13 to 3.15).
    """
    if spec.weights != "none" or spec.cut is not None:
        _freeze_normalizations(network)
    if spec.trainable == "head" and spec.cut is None:
        network.trainable = False


def _freeze_normalizations(network: keras.Model) -> None:
    for layer in _batch_normalizations(network):
        layer.trainable = False


def _assemble(
    network: keras.Model, preprocessing: Preprocess, head_layers: tuple[keras.Layer, ...], spec: ModelSpec
) -> BuiltModel:
    """Join preprocessing, backbone and head to one model, and to two parts that share its layers."""
    images = keras.Input((*spec.image_size, 3), dtype="float32", name="images")
    pooled = network(preprocessing(images))
    head_input = keras.Input(pooled.shape[1:], dtype="float32", name="pooled")
    return BuiltModel(
        model=keras.Model(images, chain(head_layers, pooled), name="classifier"),
        features=keras.Model(images, pooled, name="features"),
        head=keras.Model(head_input, chain(head_layers, head_input), name="head"),
        head_layers=head_layers,
        frozen=spec.trainable == "head",
        compiled=False,
        precision=spec.precision,
    )


def _assemble_cut(
    network: keras.Model,
    cut: CutPoint,
    preprocessing: Preprocess,
    head_layers: tuple[keras.Layer, ...],
    spec: ModelSpec,
) -> BuiltModel:
    """Join preprocessing, backbone and head to one model, and to two parts, below and above the cut."""
    whole = _assemble(network, preprocessing, head_layers, spec)
    lower, upper = _frozen_below(network, cut)
    images = keras.Input((*spec.image_size, 3), dtype="float32", name="images")
    activations = lower(preprocessing(images))
    head_input = keras.Input(activations.shape[1:], dtype="float32", name="activations")
    head_layers = (upper, *whole.head_layers)
    return dataclasses.replace(
        whole,
        features=keras.Model(images, activations, name="features"),
        head=keras.Model(head_input, chain(head_layers, head_input), name="head"),
        head_layers=head_layers,
        frozen=True,
        cut=cut.name,
    )
