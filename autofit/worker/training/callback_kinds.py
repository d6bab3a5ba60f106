"""What a callback does, by its class: which hooks it has, and which epoch's weights it has restored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from autofit.protocol.object_state import is_of_keras


def watches_validation(callback: Any) -> bool:
    """Whether one of Keras's callbacks warns in each epoch without a figure of a validation, and does nothing."""
    kind = type(callback)
    watches = kind is keras.callbacks.EarlyStopping or (
        kind is keras.callbacks.ModelCheckpoint and callback.save_best_only
    )
    return watches and str(callback.monitor).startswith("val_")


def acts_in_validation(callback: Any) -> bool:
    """Whether the user's own code in a callback is called between the beginning and the end of a validation."""
    own = [vars(callback), *(vars(kind) for kind in type(callback).__mro__ if not is_of_keras(kind))]
    hooks = ("on_test_begin", "on_test_batch_begin", "on_test_batch_end")
    return any(hook in members for hook in hooks for members in own)


def restorer(callbacks: Sequence[Any], model: keras.Model) -> Any:
    """The callback whose best epoch's weights the model has at the end, which may be those of the last one; else None.

    Of several the last one has set its own over the others'; and another callback may have set other weights after it.
    """
    for callback in reversed(callbacks):
        is_stopping = isinstance(callback, keras.callbacks.EarlyStopping) and callback.restore_best_weights
        if is_stopping and callback.best_weights is not None:
            now = model.get_weights()
            pairs = zip(callback.best_weights, now, strict=True)
            return callback if all(np.array_equal(best, array, equal_nan=True) for best, array in pairs) else None
    return None


def overrides(callback: Any, *hooks: str) -> bool:
    """Whether a callback does something in one of these hooks of its class; else it cannot read what it is told there.

    A hook may also be an attribute of the object, as in `LambdaCallback`.
    """
    base = keras.callbacks.Callback
    return any(getattr(getattr(callback, hook, None), "__func__", None) is not getattr(base, hook) for hook in hooks)
