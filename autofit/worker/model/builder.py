"""The network: raw images in, probabilities out.

All layers between the two are Keras's own, so that a saved model opens with plain `keras.models.load_model`. The model
and its parts share their layers: training the head trains the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from autofit.config.backbones import Backbone, ModelSpec, find
from autofit.config.hub_presets import is_preset
from autofit.errors import UserError
from autofit.protocol.messages import Phase
from autofit.worker.model.cut_points import CutPoint, choose_cut, cut_points, split_at
from autofit.worker.model.hub_backbone import load_hub_backbone
from autofit.worker.model.keras_internals import all_layers
from autofit.worker.model.preprocessing import preprocess
from autofit.worker.model.weights import first_sentence, load_backbone

ModelFunction = Callable[[tuple[int, int, int], int], keras.Model]
Preprocess = Callable[[keras.KerasTensor], keras.KerasTensor]

# Both divide by the number of samples (`keras.losses`); "mean_with_sample_weight" divides by the weights' sum.
_MEAN_REDUCTIONS = ("sum_over_batch_size", "mean")

_TOLERANCE = 1e-3  # of a probability and of a row's sum, wide enough for float16


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A model and its parts.

    Attributes:
        model: raw 0..255 images `(n, height, width, 3)` to probabilities `(n, classes)`.
        features: the same images to pooled features `(n, d)`; None if the model cannot be split.
        head: features `(n, d)` to probabilities `(n, classes)`; None if the model cannot be split.
        head_layers: the head's layers in order: perhaps a hidden Dense, perhaps a Dropout, the Dense with the softmax.
            A trainer that calls them one by one can draw the dropout's mask once for a whole batch. Empty if the model
            cannot be split.
        frozen: no weight of `features` trains.
        compiled: the user has compiled the model; its loss, optimizer and metrics are used.
        cut: name of the layer at which the backbone is cut, perhaps `outer/inner`; None for no cut. With a cut,
            `features` ends at that layer: its output `(n, ...)` is the features, and the layers above are in `head`.
            In `head_layers` they are the first one, a network that is called in inference: what is random in a
            backbone, such as stochastic depth, stays out, and the result does not depend on the micro-batch.
    """

    model: keras.Model
    features: keras.Model | None
    head: keras.Model | None
    head_layers: tuple[keras.Layer, ...]
    frozen: bool
    compiled: bool
    cut: str | None = None

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape of an image's features; empty if the model cannot be split."""
        return () if self.head is None else tuple(self.head.input_shape[1:])


def build(
    spec: ModelSpec,
    num_classes: int,
    on_phase: Callable[[Phase], None],
    *,
    on_message: Callable[[str], None] = lambda _: None,
    loads: bool = True,
) -> BuiltModel:
    """Build the model of `spec`.

    Args:
        spec: its description.
        num_classes: the width of its output.
        on_phase: called with each phase before it begins.
        on_message: called with a line for the user about the weights that were loaded.
        loads: whether to load the weights. Without them it takes the same memory and time, and is the same otherwise.

    Raises:
        UserError: the backbone, the image size or the weights cannot be used.
    """
    if spec.backbone is None:
        raise ValueError("a ModelSpec without a backbone is built by build_from_function")
    _refuse_channels_first()
    backbone = find(spec.backbone)
    backbone.check_image_size(spec.image_size)
    keras.utils.set_random_seed(spec.seed)
    weights = spec.weights if loads else "none"
    on_phase(Phase.BUILD if weights == "none" else Phase.WEIGHTS)
    network, preprocessing = _backbone(backbone, spec.image_size, weights, on_message)
    if weights != "none":
        on_phase(Phase.BUILD)
    cut = _chosen_cut(network, spec.cut)
    _freeze(network, spec)
    if cut is not None:
        return _assemble_cut(network, cut, preprocessing, spec, num_classes)
    return _assemble(network, preprocessing, spec, num_classes)


def _backbone(
    backbone: Backbone, image_size: tuple[int, int], weights: str, on_message: Callable[[str], None]
) -> tuple[keras.Model, Preprocess]:
    """The backbone, from preprocessed images to pooled features; and how images are preprocessed for it."""
    if is_preset(backbone.name):
        found = load_hub_backbone(backbone.name, image_size, loads=weights != "none", on_message=on_message)
        return found.network, keras.layers.Rescaling(found.scale, found.offset, name="preprocessing")
    network = load_backbone(backbone, image_size, weights, on_message)
    return network, partial(preprocess, preprocessing=backbone.preprocessing)


