"""What a worker is started with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from autofit import api
from autofit.api.workers import machine_for, measurer_for, profile_store
from autofit.config.options import make_options
from autofit.errors import UserError
from autofit.profiles.store import NoProfiles
from autofit.protocol.payload import Payload

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


def test_a_limit_that_inline_cannot_keep_is_refused(
    stages: Stages, photos: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow, loaded already, would go over the limit without a word."""
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", object())
    with pytest.raises(UserError, match="memory_limit cannot be kept with isolation='inline'"):
        train(photos, isolation="inline", memory_limit="3GB")
    assert stages.runs == []


@pytest.mark.parametrize("profile", [True, False])
def test_profiles_are_left_alone_where_none_is_wanted(view: RecordingView, *, profile: bool) -> None:
    """A benchmark would be answered by what an earlier one has left."""
    options = make_options(profile=profile)
    measurer = measurer_for(options, machine_for(options), None, view)
    for store in (profile_store(options, view), measurer.store):
        assert isinstance(store, NoProfiles) == (not profile)
