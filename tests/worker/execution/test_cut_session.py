"""Training above a cut: in micro-batches, of which one that does not fit changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from autofit.config.backbones import ModelSpec
from autofit.config.fine_tuning import FineTuning
from autofit.protocol.job import Job, ModelSource, TrialsJob
from autofit.protocol.messages import MemoryBudget
from autofit.protocol.payload import Payload
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.execution.session import CUT_FEATURES, UNCUT_WORDS, Session, open_session
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError
from autofit.worker.runtime.heartbeat import Heartbeat
from tests.support.machines import GB

pytestmark = pytest.mark.slow

SIZE, CLASSES, COUNT = (32, 32), 3, 6
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, *SIZE, 3), np.uint8)
LABELS, WEIGHTS = np.arange(COUNT) % CLASSES, np.ones(COUNT, np.float32)


class TightStep:
    """A compiled step on a device with room for so many images at once: with more, TensorFlow cannot allocate."""

    def __init__(self, step: Any, fits: int) -> None:
        self._step, self._fits = step, fits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)

    def accumulate(self, inputs: Any, labels: np.ndarray, weights: np.ndarray, micro: int) -> Any:
        """Compute with it, or run out of memory."""
        self._allocate(min(micro, len(labels)))
        return self._step.accumulate(inputs, labels, weights, micro)

    def __call__(self, inputs: Any, labels: np.ndarray, tally: Any) -> None:
        """Evaluate with it, or run out of memory."""
        self._allocate(len(labels))
        self._step(inputs, labels, tally)

    def _allocate(self, images: int) -> None:
        if images > self._fits:
            tf.zeros([2**50])


def network_that_cannot_be_cut(shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Two branches from the images to the probabilities, so that nothing in between has everything pass through it."""
    images = keras.Input(shape)
    branches = [keras.layers.Flatten()(keras.layers.Conv2D(4, 3)(images)), keras.layers.Flatten()(images)]
    each = [keras.layers.Dense(num_classes, "softmax")(branch) for branch in branches]
    return keras.Model(images, keras.layers.Average()(each))


@pytest.mark.parametrize(("segments", "is_said"), [(8, True), (1, False), (0, False)])
def test_a_network_that_cannot_be_cut_says_so(tmp_path: Path, segments: int, is_said: bool) -> None:  # noqa: FBT001
    """A user would take it for one whose activations are recomputed."""
    spec = ModelSpec(backbone="own", weights="none", image_size=SIZE, trainable="all", segments=segments)
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="adam", learning_rate=1e-3, sent=True)
    memory = MemoryBudget(device="cpu", limit_bytes=GB, is_given=False)
    job = Job(attempt=1, source=source, memory=memory, isolated=True, work=TrialsJob())
    folder = AttemptDirectory(tmp_path)
    with Heartbeat(folder) as heartbeat:
        session = open_session(job, Payload(model=network_that_cannot_be_cut), heartbeat)
    assert session.most_segments == 1
    assert (UNCUT_WORDS in folder.events.read_text(encoding="utf-8")) is is_said


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    spec = ModelSpec(backbone="MobileNet", weights="none", image_size=SIZE, trainable="head", cut="conv_pw_12_relu")
    source = ModelSource(
        spec=spec.model_copy(update={"dropout": 0.5}),
        num_classes=CLASSES,
        optimizer="adam",
        learning_rate=1e-3,
        fine_tuning=FineTuning(updates=9, warmup_updates=1),
    )
    memory = MemoryBudget(device="cpu", limit_bytes=GB, is_given=False)
    job = Job(attempt=1, source=source, memory=memory, isolated=True, work=TrialsJob())
    with Heartbeat(AttemptDirectory(tmp_path_factory.mktemp("attempt"))) as heartbeat:
        return open_session(job, None, heartbeat)


@pytest.fixture
def shrinks() -> list[Shrink]:
    return []


@pytest.fixture
def make_micro(shrinks: list[Shrink]) -> Callable[[int], MicroBatcher]:
    return lambda size: MicroBatcher(size, shrinks.append)


def variables(session: Session) -> list[Any]:
    return [*session.built.model.variables, *session.objective.optimizer.variables, *session.objective.loss.variables]