def build_from_function(
    function: ModelFunction, image_size: tuple[int, int], num_classes: int, seed: int, cut: str | None = None
) -> BuiltModel:
    """Build with a user's `(input_shape, num_classes) -> keras.Model`; refuse a model whose training would be altered.

    Args:
        function: the user's.
        image_size: (height, width) in pixels.
        num_classes: how many.
        seed: for the initial weights.
        cut: as in `ModelSpec`.

    Raises:
        UserError: the function failed, its model cannot be trained in micro-batches, or cannot be cut there; the
            message says why.
    """
    _refuse_channels_first()
    keras.utils.set_random_seed(seed)
    shape = (*image_size, 3)
    model = _call(function, shape, num_classes)
    _check_shapes(model, shape, num_classes)
    _check_training(model)
    if model.compiled:
        _check_loss(model)
        _check_optimizer(model)
    else:
        _check_probabilities(model, shape)
    found = _chosen_cut(model, cut)
    if found is None:
        return BuiltModel(model, None, None, (), frozen=False, compiled=model.compiled)
    _freeze_normalizations(model)
    lower, upper = _frozen_below(model, found)
    features = _of_fixed_size(lower, shape)
    return BuiltModel(
        model, features, _of_fixed_size(upper, features.output_shape[1:]), (), True, model.compiled, found.name
    )


