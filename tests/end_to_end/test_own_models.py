"""A model of the user's own with logits, a layer and a loss from a notebook cell: trained, predicted, opened again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit
from autofit.dataset import ImageIndex
from autofit.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]

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


def test_one_unit_for_two_classes_is_a_model_of_two(tmp_path: Path) -> None:
    """The most usual model for two classes would be refused, have one column, or call each cat a dog."""
    import keras

    def network(shape: tuple[int, ...], _classes: int) -> Any:
        layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid")]
        model = keras.Sequential([keras.Input(shape), *layers])
        model.compile(keras.optimizers.SGD(0.01), "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC()])
        return model

    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = (random.integers(0, 60, (40, SIDE, SIDE, 3)) + labels[:, None, None, None] * 190).astype(np.uint8)
    given: dict[str, Any] = {"image_size": SIDE, "epochs": 2, "micro_batch_size": 8, "monitor": "val_auc"}
    result = autofit.run(images, labels, model=network, run_dir=tmp_path / "run", **given)
    rows, figures = result.predict(images), result.evaluate(images, labels)

    assert rows.shape == (40, 2)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
    assert figures.accuracy == np.mean(rows.argmax(axis=1) == labels)
    assert rows[labels == 1, 1].min() > rows[labels == 0, 1].max()
    np.testing.assert_allclose(np.asarray(rows)[:, 1:], result.model.predict(images, verbose=0), atol=1e-5)
    kept, index = np.load(tmp_path / "run" / "validation.npy"), result.history["val_auc"].index(1.0)
    assert kept.shape == (8, 2)
    read = ImageIndex.read_csv(tmp_path / "run" / "samples.csv", str(tmp_path), tuple(result.labels))
    loss = -np.log(kept[np.arange(8), read.labels[read.train_count :]]).mean()
    assert loss == pytest.approx(result.history["val_loss"][index], rel=1e-4)
    assert result.confusion_matrix().counts.sum() == 8


def test_objects_of_keras_are_taken_as_in_fit(photos: Path, weights: Path, cache: Path, tmp_path: Path) -> None:
    """Optimizer, loss, metrics or weights would be left out, or the head solved without them; a rerun would differ."""
    import keras

    def call() -> autofit.Result:
        return autofit.run(
            photos,
            backbone=keras.applications.MobileNet,
            weights=weights,
            image_size=32,
            epochs=2,
            optimizer=keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.01, 20), momentum=0.9),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
            metrics=[keras.metrics.AUC(name="auc"), "top_k_categorical_accuracy"],
            class_weight={"blue": 0.0, 1: 2.0},
            monitor="val_accuracy",
            run_dir=tmp_path / "run",
        )

    result = call()

    assert cache.exists()
    assert set(result.history) == {
        prefix + name for prefix in ("", "val_") for name in ("loss", "accuracy", "auc", "top_k_categorical_accuracy")
    }
    assert result.confusion_matrix().counts[:, 0].sum() == 0, "a class without weight is predicted"
    assert call().record == result.record
    with pytest.raises(UserError, match="another request"):
        autofit.run(photos, backbone="MobileNet", weights=weights, image_size=32, epochs=2, run_dir=tmp_path / "run")


def test_a_built_model_is_trained_as_it_is(photos: Path, tmp_path: Path) -> None:
    """A model object would be called like a function, or begin with other weights than it has."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    before = model.get_weights()[0]
    result = autofit.run(
        photos, model=model, epochs=1, learning_rate=1e-6, micro_batch_size=8, run_dir=tmp_path / "run"
    )

    np.testing.assert_array_equal(before, model.get_weights()[0])
    np.testing.assert_allclose(before, result.model.get_weights()[0], atol=1e-3)
    assert result.predict(photos / "red" / "000.png").shape == (1, 3)


def test_the_best_epoch_of_a_callback_has_its_confusion_matrix(tmp_path: Path) -> None:
    """`EarlyStopping` by accuracy, as tutorials have it, would leave a run without predictions of its validation."""
    import keras

    class Worsens(keras.callbacks.Callback):  # type: ignore[misc]
        """Tells the callbacks after it of an accuracy that falls while the loss does."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["val_accuracy"] = 0.9 - 0.1 * epoch

    def network(shape: tuple[int, ...], classes: int) -> Any:
        layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(classes, "softmax")]
        return keras.Sequential([keras.Input(shape), *layers])

    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (random.integers(0, 60, (60, SIDE, SIDE, 3)) + labels[:, None, None, None] * 90).astype(np.uint8)
    result = autofit.run(
        images,
        labels,
        model=network,
        image_size=SIDE,
        epochs=3,
        learning_rate=1e-4,
        micro_batch_size=16,
        run_dir=tmp_path / "run",
        callbacks=[Worsens(), keras.callbacks.EarlyStopping("val_accuracy", patience=3, restore_best_weights=True)],
    )
    assert np.argmin(result.history["val_loss"]) == 2
    assert result.best_epoch == 0
    predicted = result.predicted_images()
    assert predicted.loss == pytest.approx(result.history["val_loss"][0], rel=1e-4)
    assert predicted.accuracy == pytest.approx(result.history["val_accuracy"][0])
    assert result.confusion_matrix().counts.sum() == len(predicted) == 12
