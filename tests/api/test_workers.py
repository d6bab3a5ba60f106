"""What a worker is started with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from autofit import api
from autofit.api import workers
from autofit.api.code_identity import differing
from autofit.api.workers import cache_for, code_of_run, machine_for, measurer_for, profile_store
from autofit.config.options import make_options
from autofit.errors import UserError
from autofit.profiles.store import NoProfiles
from autofit.protocol.messages import StageRecord
from autofit.protocol.payload import Payload
from autofit.runs.stages import plan_of_stage, stages_of
from autofit.worker.model.sent_model import SentModel

if TYPE_CHECKING:
    from tests.api.conftest import Network, Stages, Train
    from tests.support.views import RecordingView


def test_a_probe_keeps_no_callbacks_and_the_run_does(
    stages: Stages, photos: Path, view: RecordingView, network: Network
) -> None:
    """A user's callback would be sent to trials that it must not see, or be lost on the way to the training."""
    callback = SimpleNamespace(set_model=print)
    api.run(photos, model=network, callbacks=callback, run_dir="a", view=view)
    assert stages.probes[0][0].payload == Payload(network)
    assert stages.runs[0]["payload"] == Payload(network, (callback,))
    assert stages.runs[0]["record"].has_callbacks
    assert (stages.probes[0][0].source.sent, stages.probes[0][0].source.reference) == (True, None)


def test_without_a_function_no_folder_of_the_users_is_imported_from(stages: Stages, photos: Path, train: Train) -> None:
    """A `numpy.py` beside the photos would run in the worker."""
    train(photos)
    train(photos, "b", model="json:loads", image_size=32)
    assert stages.runs[0]["import_paths"] == []
    assert stages.runs[1]["import_paths"][0] == str(Path.cwd())


def test_what_a_models_own_layer_imports_is_a_hash_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was begun before imports counted would be refused, or an edited helper return the old model."""
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {"__name__": "__main__"}
    exec("def swish(x):\n    import own_helper\n    return own_helper.scaled(x)", space)  # noqa: S102 - as a notebook does
    monkeypatch.setattr(workers, "objects_in", lambda _: [space["swish"]])
    payload = Payload(SentModel(b"", "1"))

    def code(helper: str) -> dict[str, str]:
        (tmp_path / "own_helper.py").write_text(helper)
        return code_of_run(make_options(), payload)

    first, other = code("SCALE = 1"), code("SCALE = 2")
    what = "model's own layers or loss"
    assert differing(first, other) == [what]
    assert first[what] == other[what]


def test_a_limit_that_inline_cannot_keep_is_refused(
    stages: Stages, photos: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow, loaded already, would go over the limit without a word."""
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", object())
    with pytest.raises(UserError, match="memory_limit cannot be kept with isolation='inline'"):
        train(photos, isolation="inline", memory_limit="3GB")
    assert stages.runs == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"epochs": 1, "fine_tune_epochs": 8}, (True, False, True)),  # a head of one epoch caches nothing itself
        ({"epochs": 1, "fine_tune_epochs": 8, "fine_tune_from": "input"}, (True, False, False)),
        ({"epochs": 1, "fine_tune_epochs": 8, "fine_tune_from": "input", "pixel_cache": "off"}, (False, False, False)),
        ({"feature_cache": "off", "fine_tune_epochs": 8}, (True, False, False)),  # of decoded images
        ({"feature_cache": "off", "fine_tune_epochs": 8, "pixel_cache": "off"}, (False, False, False)),
        ({"augment": "light", "fine_tune_epochs": 8, "pixel_cache": "off"}, (True, False, True)),
        ({"fine_tune_epochs": 8}, (True, True, True)),
        ({"epochs": 1}, (False, False, False)),
    ],
    ids=str,
)
def test_each_stage_caches_what_its_plan_says(
    stages: Stages, photos: Path, train: Train, given: dict[str, Any], expected: tuple[bool, bool, bool]
) -> None:
    """Each epoch of fine-tuning would decode all images and run all layers again, or `off` not be heeded."""
    train(photos, batch_size="auto", **given)
    run = stages.runs[0]
    made, head = run["record"].plan, StageRecord(name="head", method="epochs", epochs=1)
    first, second = (plan_of_stage(made, stage, [head]) for stage in (stages_of(made)[0], stages_of(made)[-1]))
    assert (run["cache"] is not None, first.feature_cache, second.feature_cache) == expected


def test_a_run_of_an_earlier_version_caches_as_it_did(stages: Stages, photos: Path, train: Train) -> None:
    """Its views would be others in the middle of a training."""
    train(photos, epochs=1, fine_tune_epochs=8)
    record = stages.runs[0]["record"]
    old = record.plan.fine_tune.model_copy(update={"caches": None})
    earlier = record.model_copy(update={"plan": record.plan.model_copy(update={"fine_tune": old})})
    assert cache_for(earlier, machine_for(earlier.options), NoProfiles()) is None
    assert plan_of_stage(earlier.plan, "fine-tune", []).feature_cache


@pytest.mark.parametrize("profile", [True, False])
def test_profiles_are_left_alone_where_none_is_wanted(view: RecordingView, *, profile: bool) -> None:
    """A benchmark would be answered by what an earlier one has left."""
    options = make_options(profile=profile)
    measurer = measurer_for(options, machine_for(options), None, view)
    for store in (profile_store(options, view), measurer.store):
        assert isinstance(store, NoProfiles) == (not profile)