def _of_fixed_size(network: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """The same network for inputs of one shape, where it takes several."""
    if tuple(network.input_shape[1:]) == tuple(shape):
        return network
    inputs = keras.Input(shape, dtype=network.inputs[0].dtype)
    return keras.Model(inputs, network(inputs))


def _chosen_cut(network: keras.Model, wanted: str | None) -> CutPoint | None:
    """The cut that a spec asks for; None where everything or only the head trains."""
    return None if wanted is None else choose_cut(cut_points(network), wanted)


def _frozen_below(network: keras.Model, cut: CutPoint) -> tuple[keras.Model, keras.Model]:
    """The parts of a network below and above a cut, the lower one frozen."""
    lower, upper = split_at(network, cut.name)
    lower.trainable = False
    return lower, upper


def _refuse_channels_first() -> None:
    if keras.config.image_data_format() != "channels_last":
        raise UserError('Keras is set to "channels_first": set image_data_format to "channels_last" in its keras.json')


def _batch_normalizations(model: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """Every BatchNormalization in the model, however deeply nested."""
    return (layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization))


def _freeze(network: keras.Model, spec: ModelSpec) -> None:
    """Set which layers of the backbone train.

    Pretrained statistics stay unchanged only with `trainable = False` on each BatchNormalization: a call with
    `training=False` is overridden by an outer `training=True` (Keras 3.13 to 3.15).
    """
    if spec.weights != "none" or spec.cut is not None:
        _freeze_normalizations(network)
    if spec.trainable == "head" and spec.cut is None:
        network.trainable = False


def _freeze_normalizations(network: keras.Model) -> None:
    for layer in _batch_normalizations(network):
        layer.trainable = False


def _assemble(network: keras.Model, preprocessing: Preprocess, spec: ModelSpec, num_classes: int) -> BuiltModel:
    """Join preprocessing, backbone and head, to one model and to two that share its layers."""
    images = keras.Input((*spec.image_size, 3), dtype="float32", name="images")
    pooled = network(preprocessing(images))
    head_layers = _head_layers(spec, num_classes)
    head_input = keras.Input(pooled.shape[1:], dtype=pooled.dtype, name="pooled")
    return BuiltModel(
        model=keras.Model(images, _chain(head_layers, pooled), name="classifier"),
        features=keras.Model(images, pooled, name="features"),
        head=keras.Model(head_input, _chain(head_layers, head_input), name="head"),
        head_layers=head_layers,
        frozen=spec.trainable == "head",
        compiled=False,
    )


def _assemble_cut(
    network: keras.Model, cut: CutPoint, preprocessing: Preprocess, spec: ModelSpec, num_classes: int
) -> BuiltModel:
    """Join preprocessing, backbone and head to one model; and the part below the cut and that above it to two."""
    whole = _assemble(network, preprocessing, spec, num_classes)
    lower, upper = _frozen_below(network, cut)
    images = keras.Input((*spec.image_size, 3), dtype="float32", name="images")
    activations = lower(preprocessing(images))
    head_input = keras.Input(activations.shape[1:], dtype=activations.dtype, name="activations")
    head_layers = (upper, *whole.head_layers)
    return dataclasses.replace(
        whole,
        features=keras.Model(images, activations, name="features"),
        head=keras.Model(head_input, _chain(head_layers, head_input), name="head"),
        head_layers=head_layers,
        frozen=True,
        cut=cut.name,
    )


def _head_layers(spec: ModelSpec, num_classes: int) -> tuple[keras.Layer, ...]:
    layers = []
    if spec.hidden_units:
        layers.append(keras.layers.Dense(spec.hidden_units, activation="relu", name="hidden"))
    if spec.dropout:
        layers.append(keras.layers.Dropout(spec.dropout, name="dropout"))
    # Probabilities stay float32 in mixed precision too: float16 rounds small ones to zero.
    layers.append(keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities"))
    return tuple(layers)


def _chain(layers: tuple[keras.Layer, ...], x: keras.KerasTensor) -> keras.KerasTensor:
    for layer in layers:
        x = layer(x)
    return x


def _call(function: ModelFunction, shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Call the user's function, which must return a built `keras.Model`."""
    try:
        model = function(shape, num_classes)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise  # running out of memory is not the function's fault: it has its own verdict
    except Exception as error:
        raise UserError(f"the model function failed with {type(error).__name__}: {first_sentence(error)}") from error
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        raise UserError(f"the model function returned {kind}: return a keras.Model")
    if not getattr(model, "inputs", None):
        raise UserError(
            f"the model function returned {type(model).__name__} without inputs: "
            f"start a Sequential with keras.Input({shape}), or build a functional model"
        )
    return model


def _check_shapes(model: keras.Model, shape: tuple[int, int, int], num_classes: int) -> None:
    """Require one input that takes `(n, *shape)` and one output of `(n, num_classes)`, for any n."""
    given = [tuple(tensor.shape) for tensor in model.inputs]
    if len(given) != 1 or not _accepts(given[0], (None, *shape)):
        raise UserError(f"the model takes {_listed(given)}: it needs one input of shape {(None, *shape)}")
    given = [tuple(tensor.shape) for tensor in model.outputs]
    named = "a dictionary of " if isinstance(model.compute_output_shape((None, *shape)), dict) else ""
    if named or given != [(None, num_classes)]:
        raise UserError(f"the model gives {named}{_listed(given)}: it needs one output of shape {(None, num_classes)}")


def _accepts(given: tuple[int | None, ...], needed: tuple[int | None, ...]) -> bool:
    return len(given) == len(needed) and all(have in (None, need) for have, need in zip(given, needed, strict=True))


def _listed(shapes: list[tuple[int | None, ...]]) -> str:
    return " and ".join(map(str, shapes))


def _check_training(model: keras.Model) -> None:
    """Refuse a model of which a step in micro-batches would leave out or change something."""
    # compute_loss too: over what it averages cannot be seen from outside.
    for method in ("train_step", "test_step", "compute_loss"):
        if getattr(getattr(model, method), "__func__", None) is not getattr(keras.Model, method):
            raise UserError(f"the model has a {method} of its own, which micro-batches cannot keep: remove it")
    for layer in _batch_normalizations(model):
        if layer.synchronized:
            raise UserError(f"layer {layer.name!r} has synchronized=True, which micro-batches cannot keep: remove it")


def _check_loss(model: keras.Model) -> None:
    """Require one loss, a mean over the samples, of a compiled model."""
    loss = model.loss
    losses = list(loss.values()) if isinstance(loss, dict) else loss if isinstance(loss, list | tuple) else [loss]
    if len(losses) != 1:
        raise UserError(f"the model is compiled with {len(losses)} losses: compile it with one")
    if losses[0] is None:
        raise UserError("the model is compiled without a loss: give compile() a loss, or leave the model uncompiled")
    reduction = getattr(losses[0], "reduction", _MEAN_REDUCTIONS[0])  # names and functions become a mean in Keras
    if reduction not in _MEAN_REDUCTIONS:
        raise UserError(f'the loss has reduction={reduction!r}: use "sum_over_batch_size", a mean over the samples')


def _check_optimizer(model: keras.Model) -> None:
    """Refuse an optimizer that needs support by the training loop: without it the weights would silently be others."""
    optimizer = model.optimizer
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise UserError(
            "the model is compiled with a LossScaleOptimizer, as Keras does for mixed_float16, and its scale is not "
            "kept here: compile it with auto_scale_loss=False, or in float32"
        )
    if getattr(optimizer, "use_ema", False):
        raise UserError("the optimizer has use_ema=True, and its averages are not kept here: compile without it")


def _check_probabilities(model: keras.Model, shape: tuple[int, int, int]) -> None:
    """Run a bright and a dark image: rows must be probabilities. A shape does not show whether there is a softmax."""
    images = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
    images[1] /= 64  # on bright images two sigmoids may saturate to 0 and 1, which sum to 1
    rows = keras.ops.convert_to_numpy(model(images, training=False)).astype("float32")
    sums = rows.sum(axis=1)
    if not (np.all(rows > -_TOLERANCE) and np.all(np.abs(sums - 1) < _TOLERANCE)):
        raise UserError(
            f"the model is not compiled and its outputs are no probabilities (two rows sum to {sums[0]:.4g} and "
            f"{sums[1]:.4g}): end it with a softmax, or compile it with a loss that has from_logits=True"
        )
