"""Promise 1: running out of memory changes nothing about the result. Real TensorFlow, real ResourceExhaustedError.

`make test` tries a small network, `make test-faults` all that is here.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit
from autofit.errors import DoesNotFitError
from autofit.storage.run_directory import RunDirectory
from autofit.worker.runtime.tf_settings import AFTER_IMPORT_BYTES
from tests.support.drawn import draw_tinted
from tests.support.paths import CHILDREN
from tests.support.run_files import assert_same_history, samples_of, updates_of

pytestmark = pytest.mark.slow

BATCH, EPOCHS = 64, 2
ALLOCATOR_BYTES = {"head": 80 * 10**6, "all": 330 * 10**6}
FLOAT16_BYTES = 220 * 10**6
HUNGRY_BYTES = 200 * 10**6
"""Too little for 64 images at once in `hungry_network`: each takes four convolutions of 0.9 MB, and their gradients."""
BRANCHED_BYTES = 770 * 10**6
"""For `branched_network`: seven copies of its weights in an update of all at once, six of them one after another."""
RECOMPUTING_BYTES = 200 * 10**6
"""Too little for MobileNetV2 at 96 px with 64 images at once, enough with 16: all in float32, activations in 16
bits, and activations that are not kept."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos: 70 of each of three classes, told apart by their colour."""
    folder = tmp_path_factory.mktemp("photos")
    draw_tinted(folder, 70)
    return folder


def too_small(trainable: str, outside_bytes: int, recompute: str = "off", precision: str = "float32") -> int:
    """A memory limit under which the first batch runs out."""
    less = AFTER_IMPORT_BYTES["all"] - AFTER_IMPORT_BYTES[trainable]
    allocator_bytes = ALLOCATOR_BYTES[trainable] if precision == "float32" else FLOAT16_BYTES
    if recompute == "on":
        allocator_bytes = RECOMPUTING_BYTES
    return outside_bytes - less + allocator_bytes


def train(photos: Path, run_dir: Path, **options: Any) -> autofit.Result:
    head = {} if "model" in options else {"dropout": 0.3}
    return autofit.run(
        photos,
        image_size=96,
        batch_size=BATCH,
        audit=True,
        run_dir=run_dir,
        **{**head, "epochs": EPOCHS, **options},
    )


def updates(result: autofit.Result) -> list[tuple[int, int, int, tuple[int, ...]]]:
    """(epoch, step, micro-batch size, samples) of each line of the audit_log."""
    entries = updates_of(result.run_dir)
    return [(e["epoch"], e["step"], e["micro_batch_size"], tuple(e["samples"])) for e in entries]


@pytest.mark.parametrize(
    ("trainable", "recompute", "precision"),
    [
        pytest.param("head", "off", "float32", id="head", marks=pytest.mark.whole),
        pytest.param("all", "off", "float32", id="all", marks=pytest.mark.whole),
        pytest.param("all", "on", "float32", id="all, computed again", marks=pytest.mark.whole),
        pytest.param("all", "off", "mixed_float16", id="all, float16", marks=pytest.mark.whole),
        pytest.param("all", "on", "mixed_bfloat16", id="all, bfloat16, computed again", marks=pytest.mark.whole),
    ],
)
def test_a_run_that_ran_out_ends_as_its_replay_without_a_limit(
    trainable: str,
    recompute: str,
    precision: str,
    photos: Path,
    calibrated: Callable[[str], Path],
    outside_bytes: int,
    tmp_path: Path,
) -> None:
    """A lost step, a torn update or another order after an out-of-memory changes the weights' hash."""
    given = {
        "backbone": "MobileNetV2",
        "weights": calibrated("MobileNetV2"),
        "trainable": trainable,
        "recompute": recompute,
        "precision": precision,
        "feature_cache": "off",
    }
    limit = too_small(trainable, outside_bytes, recompute, precision)
    assert_ends_as_its_replay(photos, tmp_path, limit, given)


