"""A probe and a sweep alone, with the trials replaced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autofit import api
from autofit.errors import TrainingFailedError, UserError

if TYPE_CHECKING:
    from tests.api.conftest import Stages
    from tests.support.views import RecordingView


def test_a_probe_alone_needs_no_images(
    stages: Stages, view: RecordingView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user could not ask what fits before there is any data, or a probe would leave files behind."""
    monkeypatch.chdir(tmp_path)
    report = api.probe(backbone="VGG16", weights=None, trainable="head", num_classes=5, max_batch=100, view=view)
    [(request, _)] = stages.probes
    assert (request.workload.backbone, request.workload.num_classes, request.max_batch) == ("VGG16", 5, 100)
    assert (request.workload.weights, request.workload.trainable) == ("none", "head")
    assert report.largest_feasible_batch == 64
    assert not request.folder.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [{"max_batch": 0}, {"max_batch": "many"}, {"num_classes": 0}, {"num_classes": 2.5}])
def test_a_probe_of_no_size_is_refused(stages: Stages, view: RecordingView, given: dict[str, Any]) -> None:
    """The search would be asked for a batch of no images."""
    with pytest.raises(UserError, match=f"{next(iter(given))} must be"):
        api.probe(view=view, **given)
    assert stages.probes == []


def test_a_sweep_probes_each_network_at_each_size_and_goes_on_after_a_failure(
    stages: Stages, view: RecordingView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One network that crashes would cost the night's comparison of twenty."""
    monkeypatch.chdir(tmp_path)
    stages.probe_ends = [TrainingFailedError("SIGSEGV")]
    swept = api.sweep(["VGG16", "MobileNetV2"], [96, "64x128"], weights=None, trainable="head", view=view)
    asked = [(request.workload.backbone, request.workload.image_size) for request, _ in stages.probes]
    assert asked == [(name, size) for name in ("VGG16", "MobileNetV2") for size in ((96, 96), (64, 128))]
    assert [failure.cause for failure in swept.failures] == ["SIGSEGV"]
    assert len(swept.probes) == 3
    assert "1 of 4: VGG16 at 96 x 96, head trainable, random weights" in view.messages


def test_a_sweep_is_checked_before_its_first_trial(stages: Stages, view: RecordingView) -> None:
    """A typing error in the last name would be told of after an hour."""
    with pytest.raises(UserError, match="MobileNetV9"):
        api.sweep(["VGG16", "MobileNetV9"], view=view)
    assert stages.probes == []


@pytest.mark.parametrize("sizes", [(160, 224), (np.int64(160), 224)], ids=repr)
def test_a_pair_that_may_be_one_size_or_two_is_refused(stages: Stages, view: RecordingView, sizes: Any) -> None:
    """A tuple is one size for `run` and `estimate`, and was two here: another network than was meant was probed."""
    with pytest.raises(UserError, match=r"\(160, 224\) may be two sizes, .* give \[160, 224\] or \[\(160, 224\)\]$"):
        api.sweep("VGG16", sizes, view=view)
    api.sweep("VGG16", [(160, 224)], weights=None, trainable="head", view=view)
    assert [request.workload.image_size for request, _ in stages.probes] == [(160, 224)]


def test_a_sweep_takes_one_network_or_a_text_with_commas(stages: Stages, view: RecordingView) -> None:
    """`sweep("ResNet50")` would look for a network `R`, `image_sizes=96` be a TypeError, and nothing be a result."""
    for backbones, sizes, count in (("VGG16", 96, 1), ("VGG16, MobileNetV2", "96,128", 4), (["VGG16"], [96, 128], 2)):
        stages.probes.clear()
        swept = api.sweep(backbones, sizes, weights=None, trainable="head", view=view)
        assert (len(swept.probes), len(stages.probes)) == (count, count)
    assert len(api.sweep("VGG16", (96, "64x128", 160), weights=None, trainable="head", view=view).probes) == 3
    nothing: tuple[Any, ...] = ([], "", None)
    for backbones in nothing:
        with pytest.raises(UserError, match="name one or more networks"):
            api.sweep(backbones, view=view)


@pytest.mark.slow
def test_a_sweep_sends_an_optimizer_of_ones_own_to_each_network(stages: Stages, view: RecordingView) -> None:
    """Each network of the sweep would fail in its worker, which does not know the class."""
    import cloudpickle  # noqa: PLC0415
    import keras

    class Own(keras.optimizers.SGD):  # type: ignore[misc]  # Keras is not typed
        """As defined in a notebook."""

    keras.saving.register_keras_serializable("sweep")(Own)
    known = keras.saving.get_custom_objects()
    try:
        swept = api.sweep("VGG16, MobileNetV2", 32, weights=None, optimizer=Own(0.1), view=view)
        sent = [request.payload for request, _ in stages.probes]
        assert [payload and payload.registered.by_name for payload in sent] == [{"sweep>Own": Own}] * 2
        assert swept.failures == []
        for request, _ in stages.probes:
            assert request.import_paths
            known.pop("sweep>Own")
            cloudpickle.loads(cloudpickle.dumps(request.payload))
            assert request.source.optimizer_config
            assert isinstance(keras.optimizers.deserialize(request.source.optimizer_config), keras.optimizers.SGD)
    finally:
        known.pop("sweep>Own", None)
