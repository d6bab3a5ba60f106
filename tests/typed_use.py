"""The public interface as a user calls it. It never runs; mypy checks it, so that a wrong annotation is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import autofit
from autofit.api.evaluation_result import EvaluationResult


def network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """A model function as a user writes it."""
    return input_shape, num_classes


def train() -> None:
    """Every form that an option may have."""
    result = autofit.run("photos/", backbone="ResNet50", epochs=10)
    assert_type(result, autofit.Result)
    autofit.run(Path("photos"), image_size=160, batch_size=32, micro_batch_size="auto", memory_limit="3GB")
    autofit.run("photos.csv", image_size=(160, 224), batch_schedule="32:16", weights=None, validation=Path("held-out"))
    autofit.run(["a.jpg", "b.jpg"], ["cat", "dog"], image_size="160x224", batch_schedule=(32, 16), validation=0.3)
    autofit.run([Path("a.jpg"), Path("b.jpg")], labels=[0, 1], model=network, callbacks=[object()], isolation="inline")
    autofit.run(
        "photos",
        model="nets:build",
        trainable="all",
        optimizer="sgd",
        learning_rate=0.1,
        class_weight="balanced",
        early_stopping=3,
        seed=7,
        checkpoint_every="2m",
        max_minutes=60,
        time_budget="5m",
        memory_limit=3_000_000_000,
        run_dir=Path("runs/a"),
        audit=True,
        replay="runs/b",
    )


def resume_and_probe() -> None:
    """Resume a run, and probe a machine."""
    assert_type(autofit.resume("runs/a"), autofit.Result)
    autofit.resume(Path("runs/a"), model=network, callbacks=[object()])
    report = autofit.probe(backbone="VGG16", num_classes=5, max_batch=512, memory_limit="3GB")
    assert_type(report.largest_feasible_batch, int)
    assert_type(report.recommended_batch, int)
    assert_type(autofit.sweep(["VGG16", "MobileNetV2"], [160, (160, 224)]).summary(), str)


def use_a_result(result: autofit.Result) -> None:
    """The attributes and methods of a result."""
    assert_type(result.history, dict[str, list[float]])
    assert_type(result.epoch_stages, list[str])
    assert_type(result.summary(), str)
    assert_type(result.labels, list[str])
    assert_type(result.model_path, Path)
    array: np.ndarray = result.predict("a.jpg")
    assert_type(result.predict([Path("a.jpg"), "b.jpg"]).paths, list[str])
    assert_type(result.predict(array).top(2), list[list[tuple[str, float]]])
    assert_type(result.preprocess("a.jpg"), NDArray[np.uint8])
    assert_type(autofit.load_images("photos/", (160, 224)), NDArray[np.uint8])
    assert_type(result.evaluate(["a.jpg"], ["cat"]), EvaluationResult)
    assert_type(result.evaluate(Path("a.jpg"), [0], views=2).accuracy, float)
    assert_type(autofit.evaluate("runs/a", "photos/").standard_error, float)
    assert_type(result.weights_sha256, str | None)
    assert_type(result.status, str)
    assert_type(autofit.write_report("runs/a"), autofit.Result)
    assert_type(autofit.export("runs/a", "onnx").path, str)


def use_the_sequence() -> None:
    """The sequence, for users who call `model.fit` themselves."""
    autofit.ImageSequence(["a.jpg", "b.jpg"], [0, 1], 32, (160, 160))


def errors() -> int:
    """All errors have one base and an exit code."""
    try:
        train()
    except autofit.InterruptedRunError as interrupted:
        return interrupted.exit_code
    except (autofit.UserError, autofit.DoesNotFitError, autofit.StorageError, autofit.TrainingFailedError) as error:
        return error.exit_code
    except autofit.AutofitError:
        raise
    return 0
