"""The shapes that an extraction gives to the backbone, where each shape is tuned."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import tensorflow as tf

from autofit.errors import UserError
from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.features.batch_autotune import BatchSizeAutotuner
from autofit.worker.features.extractor import Extractor

pytestmark = pytest.mark.slow


class Backbone:
    """Means of images, with the numbers of rows that it saw; more than `most` do not fit."""

    def __init__(self, most: int = 10**6) -> None:
        self.most, self.rows = most, list[int]()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The features, `(n, 1)`."""
        self.rows.append(len(images))
        if len(images) > self.most:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return np.asarray(images.mean(axis=(1, 2, 3)), np.float32)[:, None]


def images(count: int) -> np.ndarray:
    return np.broadcast_to(np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None], (count, 2, 2, 3))


def extractor(backbone: Backbone, autotuner: BatchSizeAutotuner, shrinks: list[Shrink]) -> Extractor:
    micro = MicroBatcher(autotuner.size, shrinks.append, pads=True)
    return Extractor(backbone, micro, autotuner, lambda: 0, pads=True)


@pytest.mark.parametrize("at_once", [None, 5], ids=["new", "made again"])
def test_the_last_micro_batch_has_the_shape_of_the_others(at_once: int | None) -> None:
    """A block of 21 would be tuned for eight and for five; or the zeros behind it be taken for features."""
    backbone = Backbone()
    features, starts = extractor(backbone, BatchSizeAutotuner(8, 8, 0), []).features_of(images(21), at_once)
    assert set(backbone.rows) == {8}
    assert features[:, 0].tolist() == list(range(1, 22))
    assert starts.tolist()[-1] == (16 if at_once is None else 20)


@pytest.mark.parametrize(
    ("scale", "count", "is_kept"), [(1e-7, 21, False), (0.0, 21, False), (1.0, 21, True), (0.0, 1, True)]
)
def test_features_that_float16_cannot_tell_apart_are_refused(scale: float, count: int, *, is_kept: bool) -> None:
    """They would be noise or zeros in the cache, and the fine-tuning learn nothing without a word."""
    backbone = Backbone()

    def halves(inputs: np.ndarray) -> np.ndarray:
        return (backbone(inputs) * scale).astype(np.float16)

    micro = MicroBatcher(8, lambda _: None)
    made = Extractor(halves, micro, BatchSizeAutotuner(8, 8, 0), lambda: 0)
    with nullcontext() if is_kept else pytest.raises(UserError, match="too small for float16"):
        assert len(made.features_of(images(count), None)[0]) == count


def test_after_an_out_of_memory_it_takes_the_size_that_is_tuned() -> None:
    """Half of 64 would be tuned as well, for seconds, and might not fit either."""
    backbone, shrinks = Backbone(most=20), list[Shrink]()
    autotuner = BatchSizeAutotuner(8, 64, 0, growth=8, new_shape_seconds=2.0)
    made = extractor(backbone, autotuner, shrinks)
    for _ in range(3):
        features, _ = made.features_of(images(64), None)
        assert features[:, 0].tolist() == list(range(1, 65))
    assert [(shrink.before, shrink.after) for shrink in shrinks] == [(64, 8)]
    assert set(backbone.rows) == {8, 64}
