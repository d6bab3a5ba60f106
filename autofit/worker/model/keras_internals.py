"""The few things of Keras that autofit needs and that have only private names.

No other module of the worker uses a private name of Keras or TensorFlow. Two modules of the parent, which does not
import Keras, read private attributes of the user's objects if they are there: `config/given_objects.py` and
`protocol/callback_state.py`. The docstring of each function says what follows if a release of Keras no longer has the
private name. Checked with Keras 3.13 to 3.15.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import keras

from autofit.errors import UserError


def all_layers(model: keras.Model) -> list[keras.Layer]:
    """Every layer inside the model, however deeply nested, also those inside wrappers such as `TimeDistributed`.

    The public `Model.layers` has one level only. `_flatten_layers` exists in Keras 3.13 to 3.15; without it the layers
    are found among the values of each layer's attributes, as Keras itself does. The order may differ.
    """
    flatten = getattr(model, "_flatten_layers", None)
    if flatten is None:
        return list(_layers_in_attributes(model))
    return list(flatten(include_self=False, recursive=True))


def draws_random_numbers(layer: keras.Layer) -> bool:
    """Whether the layer itself has a seed generator, and so draws different numbers in each call.

    `_seed_generators` exists in Keras 3.13 to 3.15; without it the generators are found among the values of the layer's
    attributes.
    """
    return bool(_seed_generators(layer))


def keeps_values(layer: keras.Layer) -> bool:
    """Whether the layer itself has variables that it was made with `trainable=False`, which its calls may change.

    The state of a seed generator is none of them. `_non_trainable_variables` exists in Keras 3.13 to 3.15; without it
    all that does not train in a layer that trains is taken for such a variable, also of layers inside it.
    """
    own = getattr(layer, "_non_trainable_variables", None)
    if own is None:
        seeds = {id(generator.state) for generator in _seed_generators(layer)}
        own = [each for each in layer.non_trainable_variables if layer.trainable and id(each) not in seeds]
    return bool(own)


def seed_states(model: keras.Model) -> list[keras.Variable]:
    """The states of the seed generators of all layers in a model.

    `_seed_generators` as in `draws_random_numbers`.
    """
    return [generator.state for layer in all_layers(model) for generator in _seed_generators(layer)]


def shared_generator() -> Any | None:
    """The seed generator from which `keras.random` draws if it is given none; it is made if need be.

    `global_seed_generator` exists in Keras 3.13 to 3.15; without it there is none, and a layer that draws from it is
    refused when it does.
    """
    try:
        from keras.src.random.seed_generator import global_seed_generator  # noqa: PLC0415 - may be missing
    except ImportError:
        return None
    return global_seed_generator()


def shared_seed_states() -> list[keras.Variable]:
    """The state of `shared_generator`."""
    generator = shared_generator()
    return [] if generator is None else [generator.state]


def share_generator(generator: Any | None) -> None:
    """Let `keras.random` draw in this thread from the generator of another thread.

    Keras keeps one for each thread (`global_state` in keras/src/backend/common), and a strategy traces the
    work of each device in a thread of its own.
    """
    if generator is not None:
        from keras.src.backend.common import global_state  # noqa: PLC0415 - not part of Keras's interface
        from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR  # noqa: PLC0415

        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, generator)


def direction_of(metric: keras.metrics.Metric) -> str | None:
    """Whether a larger (`up`) or smaller (`down`) value of a metric is better; None if the metric does not tell.

    `_direction` exists in Keras 3.13 to 3.15; without it the user has to give a callback's mode.
    """
    found = getattr(metric, "_direction", None)
    return found if isinstance(found, str) else None


def set_direction(callback: Any) -> None:
    """Have a callback that has a best value know whether larger ones are better, as it does after the first epoch.

    Keras sets it when an epoch ends; one that saves in between compares before that, after a restart. `_set_monitor_op`
    and `monitor_op` exist in Keras 3.13 to 3.15; without them nothing is set. Nor is it where the metrics are not built
    yet, which raises a ValueError.
    """
    is_open = getattr(callback, "best", None) is not None and getattr(callback, "monitor_op", "") is None
    if is_open and hasattr(callback, "_set_monitor_op"):
        with suppress(ValueError):
            callback._set_monitor_op()  # noqa: SLF001


def compiled_with(model: keras.Model, name: str) -> Any:
    """An argument of `compile` as it was given; None if it was not.

    `_compile_config` exists in Keras 3.13 to 3.15; without it the public `get_compile_config` gives the serialized
    argument.
    """
    given = getattr(getattr(model, "_compile_config", None), "config", None)
    return (model.get_compile_config() if given is None else given).get(name)


def set_compiled_metrics(model: keras.Model, metrics: list[keras.metrics.Metric]) -> None:
    """Set the metrics of a compiled model, without a change of those that it is saved with.

    `_compile_metrics` exists in Keras 3.13 to 3.15; without it the model keeps the metrics that it was compiled with.
    """
    compiled = getattr(model, "_compile_metrics", None)
    if compiled is not None:
        names = getattr(model, "output_names", None)  # a Sequential has none
        model._compile_metrics = type(compiled)(metrics, None, output_names=names)  # noqa: SLF001


def forget_compilation(model: keras.Model) -> None:
    """Make a model one that was never compiled, apart from its optimizer.

    In Keras 3.13 to 3.15 `compiled` and three private names hold what `compile` has set. Without these names a value
    that nothing reads is set.
    """
    model.compiled = False
    model._compile_metrics = model._compile_loss = model._loss_tracker = None  # noqa: SLF001


def wrapped_function(metric: Any) -> Any:
    """The function that a `MeanMetricWrapper` averages; None for any other metric or loss.

    `_fn` exists in Keras 3.13 to 3.15; without it the class alone tells whether a metric is Keras's own.
    """
    return getattr(metric, "_fn", None)


def tensors_in(network: keras.Model) -> dict[str, Any]:
    """The output of each layer or operation of a functional or sequential network, in this network, by name.

    A layer that several networks share has an output in each of them. `_keras_history`, which tensors have in Keras
    3.13 to 3.15, tells which one belongs to this network. Without it, the layer's public `output` is given, the first
    one, which is right for a network that shares no layers. For a layer that is called several times, it is one of its
    outputs.
    """
    pending, found = [network.outputs[0]], dict[str, Any]()
    while pending:
        history = getattr(pending.pop(), "_keras_history", None)
        if history is None:
            return {each.name: each.output for each in getattr(network, "operations", network.layers)}
        node = history.operation._inbound_nodes[history.node_index]  # noqa: SLF001 - see above
        if history.operation.name not in found:
            outputs = node.output_tensors
            found[history.operation.name] = outputs[0] if len(outputs) == 1 else outputs
            if not any(each is one for each in outputs for one in network.inputs):
                pending.extend(node.input_tensors)
    return found


def _seed_generators(layer: keras.Layer) -> list[keras.random.SeedGenerator]:
    found = getattr(layer, "_seed_generators", None)
    if found is None:
        found = [each for each in _flat(vars(layer).values()) if isinstance(each, keras.random.SeedGenerator)]
    return list(found)


def _layers_in_attributes(outer: keras.Layer) -> Iterator[keras.Layer]:
    """The layers inside `outer`, each once."""
    seen = {id(outer)}
    pending = [outer]
    while pending:
        layer = pending.pop()
        for value in _flat(vars(layer).values()):
            if isinstance(value, keras.Layer) and id(value) not in seen and not _is_wrapped_by(layer, value):
                seen.add(id(value))
                pending.append(value)
                yield value


def _is_wrapped_by(outer: keras.Layer, inner: keras.Layer) -> bool:
    """Whether `inner` is the functional model that Keras makes inside a Sequential, which has the same layers."""
    return isinstance(outer, keras.Sequential) and isinstance(inner, keras.Model) and inner not in outer.layers


def _flat(values: Iterable[object]) -> Iterator[object]:
    """The values, with lists, tuples, sets and dictionaries among them replaced by their items."""
    for value in values:
        if isinstance(value, dict):
            yield from _flat(value.values())
        elif isinstance(value, list | tuple | set):
            yield from _flat(value)
        else:
            yield value


def leave_gradients_as_given(optimizer: keras.optimizers.Optimizer) -> None:
    """Keep an optimizer on several devices from summing gradients over the devices; they are summed already.

    Keras sums gradients after it has clipped them, so that each device's part would be clipped by itself
    (`TFOptimizer._backend_update_step`, keras/src/backend/tensorflow/optimizer.py, Keras 3.13 to 3.15).

    Raises:
        UserError: this version of Keras sums elsewhere, so the sums would be summed again.
    """
    if not hasattr(optimizer, "_all_reduce_sum_gradients"):
        raise UserError(f"devices: Keras {keras.__version__} is not known on several devices: give devices=1")
    optimizer._all_reduce_sum_gradients = list  # noqa: SLF001
