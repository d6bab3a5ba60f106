"""What a run that begins is told, and its probe."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from autofit import api
from autofit.cache.store import CacheList, EntrySummary
from autofit.config.batch_schedule import DETERMINISTIC_EXTRACTION
from autofit.config.rungs import Rung
from autofit.errors import DoesNotFitError, InterruptedRunError, UserError
from autofit.machine import hardware
from autofit.runs.stages import stages_of
from autofit.worker.inline_launcher import InlineLauncher
from tests.support.datasets import deep_png
from tests.support.machines import make_hardware

if TYPE_CHECKING:
    from tests.api.conftest import Stages, Train
    from tests.support.views import RecordingView


@pytest.mark.parametrize("given", [{"batch_size": 8}, {"batch_size": "auto", "batch_schedule": "8:16"}], ids=str)
def test_a_size_that_was_given_needs_no_probe(
    stages: Stages, photos: Path, train: Train, given: dict[str, Any]
) -> None:
    """A minute would go by for an answer that is not used."""
    train(photos, **given)
    assert stages.probes == []
    assert stages.runs[0]["record"].plan.first_batch_size == 8


@pytest.mark.parametrize(("budget", "probes"), [("119s", 0), ("2m", 1), (None, 1)])
def test_a_short_time_budget_does_not_go_by_with_a_probe(
    stages: Stages, photos: Path, train: Train, view: RecordingView, budget: str | None, probes: int
) -> None:
    """A budget of half a minute would be over before anything is trained."""
    train(photos, batch_size="auto", weights="none", time_budget=budget, view=view)
    assert len(stages.probes) == probes
    assert any(message.startswith("no probe in so short") for message in view.messages) is (probes == 0)
    assert stages.runs[0]["record"].plan.first_batch_size == 16


def test_the_range_of_numbers_holds_for_integers_of_16_and_of_32_bits(
    stages: Stages, photos: Path, train: Train, view: RecordingView
) -> None:
    """An array that is predicted as a PIL image would be brighter than the files of the same numbers that it learnt."""
    for path in photos.rglob("*.jpg"):
        path.unlink()
        Image.fromarray(np.full((4, 4), 3000, np.uint16)).save(path.with_suffix(".png"))
    train(photos, view=view)
    assert stages.runs[0]["record"].plan.value_ranges == {"I;16": (0, 4095), "I": (0, 4095)}
    assert [line for line in view.messages if "more than 8 bits: 0 to 4,095, found in a sample" in line]


def test_images_that_will_be_nearly_black_are_told_once(
    stages: Stages, photos: Path, train: Train, view: RecordingView
) -> None:
    """A training would learn nothing, and nobody know why."""
    for path in photos.rglob("*.jpg"):
        path.unlink()
        path.with_suffix(".png").write_bytes(deep_png(np.full((4, 4, 3), 3000, np.uint16)))
    train(photos, view=view)
    assert stages.runs[0]["record"].plan.value_ranges == {}
    (line,) = [line for line in view.messages if "nearly black" in line]
    assert line.endswith("save them with 8 bits a channel")


@pytest.mark.parametrize("layout", ["split off", "a folder beside", "an option"])
def test_nothing_is_trained_on_validation_images_that_were_given(
    stages: Stages, photos: Path, train: Train, tmp_path: Path, layout: str
) -> None:
    """The figures on images that the user keeps apart would be those of images that the model has seen."""
    given: dict[str, Any] = {"batch_size": "auto", "fine_tune_epochs": 2}
    if layout == "split off":
        data = photos
    else:
        data = tmp_path / "data" / "train"
        shutil.copytree(photos, data)
        shutil.copytree(photos, tmp_path / "data" / "val")
        given |= {"validation": str(data.with_name("val"))} if layout == "an option" else {}
    train(data if layout != "a folder beside" else data.parent, **given)
    plan = stages.runs[0]["record"].plan
    assert plan.fine_tune is not None
    assert (plan.refit_head, plan.fine_tune.refit) == ((True, True) if layout == "split off" else (False, False))


@pytest.mark.parametrize("validation", [0.25, 0])
def test_views_need_validation_images_that_tell_if_they_help(
    stages: Stages, photos: Path, train: Train, validation: float
) -> None:
    """Time would go into a head that is never kept: one without views has next to no loss on its own images."""
    train(photos, batch_size="auto", time_budget="5m", validation=validation)
    assert ("views" in stages_of(stages.runs[0]["record"].plan)) == bool(validation)


def test_an_extraction_needs_no_probe(stages: Stages, photos: Path, train: Train) -> None:
    """The size for a head that trains on kept features would be measured, and it has room for any."""
    train(photos, batch_size="auto")
    assert stages.probes == []
    assert stages.runs[0]["record"].plan.first_batch_size == 8  # a twentieth of the images
    assert stages.runs[0]["cache"].fixed_size is None


@pytest.mark.parametrize(
    ("about", "is_early"),
    [
        ({}, True),
        ({"kind": "pixels"}, True),
        ({"backbone": "ResNet50"}, True),
        ({"image_size": "96x96"}, True),
        ({"weights": "other.weights.h5"}, True),
        (None, False),  # as it will be
    ],
    ids=str,
)
def test_images_are_decoded_early_unless_their_features_may_be_there(
    stages: Stages, photos: Path, train: Train, monkeypatch: pytest.MonkeyPatch, about: Any, *, is_early: bool
) -> None:
    """A second run, which needs no image, would be slowed down by decoding them."""
    told = {"kind": "features", "backbone": "MobileNetV2", "image_size": "224x224", "weights": "imagenet"}
    told |= about or {}
    entry = EntrySummary(name="one", kind=told.pop("kind"), about=told, images=1, size_bytes=1, last_used=0.0)
    entries = [] if about == {} else [entry]
    listing = CacheList(folder="", limit_bytes=1, entries=entries)
    monkeypatch.setattr("autofit.cache.store.CacheStore.listing", lambda _: listing)
    monkeypatch.setattr("autofit.runs.plan.predecoded_images", lambda *_: 7)
    train(photos)
    assert stages.runs[0]["cache"].early_images == (7 if is_early else 0)


@pytest.mark.parametrize("kept", ["auto", "off"])
def test_a_replay_keeps_features_if_the_run_did_that_it_follows(
    stages: Stages, photos: Path, train: Train, kept: str
) -> None:
    """Some bits of the replay would differ from what it is to prove."""
    train(photos, "a", feature_cache=kept)
    Path("a/audit.jsonl").touch()
    train(photos, "b", replay="a")
    assert stages.runs[1]["record"].plan.feature_cache is (kept == "auto")


@pytest.mark.parametrize(
    ("given", "said"), [({}, True), ({"fine_tune_epochs": 2}, False), ({"recipe": "classic"}, False)], ids=str
)
def test_a_dropout_without_effect_is_said(
    stages: Stages, photos: Path, train: Train, view: RecordingView, given: dict[str, Any], *, said: bool
) -> None:
    """A user would compare dropouts by models that are all the same."""
    train(photos, batch_size="auto", dropout=0.7, view=view, **given)
    assert len(stages.runs) == 1
    assert any(message.startswith("dropout 0.7 has no effect") for message in view.messages) is said


@pytest.mark.parametrize(
    ("given", "said"), [({}, True), ({"trainable": "all"}, True), ({"fine_tune_epochs": 2}, False)], ids=str
)
def test_a_cut_without_fine_tuning_is_said(
    stages: Stages, photos: Path, train: Train, view: RecordingView, given: dict[str, Any], *, said: bool
) -> None:
    """Its user would get the head alone, or all layers, and not know."""
    train(photos, fine_tune_from="block_14_add", view=view, **given)
    assert len(stages.runs) == 1
    words = "fine_tune_from 'block_14_add' has no effect without fine_tune_epochs"
    assert (words in view.messages) is said


@pytest.mark.parametrize("kept", ["auto", "off"])
def test_a_replay_keeps_decoded_images_as_it_is_asked(stages: Stages, photos: Path, train: Train, kept: str) -> None:
    """They would be written to a disk that has no room for them: the bits are the same without."""
    train(photos, "a", fine_tune_epochs=2, fine_tune_from="input")
    Path("a/audit.jsonl").touch()
    train(photos, "b", replay="a", pixel_cache=kept)
    planned = stages.runs[1]["record"].plan
    assert planned.fine_tune.pixel_cache is (kept == "auto")
    assert planned.pixel_cache is False


@pytest.mark.parametrize("kept", ["auto", "off"])
def test_a_replay_computes_with_the_kernels_of_the_run_that_it_follows(
    stages: Stages, photos: Path, train: Train, kept: str
) -> None:
    """A run under a limit would be replayed without one by other kernels, which round in another way."""
    train(photos, "a", memory_limit="2GB")
    Path("a/audit.jsonl").touch()
    text = Path("a/run.json").read_text()
    for kernels in ("eigen", "onednn"):
        Path("a/run.json").write_text(text.replace('"kernels": "eigen"', f'"kernels": "{kernels}"'))
        train(photos, kernels, replay="a", feature_cache=kept)
        assert stages.runs[-1]["record"].plan.kernels == kernels


@pytest.mark.parametrize("zeros", [True, False])
def test_a_replay_begins_with_the_head_of_the_run_that_it_follows(
    stages: Stages, photos: Path, train: Train, *, zeros: bool
) -> None:
    """The first step of a run of an earlier version, whose head was random, would have other bits."""
    train(photos, "a", epochs=2)
    Path("a/audit.jsonl").touch()
    text = Path("a/run.json").read_text()
    Path("a/run.json").write_text(text.replace('"head_from_zeros": true', f'"head_from_zeros": {str(zeros).lower()}'))
    train(photos, "b", epochs=2, replay="a")
    assert stages.runs[1]["record"].plan.head_from_zeros is zeros


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"batch_size": 8}, "the first stage shows how fast this machine is; then it is decided whether and for how"),
        ({"epochs": 3}, "3 epochs at most, and no fine-tuning because of epochs: give fine_tune_epochs for it"),
        ({"epochs": 1, "recipe": "classic"}, "1 epoch at most, and no fine-tuning because of recipe and epochs: give"),
        ({"batch_size": 8, "fine_tune_epochs": 0}, "10 epochs at most"),
        ({"trainable": "all", "optimizer": "sgd"}, "10 epochs at most"),
        ({"model": "json:loads"}, "10 epochs at most"),
    ],
    ids=str,
)
def test_a_budget_without_fine_tuning_says_why(
    stages: Stages, photos: Path, train: Train, view: RecordingView, given: dict[str, Any], expected: str
) -> None:
    """Most of a budget would stay unused because of another option, and nobody know which."""
    train(photos, time_budget="5m", view=view, **({"batch_size": "auto"} | given))
    assert len(stages.runs) == 1
    (line,) = [line for line in view.messages if line.startswith("time budget 5 min: ")]
    assert line.removeprefix("time budget 5 min: ").startswith(expected)
    assert expected != "10 epochs at most" or line.endswith(expected)


def test_a_replay_is_on_the_rung_of_the_run_that_it_follows(stages: Stages, photos: Path, train: Train) -> None:
    """Gradients that are computed in segments round in another way: the replay would prove nothing."""
    train(photos, weights=None, recompute="on")
    Path("a/audit.jsonl").touch()
    train(photos, "b", weights=None, replay="a")
    assert stages.runs[-1]["record"].plan.rung == Rung(segments=8)


@pytest.mark.parametrize(("followed", "asked"), [(True, False), (False, True), (False, False)])
def test_a_replay_of_a_deterministic_run_is_deterministic(
    stages: Stages, photos: Path, train: Train, *, followed: bool, asked: bool
) -> None:
    """It would run other kernels than the run that it is to repeat bit for bit."""
    train(photos, "a", deterministic=followed)
    Path("a/audit.jsonl").touch()
    train(photos, "b", replay="a", deterministic=asked)
    assert stages.runs[1]["record"].plan.deterministic is (followed or asked)


@pytest.mark.parametrize("device", ["gpu", "cpu"])
def test_xla_is_asked_for_once_and_kept(
    stages: Stages, photos: Path, train: Train, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """A replay from another shell would compute other bits; or a CPU's run promise what is not done there."""
    machine = make_hardware(device=device, device_memory_bytes=8 * 10**9, device_free_bytes=8 * 10**9)
    monkeypatch.setattr(hardware, "detect", lambda **_: machine)
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=2")
    train(photos, "a")
    Path("a/audit.jsonl").touch()
    monkeypatch.setenv("TF_XLA_FLAGS", "")
    train(photos, "b", replay="a")
    train(photos, "c")
    assert [run["record"].plan.xla for run in stages.runs] == [device == "gpu", device == "gpu", False]