def updated(session: Session, features: Any, micro: MicroBatcher, fits: int = COUNT) -> list[np.ndarray]:
    """The state after an update on a device with room for `fits` images; then the session is as before."""
    tight: Any = TightStep(session.train_step, fits)
    before = [np.array(variable) for variable in variables(session)]
    try:
        dataclasses.replace(session, train_step=tight).train_on_features(features, LABELS, WEIGHTS, micro)
        return [np.array(variable) for variable in variables(session)]
    finally:
        for variable, value in zip(variables(session), before, strict=True):
            variable.assign(value)


Makes = Callable[[int], MicroBatcher]


def test_features_leave_the_cut_as_float16(session: Session, make_micro: Makes) -> None:
    """A training without a cache would be another than one with it, and the cache twice as large."""
    features = session.features_of(IMAGES, make_micro(4))
    assert features.dtype == CUT_FEATURES
    assert tuple(features.shape) == (COUNT, *session.built.feature_shape)
    assert session.micro_decides is None


def test_an_update_that_does_not_fit_is_repeated_in_smaller_micro_batches(
    session: Session, make_micro: Makes, shrinks: list[Shrink]
) -> None:
    """An out-of-memory would end the attempt, or leave other weights than the same update with enough memory."""
    features = session.features_of(IMAGES, make_micro(COUNT))
    before = [np.array(variable) for variable in variables(session)]
    expected = updated(session, features, make_micro(2))
    given = updated(session, features, make_micro(4), fits=2)
    assert [(each.before, each.after) for each in shrinks] == [(4, 2)]
    for one, other in zip(given, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    changed = [not np.array_equal(now, then) for now, then in zip(given, before, strict=True)]
    assert session.built.features is not None
    trained = {id(variable) for variable in session.network.trainable}
    frozen = {id(variable) for variable in session.built.features.variables}
    assert all(is_changed for v, is_changed in zip(variables(session), changed, strict=True) if id(v) in trained)
    assert not any(is_changed for v, is_changed in zip(variables(session), changed, strict=True) if id(v) in frozen)


def test_the_micro_batch_size_does_not_change_the_update(session: Session, make_micro: Makes) -> None:
    """The gradient would be clipped in parts, or the dropout be another: two machines would train other models."""
    features = session.features_of(IMAGES, make_micro(COUNT))
    for one, other in zip(
        updated(session, features, make_micro(COUNT)), updated(session, features, make_micro(1)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-5)


def test_one_image_that_does_not_fit_ends_the_attempt_and_changes_nothing(
    session: Session, make_micro: Makes, shrinks: list[Shrink]
) -> None:
    """The repeating would never end, or the weights be torn."""
    features = session.features_of(IMAGES, make_micro(COUNT))
    before = [np.array(variable) for variable in variables(session)]
    with pytest.raises(OutOfDeviceMemoryError, match="a single image"):
        updated(session, features, make_micro(4), fits=0)
    assert shrinks[-1].after == 1
    for variable, value in zip(variables(session), before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_a_validation_repeats_only_the_slice_that_did_not_fit(
    session: Session, make_micro: Makes, shrinks: list[Shrink]
) -> None:
    """Some images would count twice, or the validation not survive what the training survives."""
    features = session.features_of(IMAGES, make_micro(COUNT))
    tight: Any = TightStep(session.evaluate_step, 2)
    sessions = (session, COUNT), (dataclasses.replace(session, evaluate_step=tight), 4)
    tallies = [each.fresh_tally(keeps_outputs=True) for each, _ in sessions]
    for (each, size), tally in zip(sessions, tallies, strict=True):
        each.evaluate_features(features, LABELS, tally, make_micro(size))
    results = [each.results_of(tally.values) for (each, _), tally in zip(sessions, tallies, strict=True)]
    whole, slices = (np.concatenate(tally.outputs) for tally in tallies)
    np.testing.assert_allclose(slices, whole, rtol=1e-4, atol=1e-6)
    assert [(each.before, each.after) for each in shrinks] == [(4, 2)]
    assert results[1] == pytest.approx(results[0], rel=1e-4)
