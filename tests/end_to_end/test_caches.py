"""Features are extracted and photos decoded once: the same training, whatever happens meanwhile. Real runs.

`make test` kills a run in its extraction and its training, `make test-faults` at more moments, and more kinds of runs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit
from autofit.process.tail import Tail
from autofit.protocol.job import Job, TrainJob
from autofit.protocol.messages import Phase, Progress
from autofit.storage.run_directory import RunDirectory
from autofit.worker.runtime.tf_settings import AFTER_IMPORT_BYTES
from tests.support.drawn import draw_tinted
from tests.support.paths import CHILDREN, child_environment
from tests.support.processes import forking, kill_with_children
from tests.support.run_files import assert_each_epoch_once
from tests.support.shared import made_once
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]

IMAGES, BAD = 180, "class1/007.jpg"
EPOCHS, AT_ONCE = 3, 6
REQUEST: dict[str, Any] = {
    "backbone": "MobileNet",
    "image_size": 64,
    "batch_size": 16,
    "dropout": 0.3,
    "epochs": EPOCHS,
    "audit": True,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos, which no test may change: 60 of each of three classes, which differ in colour; one is no image."""

    def draw(folder: Path) -> None:
        draw_tinted(folder, IMAGES // 3)
        (folder / BAD).write_bytes(b"no photo")

    return made_once(tmp_path_factory, "cache-photos", draw)


Train = Callable[..., autofit.Result]


@pytest.fixture
def train(photos: Path, weights: Path, tmp_path: Path) -> Train:
    """`train("name", **options)`: a frozen MobileNet with dropout on these photos, or on those in `data`."""

    def train(name: str, data: Path = photos, **options: Any) -> autofit.Result:
        return autofit.run(data, run_dir=tmp_path / name, **{**REQUEST, "weights": weights, **options})

    return train


@pytest.fixture(scope="module")
def finished(photos: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """`finished("name", onednn="0", **options)`: as `train`, but made once, with its cache beside it.

    Tests only read it.
    """

    def finished(name: str, onednn: str = "0", **options: Any) -> autofit.Result:
        def make(folder: Path) -> None:
            with pytest.MonkeyPatch.context() as patched:
                patched.setenv("AUTOFIT_CACHE", str(folder / "cache"))
                patched.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
                autofit.run(photos, run_dir=folder / "run", **{**REQUEST, "weights": weights, **options})

        return autofit.Result(made_once(tmp_path_factory, f"cache-run-{name}", make) / "run")

    return finished


def events(result: autofit.Result, name: str) -> list[Any]:
    """The values of this field in the events of all attempts."""
    lines = [line for one in RunDirectory(result.run_dir).attempts() for line in one.events.read_text().splitlines()]
    return [value for line in lines if line if (value := json.loads(line).get(name)) is not None]


def head(result: autofit.Result) -> list[np.ndarray]:
    import keras

    model = keras.models.load_model(result.run_dir / "model.keras")
    return [np.asarray(weight) for weight in model.get_layer("probabilities").get_weights()]


@pytest.mark.usefixtures("cache")
def test_it_is_the_same_training(train: Train, finished: Train) -> None:
    """The cache would be a faster way to another model."""
    kept, live = finished("usual"), train("live", feature_cache="off")
    for name, values in live.history.items():
        np.testing.assert_allclose(kept.history[name], values, rtol=1e-4, err_msg=name)
    for one, other in zip(head(kept), head(live), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    assert events(kept, "extraction")
    assert not events(live, "extraction")
    assert [entry.path for entry in kept.quarantined] == [entry.path for entry in live.quarantined]
    assert kept.quarantined[0].path.endswith(BAD)
    assert (kept.run_dir / "audit.jsonl").read_text() == (live.run_dir / "audit.jsonl").read_text()


def test_the_next_run_extracts_nothing_and_ends_with_the_same_bits(train: Train, cache: Path, finished: Train) -> None:
    """A second try with another learning rate would wait for the backbone once more."""
    first = finished("usual")
    shutil.copytree(first.run_dir.with_name("cache"), cache)
    second = train("second")
    assert "extracted 179 now" in " ".join(events(first, "message"))
    assert "all extracted before" in " ".join(events(second, "message"))
    assert second.weights_sha256 == first.weights_sha256


@pytest.mark.usefixtures("cache")
def test_jpegs_that_lack_their_end_are_counted_from_the_cache_too(train: Train, photos: Path, tmp_path: Path) -> None:
    """A second run on the same photos, or one that was killed after the extraction, would say that all are whole."""
    own = shutil.copytree(photos, tmp_path / "photos")
    for name in ("class0/000.jpg", "class2/003.jpg"):
        (own / name).write_bytes((own / name).read_bytes()[:-2])
    results = [train(name, own, epochs=2) for name in ("first", "second")]
    assert "all extracted before" in " ".join(events(results[1], "message"))
    told = [json.loads((result.run_dir / "result.json").read_text()) for result in results]
    assert [one["cut_off_images"] for one in told] == [2, 2]
    assert [events(result, "cut_off") for result in results] == [[2], [2]]


@pytest.mark.usefixtures("cache")
@pytest.mark.whole
def test_a_changed_photo_alone_is_extracted_again(train: Train, photos: Path, tmp_path: Path) -> None:
    """A photo that was edited would be trained on as it was; or all be extracted for one."""
    own = shutil.copytree(photos, tmp_path / "photos")
    train("first", own)
    changed = own / "class0" / "000.jpg"
    before = changed.stat()
    changed.write_bytes(changed.read_bytes() + b"\0")  # what follows the end of a JPEG does not count as an image
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "extracted 1 now" in " ".join(events(train("second", own), "message"))


@pytest.mark.usefixtures("cache")
@pytest.mark.whole
def test_a_copy_is_known_by_its_content(weights: Path, photos: Path, tmp_path: Path) -> None:
    """A notebook that unpacks its archive anew each morning would extract anew each morning."""
    said = []
    for name in ("a", "b"):
        shutil.copytree(photos, tmp_path / f"photos-{name}")
        result = autofit.run(
            tmp_path / f"photos-{name}",
            backbone="MobileNet",
            weights=weights,
            image_size=64,
            epochs=2,
            batch_size=16,
            cache_by="content",
            run_dir=tmp_path / name,
        )
        said.append(" ".join(events(result, "message")))
    assert "extracted 179 now" in said[0]
    assert "all extracted before" in said[1]


@pytest.mark.whole
def test_the_next_extraction_begins_with_the_size_that_was_the_fastest(
    train: Train, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that is known each extraction would begin with a few images and find its size anew."""
    monkeypatch.setenv("AUTOFIT_PROFILES", str(tmp_path / "profiles"))
    first = train("first", epochs=2)
    found = events(first, "extraction")[-1]
    shutil.rmtree(cache)
    second = train("second", epochs=2)
    told = [begun_with(run) for run in (first, second)]
    assert told == [(None, 0), (found["micro_batch_size"], found["peak_bytes"])]
    assert found["peak_bytes"] > 0
    together = json.loads((second.run_dir / "features.json").read_text())["slices"]
    assert together[0] == [0, max(8, found["micro_batch_size"])]


def begun_with(result: autofit.Result) -> tuple[int | None, int]:
    """The first size in the job of a run's first worker, and its peak."""
    work = Job.load(RunDirectory(result.run_dir).attempts()[0].job).work
    assert isinstance(work, TrainJob)
    assert work.cache
    return work.cache.first_size, work.cache.first_peak_bytes


@pytest.mark.whole  # tests/worker/features has it of the extraction alone
def test_running_out_while_extracting_changes_nothing(train: Train, cache: Path, outside_bytes: int) -> None:
    """Promise 1 with the cache: a replay without a limit, out of the same rows, and of rows that are made again."""
    larger = {"image_size": 96, "batch_size": 64}
    limit = outside_bytes - AFTER_IMPORT_BYTES["all"] + AFTER_IMPORT_BYTES["head"] + 75 * 10**6
    ran_out = train("a", micro_batch_size=64, memory_limit=limit, **larger)
    assert ran_out.oom_events
    assert {event.phase for event in ran_out.oom_events} == {Phase.EXTRACT}
    of_same_rows = train("b", replay=ran_out.run_dir, **larger)
    shutil.rmtree(cache)
    made_again = train("c", replay=ran_out.run_dir, **larger)
    assert events(made_again, "kept_rows")
    for replay in (of_same_rows, made_again):
        assert not replay.oom_events
        assert replay.weights_sha256 == ran_out.weights_sha256
        assert replay.history == ran_out.history


Kill = Callable[..., None]


@pytest.fixture
def kill(photos: Path, weights: Path, tmp_path: Path) -> Kill:
    """`kill(moment, reached, **options)`: go on with the run `killed` to EPOCH:BATCH at most, and kill it.

    It does what `train` does, a few images at a time, in a process of its own.
    """
    request = {**REQUEST, "weights": str(weights), "micro_batch_size": AT_ONCE, "checkpoint_every": 1}

    def kill(moment: str, reached: Reached, **more: Any) -> None:
        given = moment, photos, tmp_path / "killed", json.dumps({**request, **more})
        command = forking([sys.executable, *map(str, (CHILDREN / "halting_run.py", *given))])
        kill_when(command, tmp_path / "killed", reached)

    return kill


@pytest.mark.parametrize(
    ("clears", "onednn"),
    [
        pytest.param(False, "0", id="cache kept", marks=pytest.mark.whole),
        pytest.param(True, "0", id="cache cleared"),
        pytest.param(True, "1", id="cache cleared, oneDNN", marks=pytest.mark.whole),
    ],
)
def test_kills_while_extracting_and_training_change_nothing(
    finished: Train,
    kill: Kill,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    clears: bool,
    onednn: str,
    whole: bool,
) -> None:
    """Promises 2, 3 and 4 with the cache: worker and parent are killed, again and again, and the cache may be gone."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    undisturbed = finished(f"in-parts-{onednn}", onednn, micro_batch_size=AT_ONCE, checkpoint_every=1)
    moments = (("0:0", extracted(30)), ("0:0", extracted(60)), ("0:3", trained(2)), ("0:5", trained(4)))
    for moment, reached in moments[:: 1 if whole else 3]:
        kill(moment, reached)
        if clears:
            shutil.rmtree(cache, ignore_errors=True)
    result = autofit.resume(tmp_path / "killed")
    assert result.weights_sha256 == undisturbed.weights_sha256
    assert result.history == undisturbed.history
    assert_each_epoch_is_a_permutation(result)


def assert_each_epoch_is_a_permutation(result: autofit.Result) -> None:
    assert_each_epoch_once(result.run_dir, EPOCHS, range(int(0.8 * IMAGES)), skipped=True)


Reached = Callable[[Progress], bool]


def extracted(images: int) -> Reached:
    """A worker has extracted so many images itself, or has finished its extraction."""
    return lambda progress: progress.phase is not Phase.EXTRACT or progress.step >= images


def trained(steps: int) -> Reached:
    """A worker has made so many steps of an epoch."""
    return lambda progress: progress.phase is Phase.TRAIN and progress.step >= steps


def kill_when(command: list[str], run_dir: Path, reached: Reached) -> None:
    """Start a run and kill it, worker and parent, when its newest attempt has reached a point."""
    before = len(RunDirectory(run_dir).attempts())
    environment = child_environment()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as parent:
        tails: list[Tail] = []

        def comes_so_far() -> bool:
            attempts = RunDirectory(run_dir).attempts()
            if len(attempts) == before:
                return False
            tails[:] = tails or [Tail(attempts[-1].progress)]
            lines = [line for line in tails[0].records(Progress) if line.phase in {Phase.EXTRACT, Phase.TRAIN}]
            return any(reached(line) for line in lines)

        wait_until(comes_so_far, "the run never came so far", process=parent)
        kill_with_children(parent)


def test_damaged_rows_are_made_again(train: Train, cache: Path, finished: Train) -> None:
    """A bad block on the disk would be trained on."""
    first = finished("usual")
    shutil.copytree(first.run_dir.with_name("cache"), cache)
    rows = next(cache.rglob("rows.bin"))
    data = bytearray(rows.read_bytes())
    damaged = range(0, len(data), len(data) // 10)
    for place in damaged:
        data[place] ^= 255
    rows.write_bytes(data)
    second = train("second")
    assert f"extracted {len(damaged)} now" in " ".join(events(second, "message"))
    np.testing.assert_allclose(second.history["loss"], first.history["loss"], rtol=1e-4)


@pytest.mark.whole
@pytest.mark.usefixtures("cache")
def test_without_room_it_trains_without_the_cache(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk would end the run, though a training needs no cache."""
    monkeypatch.setenv("AUTOFIT_CACHE_LIMIT", "10kB")
    result = train("run", epochs=2)
    said = " ".join(events(result, "message"))
    why = "it would take 737.3 KB, and the cache may have 10 KB: set AUTOFIT_CACHE_LIMIT"
    assert f"features are not cached ({why})" in said
    assert result.status == "completed"


@pytest.mark.whole
def test_on_a_folder_that_cannot_be_written_it_trains_without_the_cache(train: Train, cache: Path) -> None:
    """A read-only home would end the run."""
    cache.write_text("not a folder")
    result = train("run", epochs=2)
    assert "features are not cached" in " ".join(events(result, "message"))
    assert result.status == "completed"


# Decoded images, and augmented ones -----------------------------------------------------------------------------------

KEPT_NOW, KEPT_BEFORE = "the first epoch keeps them", "are there already"


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("augment", [pytest.param("none", marks=pytest.mark.whole), "light"])
@pytest.mark.whole
def test_cached_pixels_are_the_same_training(train: Train, finished: Train, augment: str) -> None:
    """A photo read back from the disk would not be the one that was decoded; promise 4."""
    given = {"augment": augment, "feature_cache": "off" if augment == "none" else "auto", "micro_batch_size": AT_ONCE}
    live = finished(f"without-pixels-{augment}", pixel_cache="off", checkpoint_every=1, **given)
    first, second = train("first", **given), train("second", **given)
    assert "decoded images" not in " ".join(events(live, "message"))
    assert KEPT_NOW in " ".join(events(first, "message"))
    assert f"179 {KEPT_BEFORE}" in " ".join(events(second, "message"))
    for result in (first, second):
        assert result.weights_sha256 == live.weights_sha256
        assert result.history == live.history
        assert [entry.path for entry in result.quarantined] == [entry.path for entry in live.quarantined]


@pytest.mark.usefixtures("cache")
@pytest.mark.whole
def test_augmentation_is_another_training_and_another_with_another_seed(train: Train) -> None:
    """The option would be accepted and ignored."""
    whole = train("whole", epochs=2)
    augmented, other = train("light", epochs=2, augment="light"), train("seed", epochs=2, augment="light", seed=1)
    losses = [result.history["loss"] for result in (whole, augmented, other)]
    assert len({tuple(loss) for loss in losses}) == 3
    assert not events(augmented, "extraction")


@pytest.mark.parametrize(
    "views",
    [
        pytest.param({}, id="live", marks=pytest.mark.whole),
        pytest.param({"feature_cache": "on", "feature_views": 2}, id="views"),
    ],
)
@pytest.mark.whole
def test_kills_of_an_augmented_run_change_nothing(
    finished: Train, kill: Kill, cache: Path, tmp_path: Path, views: dict[str, Any], *, whole: bool
) -> None:
    """Promises 2, 3 and 4 with augmentation: what an image looks like in an epoch must not depend on the attempt."""
    request = {"augment": "light", "micro_batch_size": AT_ONCE, "checkpoint_every": 1, **views}
    if views:
        undisturbed = finished("views", **request)
    else:  # the run that `test_cached_pixels_are_the_same_training` compares with
        undisturbed = finished("without-pixels-light", pixel_cache="off", feature_cache="auto", **request)
    early = [("0:0", extracted(200)), ("0:0", extracted(30))] if views else [("0:3", trained(2)), ("0:6", trained(5))]
    for moment, reached in (*(early if whole else ()), ("0:8", trained(7))):
        kill(moment, reached, augment="light", **views)
        shutil.rmtree(cache, ignore_errors=True)
    result = autofit.resume(tmp_path / "killed")
    assert result.weights_sha256 == undisturbed.weights_sha256
    assert result.history == undisturbed.history
    assert_each_epoch_is_a_permutation(result)


@pytest.mark.usefixtures("cache")
@pytest.mark.whole
def test_a_few_views_are_cached_if_the_user_chooses_that(train: Train) -> None:
    """The user would get an approximation without having chosen it, or choose one and not see that it is one."""
    first = train("first", augment="light", feature_cache="on", feature_views=2)
    said = " ".join(events(first, "message"))
    assert f"features of {2 * 144 + 35} views, 2 of each training image instead of a new one in each epoch" in said
    assert KEPT_NOW in said  # each photo is decoded once for all its views
    second = train("second", augment="light", feature_cache="on", feature_views=2)
    assert "all extracted before" in " ".join(events(second, "message"))
    assert second.weights_sha256 == first.weights_sha256
    single = train("single", augment="light", feature_cache="on", feature_views=1)
    whole = train("whole")
    assert "all extracted before" in " ".join(events(single, "message"))  # the same views
    assert "extracted 179 now" in " ".join(events(whole, "message"))  # one view is still a view, and not the image
    assert whole.history["loss"] != first.history["loss"]
    np.testing.assert_allclose(whole.history["val_loss"][0], first.history["val_loss"][0], rtol=0.3)