def test_a_small_network_that_ran_out_ends_as_its_replay_without_a_limit(
    photos: Path, outside_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, of a network that is soon built."""
    monkeypatch.chdir(CHILDREN)
    given = {"model": "survivor_network:hungry_network", "recompute": "off"}
    assert_ends_as_its_replay(photos, tmp_path, outside_bytes + HUNGRY_BYTES, given)


def assert_ends_as_its_replay(photos: Path, folder: Path, limit: int, given: dict[str, Any]) -> None:
    """Train under a limit that is too small for a batch, and again, by its audit log, without."""
    ran_out = train(photos, folder / "a", memory_limit=limit, **given)
    replay = train(photos, folder / "b", replay=folder / "a", **given)

    assert ran_out.oom_events
    assert not replay.oom_events
    assert updates(replay) == updates(ran_out)
    assert replay.weights_sha256 == ran_out.weights_sha256
    assert replay.history["loss"] == ran_out.history["loss"]
    assert not ran_out.result_changed
    assert len(updates(ran_out)) == EPOCHS * -(-train_count(ran_out) // BATCH)


@pytest.mark.whole
def test_a_network_that_cannot_be_cut_goes_on_with_its_weights_updated_in_turn(
    photos: Path,
    outside_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It would be said that its activations are recomputed; without a probe only its worker knows that they cannot."""
    monkeypatch.chdir(CHILDREN)
    given = {"model": "survivor_network:branched_network", "micro_batch_size": 1, "epochs": 1}
    result = train(photos, tmp_path / "a", memory_limit=outside_bytes + BRANCHED_BYTES, **given)
    assert [attempt.segments for attempt in result.attempts] == [0, 0, 1]
    assert "weights updated one after another" in " ".join(capsys.readouterr().err.split())


def test_a_network_whose_weights_do_not_fit_is_not_tried_with_fewer_images(
    photos: Path, outside_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of seven sizes and two rungs would cost a start, and then the advice be to take smaller images."""
    monkeypatch.chdir(CHILDREN)
    given = {"model": "survivor_network:branched_network", "memory_limit": outside_bytes + ALLOCATOR_BYTES["head"]}
    with pytest.raises(DoesNotFitError, match="the network itself does not fit, without any image") as refusal:
        train(photos, tmp_path, **given)
    assert len(list(RunDirectory(tmp_path).attempts())) == 2
    assert re.search(r"OOM when allocating tensor with shape\[[0-9,]+\] and type float\): take a", str(refusal.value))


@pytest.mark.forked_workers
@pytest.mark.whole
def test_a_frozen_backbone_gives_the_same_head_for_any_micro_batch(
    photos: Path, calibrated: Callable[[str], Path], tmp_path: Path
) -> None:
    """Dropout or the update depending on the micro-batch would make another head; extraction may differ in rounding."""
    given = {"backbone": "MobileNetV2", "weights": calibrated("MobileNetV2"), "hidden_units": 8, "feature_cache": "off"}
    given["epochs"] = 1
    whole = train(photos, tmp_path / "whole", **given)
    parts = train(photos, tmp_path / "parts", micro_batch_size=7, **given)

    for name, values in whole.history.items():
        np.testing.assert_allclose(parts.history[name], values, rtol=1e-4, err_msg=name)


@pytest.mark.whole  # `make test` has it of a host that runs out (tests/faults/test_host_memory.py)
def test_batch_normalization_from_scratch_says_that_the_result_changed(
    photos: Path, outside_bytes: int, tmp_path: Path
) -> None:
    """There the micro-batch is part of the result: a shrink must not be passed over in silence."""
    result = train(
        photos,
        tmp_path / "run",
        backbone="MobileNetV2",
        weights="none",
        memory_limit=too_small("all", outside_bytes),
        epochs=1,
    )

    assert result.oom_events
    assert result.result_changed
    assert json.loads((result.run_dir / "result.json").read_text())["result_changed"] is True
    assert "not changed" not in result.summary()


@pytest.mark.whole  # tests/worker/execution has it above a cut
def test_no_room_for_the_update_changes_nothing() -> None:
    """The update reserves its temporaries first: where they do not fit, weights, optimizer and metrics stay."""
    done = subprocess.run([sys.executable, CHILDREN / "oom_in_update.py"], check=True, capture_output=True, text=True)
    report = json.loads(done.stdout.splitlines()[-1])

    assert report == {"raised": "OutOfDeviceMemoryError", "iterations": 1, "weights_changed": False, "metric_count": 4}


@pytest.mark.whole
def test_several_labels_run_out_are_mirrored_and_replayed(
    photos: Path, calibrated: Callable[[str], Path], outside_bytes: int, tmp_path: Path
) -> None:
    """Rows of labels that a repeated or replayed step takes in another order would train another network."""
    files = sorted(photos.rglob("*.jpg"))
    rows = [f"{file},{file.parent.name}{'' if number % 3 else ';third'}" for number, file in enumerate(files)]
    (tmp_path / "list.csv").write_text("\n".join(["path,labels", *rows, ""]))
    given = {"backbone": "MobileNetV2", "weights": calibrated("MobileNetV2"), "feature_cache": "off"}
    given |= {"multi_label": True, "augment": "light", "epochs": 1}
    limit = too_small("head", outside_bytes)
    ran_out = train(tmp_path / "list.csv", tmp_path / "a", memory_limit=limit, mirror_dir=tmp_path / "copy", **given)
    replay = train(tmp_path / "list.csv", tmp_path / "b", replay=tmp_path / "copy", **given)

    assert ran_out.oom_events
    assert not replay.oom_events
    assert updates(replay) == updates(ran_out)
    assert replay.weights_sha256 == ran_out.weights_sha256
    assert_same_history(replay.history, ran_out.history)
    for name in ("samples.csv", "model.keras", "labels.json", "validation.npy", "result.json", "audit.jsonl"):
        assert (tmp_path / "copy" / name).read_bytes() == (tmp_path / "a" / name).read_bytes()


def train_count(result: autofit.Result) -> int:
    return len(samples_of(result.run_dir, "train"))
