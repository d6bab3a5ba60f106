"""A model of the user's own with logits, a layer and a loss from a notebook cell: trained, predicted, opened again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit
from autofit.dataset import ImageIndex
from autofit.errors import UserError

pytestmark = pytest.mark.slow

SIDE = 16


def test_what_a_cell_registers_is_saved_and_opened_under_its_name(photos: Path, tmp_path: Path) -> None:
    """The model would be saved under another name, its logits shown as probabilities, or labels have another form."""
    import keras

    @keras.saving.register_keras_serializable("cell")
    class Scaled(keras.layers.Layer):  # type: ignore[misc]
        """Pixels from 0 to 1."""

        def call(self, inputs: Any) -> Any:
            return inputs / 255.0

    @keras.saving.register_keras_serializable("cell")  # type: ignore[untyped-decorator]
    def crossentropy(labels: Any, logits: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)

    def network(shape: tuple[int, ...], classes: int) -> Any:
        layers = [keras.Input(shape), Scaled(), keras.layers.Flatten(), keras.layers.Dense(classes)]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.Adam(0.01), crossentropy, metrics=["accuracy"])
        return model

    result = autofit.run(
        photos,
        model=network,
        image_size=SIDE,
        epochs=3,
        batch_size=8,
        micro_batch_size=3,
        run_dir=tmp_path / "run",
    )
    figures = result.evaluate(photos)
    rows = result.predict(sorted(photos.rglob("*.png"))[:5])
    opened = keras.models.load_model(result.model_path)

    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    assert figures.loss < np.log(3)
    assert isinstance(opened.layers[0], Scaled)
    assert opened.loss is crossentropy
    assert validation_loss(result, photos) == pytest.approx(min(result.history["val_loss"]), rel=1e-4)

    for name in ("cell>Scaled", "cell>crossentropy"):
        keras.saving.get_custom_objects().pop(name)
    with pytest.raises(UserError, match="Scaled is not known here: decorate it"):
        result.predict(sorted(photos.rglob("*.png"))[:1])


def validation_loss(result: autofit.Result, photos: Path) -> float:
    """The mean cross-entropy of the probabilities that the run has kept of its validation images."""
    index = ImageIndex.read_csv(result.run_dir / "samples.csv", str(photos), tuple(result.labels))
    rows = np.load(result.run_dir / "validation.npy")
    return float(-np.log(rows[np.arange(len(rows)), index.labels[index.train_count :]]).mean())
