"""The optimizer of a fine-tuning: AdamW, warm-up, cosine decay, lower rates for lower layers, clipped gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from autofit.config.fine_tuning import FineTuning
from autofit.worker.model.falling_rate import FallingRate


def fine_tuning_optimizer(
    variables: Sequence[keras.Variable], peak_rate: float, settings: FineTuning
) -> keras.optimizers.Optimizer:
    """An optimizer for these variables, which are in the order of their layers, from the lowest to the head."""
    return LayerwiseAdamW(
        learning_rate=WarmupCosine(peak_rate, settings.warmup_updates, settings.updates),
        rates=layerwise_rates([tuple(variable.shape) for variable in variables], settings.lowest_rate),
        decoupled_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
    )


def layerwise_rates(shapes: Sequence[tuple[int, ...]], lowest: float) -> list[float]:
    """The rate of each variable, relative to the head's: it rises geometrically from `lowest` at the lowest kernel.

    Variables other than kernels (biases, scales) have the rate of the kernel before them. Smaller rates for lower
    layers are from Howard and Ruder 2018, section 3.2 (arXiv:1801.06146), who use a constant factor per layer. Here the
    total range is fixed, so that it is the same for networks of 10 and of 100 layers.

    Args:
        shapes: the shapes of the variables, from the lowest layer to the head.
        lowest: the rate of the lowest kernel, above 0 and at most 1.
    """
    kernels, places = 0, []
    for shape in shapes:
        kernels += _is_kernel(shape)
        places.append(max(kernels - 1, 0))
    last = max(kernels - 1, 1)
    return [float(lowest ** (1 - place / last)) if kernels > 1 else 1.0 for place in places]


def _is_kernel(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1


def _key(variable: Any) -> int:
    """The identity of a TensorFlow variable, with which an optimizer may be called, or of that in a Keras variable."""
    return id(variable.value if isinstance(variable, keras.Variable) else variable)


def _keys(variable: Any) -> list[int]:
    """The identities of all forms in which an optimizer may get a variable: also of its copies on several devices."""
    inner = variable.value if isinstance(variable, keras.Variable) else variable
    return [_key(variable), *map(id, tf.distribute.get_strategy().experimental_local_results(inner))]


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly from zero to its peak, and falls along half a cosine to zero.

    That is the schedule of Loshchilov and Hutter 2017 (arXiv:1608.03983) with a warm-up and without restarts. It is a
    function of the optimizer's count of updates, which a checkpoint holds, so that a resumed run goes on with the same
    rates.

    Args:
        peak_rate: the highest rate.
        warmup_updates: the number of updates until the peak.
        updates: the number of all updates.
    """

    def __init__(self, peak_rate: float, warmup_updates: int, updates: int) -> None:
        self.peak_rate, self.warmup_updates, self.updates = peak_rate, warmup_updates, updates

    def __call__(self, step: Any) -> Any:
        """The rate of the update that follows `step` others; it is not zero before the last update."""
        done = keras.ops.cast(step, "float32") + 1.0
        rise = done / float(max(self.warmup_updates, 1))
        rest = float(max(self.updates - self.warmup_updates, 1))
        fallen = keras.ops.clip((done - 1.0 - self.warmup_updates) / rest, 0.0, 1.0)
        fall = 0.5 * (1.0 + keras.ops.cos(math.pi * fallen))
        return self.peak_rate * keras.ops.minimum(rise, fall)

    def of_kerass_own(self) -> keras.optimizers.schedules.LearningRateSchedule:
        """Keras's own schedule with the same rates, but for an update's difference."""
        steps = max(self.updates - self.warmup_updates, 1)
        if not self.warmup_updates:
            return keras.optimizers.schedules.CosineDecay(self.peak_rate, steps)
        return keras.optimizers.schedules.CosineDecay(
            0.0, steps, warmup_target=self.peak_rate, warmup_steps=self.warmup_updates
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "peak_rate": self.peak_rate,
            "warmup_updates": self.warmup_updates,
            "updates": self.updates,
        }


class ShownRate(keras.Variable):
    """The present rate of a schedule for callbacks, some of which call its `assign`; that changes nothing.

    Args:
        rate: the rate.
        on_set: called in place of a change.
    """

    def __init__(self, rate: Any, on_set: Callable[[], None]) -> None:
        super().__init__(rate, trainable=False, name="learning_rate")
        self._on_set = on_set

    def assign(self, value: Any) -> Any:
        """Leave the rate as it is."""
        del value
        self._on_set()
        return self.value


class LayerwiseAdamW(keras.optimizers.Adam):
    """Adam with decoupled weight decay (arXiv:1711.05101), and a factor on the learning rate for each variable.

    A learning rate that is set is left as it was, where Keras raises a TypeError for a schedule.

    Args:
        rates: the factors, in the order of the variables that it is built with.
        decoupled_decay: in an update, a kernel shrinks by this times its learning rate times itself.
        keywords: arguments of `keras.optimizers.Adam`.

    Attributes:
        on_rate_set: called when somebody sets the learning rate.
    """

    def __init__(self, rates: Sequence[float], decoupled_decay: float, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.given_rate = keywords.get("learning_rate")
        self.on_rate_set: Callable[[], None] = _ignore
        self.rates, self.decoupled_decay = [float(rate) for rate in rates], float(decoupled_decay)
        self._rate_of: dict[int, float] = {}

    @property
    def learning_rate(self) -> Any:
        """The rate of the next update: a tensor in a graph, else a variable."""
        rate = self._get_current_learning_rate()
        return ShownRate(rate, self.on_rate_set) if tf.executing_eagerly() else rate

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        del rate
        self.on_rate_set()

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the optimizer's variables.

        Raises:
            ValueError: there are more or fewer variables than rates.
        """
        super().build(variables)
        rated = zip(variables, self.rates, strict=True)
        self._rate_of = {key: rate for variable, rate in rated for key in _keys(variable)}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one variable, which may be Keras's or the TensorFlow variable in it."""
        rate = keras.ops.cast(learning_rate, variable.dtype) * self._rate_of[_key(variable)]
        if _is_kernel(tuple(variable.shape)) and self.decoupled_decay:
            variable.assign_sub(variable * (self.decoupled_decay * rate))
        super().update_step(gradient, variable, rate)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "rates": self.rates, "decoupled_decay": self.decoupled_decay}


def _ignore() -> None:
    """Do nothing."""


def of_kerass_own(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer; in place of one of autofit's, or of one with its schedule, Keras's own with the same variables.

    A file with it opens without autofit. It has the same rate, in a fine-tuning that of the head for all layers.
    """
    if not isinstance(optimizer, LayerwiseAdamW):
        return _without_falling_rate(optimizer)
    left_out = ("name", "rates", "decoupled_decay", "learning_rate")
    config = {name: value for name, value in optimizer.get_config().items() if name not in left_out}
    rate = optimizer.given_rate
    return keras.optimizers.AdamW(
        **config
        | {
            "learning_rate": rate.of_kerass_own() if isinstance(rate, WarmupCosine) else rate,
            "weight_decay": optimizer.decoupled_decay,
        }
    )


def _without_falling_rate(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer; in place of one whose rate falls at the end, one with Keras's own schedule of the same rates."""
    config = optimizer.get_config()
    rate = config.get("learning_rate")
    if not isinstance(rate, dict) or rate.get("module") != FallingRate.__module__:
        return optimizer
    schedule = FallingRate.from_config(rate["config"]).of_kerass_own()
    return type(optimizer).from_config(config | {"learning_rate": schedule})