def test_a_deterministic_run_is_probed_and_extracted_in_its_own_way(stages: Stages, photos: Path, train: Train) -> None:
    """Its memory would be that of other kernels, or its features depend on which size was the fastest that day."""
    train(photos, "a", deterministic=True, feature_cache="off", batch_size="auto")
    assert [request.deterministic for request, _ in stages.probes] == [True]
    train(photos, "b", deterministic=True)
    assert stages.runs[1]["cache"].fixed_size == DETERMINISTIC_EXTRACTION["cpu"]


def test_a_replay_of_a_run_without_its_request_is_refused(stages: Stages, photos: Path, train: Train) -> None:
    """It would follow another way of training than that run's."""
    train(photos, "a")
    Path("a/audit.jsonl").touch()
    Path("a/run.json").unlink()
    with pytest.raises(UserError, match=r"its run.json cannot be read .*: follow another run"):
        train(photos, "b", replay="a")
    assert len(stages.runs) == 1


def test_what_is_unusual_is_said(stages: Stages, photos: Path, train: Train, view: RecordingView) -> None:
    """A user would not learn why the whole network trains, or what `inline` cannot do."""
    (photos / "notes.txt").touch()
    (photos / "cat" / "notes.txt").touch()
    train(photos, weights=None, isolation="inline", view=view)
    assert re.search(r"40 to validate; \d other files skipped \(\d \.txt\)", view.messages[0])
    assert view.messages[1] == "to train on by class: cat (80), dog (80)"
    assert view.messages[2].startswith("weights 'none': training the whole network")
    assert view.messages[3].startswith("isolation='inline'")
    assert isinstance(stages.runs[0]["launcher"], InlineLauncher)


def test_a_probe_that_was_interrupted_can_be_begun_again(stages: Stages, photos: Path, view: RecordingView) -> None:
    """A run directory without a run would be refused, or taken for one."""
    stages.probe_ends = [InterruptedRunError("the probe was stopped")]
    with pytest.raises(InterruptedRunError, match=r"nothing is trained yet; run the same again with run_dir a$"):
        api.run(photos, run_dir="a", feature_cache="off", view=view)
    assert not Path("a/run.json").exists()
    with pytest.raises(UserError, match="holds no run"):
        api.resume("a", view=view)
    assert api.run(photos, run_dir="a", feature_cache="off", view=view).status == "completed"
    assert len(stages.probes) == 2


def test_a_probe_that_found_nothing_ends_the_run(stages: Stages, photos: Path, view: RecordingView) -> None:
    """A training would be started that cannot hold one image."""
    stages.largest = 0
    with pytest.raises(DoesNotFitError, match=r"not even one image at a time fits \(limited by --memory-limit\)"):
        api.run(photos, run_dir="a", feature_cache="off", memory_limit="1GB", view=view)
    assert stages.runs == []
    assert Path("a/probe.json").exists()
