"""What `benchmarks/train.py` prints and draws: medians, ratios, photos, figures from heartbeats. No TensorFlow."""

from __future__ import annotations

import io
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

LIMITS = {
    "cores": 2,
    "import_seconds": 2.0,
    "flops_per_second": 4e11,
    "flops_per_image": 10**9,
    "decodes_per_second": 600,
}

# The table ----------------------------------------------------------------------------------------------------------


def _run(figures: ModuleType, contender: str = "autofit", **values: Any) -> Any:
    usual = {"seconds": 30.0, "peak_bytes": 1_500_000_000, "accuracy": 0.95, "own_accuracy": 0.96}
    return figures.Run(contender=contender, **(usual | values))


def test_a_row_holds_medians_the_spread_and_the_highest_peak() -> None:
    """One slow round does not move the figure that is published, and a high peak cannot hide behind a median."""
    figures: Any = import_module("train_table")
    runs = [_run(figures, seconds=s, peak_bytes=b) for s, b in [(30.0, 10), (90.0, 30), (32.0, 20)]]
    row = figures.summary([*runs, _run(figures, "other", seconds=1.0)], "autofit")
    assert (row.seconds, row.fastest, row.slowest, row.peak_bytes) == (32.0, 30.0, 90.0, 30)
    assert (row.runs, row.failed) == (3, 0)


def test_what_only_some_runs_know_is_the_median_of_those() -> None:
    """An epoch too short to be seen in one round would empty the row, or count as nothing."""
    figures: Any = import_module("train_table")
    runs = [_run(figures, later_seconds=v) for v in (None, 9.0, 11.0)]
    row = figures.summary(runs, "autofit")
    assert (row.later_seconds, row.first_step_seconds) == (10.0, None)


def test_a_failed_run_is_shown_and_counts_in_no_median() -> None:
    """A crash after two seconds would make a contender look fast."""
    figures: Any = import_module("train_table")
    row = figures.summary([_run(figures), _run(figures, seconds=2.0, accuracy=0.0, error="killed")], "autofit")
    assert (row.seconds, row.accuracy, row.failed) == (30.0, 0.95, 1)
    assert "| autofit (1 of 2 runs failed) |" in figures.table([row], figures.Work(1200, 10), figures.Limits(**LIMITS))


def test_a_contender_that_always_fails_has_a_row_without_figures() -> None:
    """Its seconds would be taken for a training."""
    figures: Any = import_module("train_table")
    runs = [_run(figures), _run(figures, figures.TUTORIAL, seconds=2.0, error="killed")]
    rows = [figures.summary(runs, name) for name in ("autofit", figures.TUTORIAL)]
    lines = figures.table(rows, figures.Work(1200, 10), figures.Limits(**LIMITS)).splitlines()
    assert lines[3] == "| the tutorial's Sequence (1 of 1 runs failed) | 2.0 (2.0 to 2.0) |  |  |  |  | 1.50 |  |  |"
    assert figures.ratios(rows, figures.Work(1200, 10)) == []


def test_the_table_and_the_ratios_compare_with_autofit() -> None:
    """The ratios are what the targets are about: whole runs, and images/s without the feature cache."""
    figures: Any = import_module("train_table")
    runs = [
        _run(figures, seconds=30.0, first_step_seconds=4.0),
        _run(figures, figures.UNCACHED, seconds=100.0, later_seconds=54.0),
        _run(figures, figures.TFDATA, seconds=240.0, later_seconds=108.0),
    ]
    rows = [figures.summary(runs, run.contender) for run in runs]
    work = figures.Work(images=1200, epochs=10)
    lines = figures.table(rows, work, figures.Limits(**LIMITS)).splitlines()
    assert [line.count("|") for line in lines] == [len(figures.HEADER) + 1] * 8
    assert lines[2] == "| autofit | 30.0 (30.0 to 30.0) | 1.00 | 400 |  | 4.0 | 1.50 | 0.950 | 0.960 |"
    assert lines[4] == "| tf.data, cached | 240.0 (240.0 to 240.0) | 8.00 | 50 | 100 |  | 1.50 | 0.950 | 0.960 |"
    assert figures.ratios(rows, work) == [
        "whole run: tf.data, cached takes 8.00 x as long as autofit",
        "images/s after the first epoch: autofit, without the feature cache has 2.00 x those of tf.data, cached",
    ]


def test_the_limits_are_of_work_that_nobody_can_leave_out() -> None:
    """A reader would take for possible what is not, or think that nothing is left to gain."""
    figures: Any = import_module("train_table")
    limits, work = figures.Limits(**LIMITS), figures.Work(1200, 10)
    assert limits.first_run_seconds(1200) == pytest.approx(2 + (2 - 1) + 3)  # a core decodes while the other imports
    assert limits.first_run_seconds(60) == pytest.approx(2 + 0.15)  # all is decoded by then
    assert figures.Limits(**LIMITS | {"cores": 1}).first_run_seconds(1200) == pytest.approx(2 + 2 + 3)
    rows = [figures.summary([_run(figures, seconds=12.0)], "autofit")]
    assert figures.table(rows, work, limits).splitlines()[-3:] == [
        "| limit: the import, and each photo once | 6.0 | 0.50 | 2000 |  |  |  |  |  |",
        "| limit: the network in each epoch |  |  |  | 400 |  |  |  |  |",
        "| limit: the file and the network in each epoch |  |  |  | 240 |  |  |  |  |",
    ]
    assert "400 GFLOP/s" in figures.rates(limits)


@pytest.mark.slow
@pytest.mark.whole
def test_what_the_machine_can_do_is_measured(tmp_path: Path) -> None:
    """A limit that is zero, or of another network, would pass unseen in a table."""
    drawing, running, training = (import_module(name) for name in ("drawn_photos", "whole_process", "train"))
    photo = drawing.photo_file(drawing.TASK_KINDS[0], 0)
    for number in range(64):
        (tmp_path / f"{number}.jpg").write_bytes(photo)
    program = [sys.executable, training.LIMITS, tmp_path, "--backbone", "MobileNetV2", "--size", "96"]
    ended = running.run_whole([*program, "--seconds", "0.1"], training.QUIET, tmp_path)
    assert ended.exit_code == 0, ended.errors
    limits = training.Limits(**ended.answer("limits"))
    assert limits.flops_per_image == pytest.approx(2 * 0.0551e9, rel=0.05)  # 0.300 G at 224 px in the paper, by area
    assert limits.flops_per_second > 10**9
    assert limits.decodes_per_second > 10
    assert limits.import_seconds > 0.2


# What a run directory says of speed -----------------------------------------------------------------------------------


def _lines(*lines: tuple[float, str, int]) -> list[dict[str, Any]]:
    return [{"monotonic_seconds": at, "phase": phase, "epoch": epoch} for at, phase, epoch in lines]


def test_the_epochs_after_the_first_end_where_the_last_was_validated() -> None:
    """Saving the model at the end would count as training, or the first epoch with its tracing."""
    reading: Any = import_module("autofit_run")
    lines = _lines(
        *[(100.0, "start", 0), (103.0, "build", 0), (105.0, "train", 0), (110.0, "validate", 0), (111.0, "save", 0)],
        *[(112.0, "train", 1), (115.0, "validate", 1), (116.0, "save", 1), (117.0, "train", 2)],
        *[(120.0, "validate", 2), (120.5, "save", 2), (125.0, "save", 2)],
    )
    assert reading.seconds_after_first_epoch(lines) == 8.5
    assert reading.import_ended(lines) == 103.0


def test_a_single_epoch_has_none_after_it() -> None:
    """The time after the first epoch would be divided by zero epochs."""
    reading: Any = import_module("autofit_run")
    assert reading.seconds_after_first_epoch(_lines((1.0, "start", 0), (2.0, "train", 0), (3.0, "save", 0))) is None
    assert reading.seconds_after_first_epoch(_lines((1.0, "train", 0), (2.0, "validate", 1))) is None  # one look at it


def test_the_first_step_is_counted_from_the_end_of_the_import(tmp_path: Path) -> None:
    """An import of four seconds, which no cache can save, would hide what the second run is faster by."""
    reading: Any = import_module("autofit_run")
    attempt = tmp_path / "attempts" / "0001"
    attempt.mkdir(parents=True)
    (attempt / "job.json").write_text(json.dumps({"work": {"launched_at": 100.0}}))
    lines = _lines((100.5, "start", 0), (104.0, "build", 0), (107.0, "train", 0))
    (attempt / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    history = {"val_loss": [0.5, 0.3, 0.4], "val_accuracy": [0.8, 0.9, 0.95]}
    (tmp_path / "result.json").write_text(json.dumps({"seconds_to_first_step": 6.5, "history": history}))
    assert reading.import_to_first_step_seconds(tmp_path) == pytest.approx(2.5)
    assert reading.own_accuracy(tmp_path) == 0.9  # of the epoch whose model is kept


# The photos -----------------------------------------------------------------------------------------------------------


def test_a_photo_is_drawn_the_same_each_time_and_like_no_other() -> None:
    """Two runs of the benchmark would train on other photos, or on one photo many times."""
    drawing: Any = import_module("drawn_photos")
    kind = drawing.TASK_KINDS[0]
    first, again, other = (np.asarray(drawing.draw_photo(kind, number, (160, 120))) for number in (0, 0, 1))
    assert first.shape == (120, 160, 3)
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def test_every_kind_can_be_drawn_and_none_is_in_both_sets() -> None:
    """A backbone that was pretrained on the task's own classes would make it trivial."""
    drawing: Any = import_module("drawn_photos")
    task, other = drawing.TASK_KINDS, drawing.OTHER_KINDS
    assert not {kind.outline for kind in task} & {kind.outline for kind in other}
    assert not {kind.texture for kind in task} & {kind.texture for kind in other}
    for kind in (*task, *other):
        assert drawing.draw_photo(kind, 7, (80, 60)).size == (80, 60)
        corners = drawing.OUTLINES[kind.outline]()
        assert 0.6 < np.hypot(*corners.T).max() < 1.2


@pytest.mark.slow
def test_a_file_is_as_large_as_a_camera_s() -> None:
    """Files that are too smooth decode faster than photos do."""
    drawing: Any = import_module("drawn_photos")
    sizes = [len(drawing.photo_file(kind, number)) for kind in drawing.TASK_KINDS[::2] for number in range(3)]
    assert 50_000 < np.mean(sizes) < 150_000
    with Image.open(io.BytesIO(drawing.photo_file(drawing.TASK_KINDS[0], 0))) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (640, 480))


@pytest.mark.slow
def test_the_folders_are_split_and_made_once(tmp_path: Path) -> None:
    """A contender would validate on photos it has trained on, or the photos would change between two runs."""
    folders, drawing = import_module("photo_folders"), import_module("drawn_photos")
    folder = folders.task_folder(tmp_path, 60, None)
    names = {kind.name for kind in drawing.TASK_KINDS}
    for split, count in (("train", 8), ("val", 2)):
        assert {entry.name for entry in (folder / split).iterdir()} == names
        assert {len(list((folder / split / name).iterdir())) for name in names} == {count}
    photo = next(folder.glob("train/*/*.jpg"))
    before = photo.stat().st_mtime_ns
    assert folders.task_folder(tmp_path, 60, None) == folder
    assert photo.stat().st_mtime_ns == before


@pytest.mark.slow
def test_models_are_judged_by_photos_that_nobody_was_given(tmp_path: Path) -> None:
    """A model would be judged by what it was trained on, or chosen by."""
    folders, drawing = import_module("photo_folders"), import_module("drawn_photos")
    given = folders.task_folder(tmp_path, 12, None).rglob("*.jpg")
    judging = sorted(folders.test_folder(tmp_path, 18, 12, None).rglob("*.jpg"))
    assert {path.parent.name for path in judging} == {kind.name for kind in drawing.TASK_KINDS}
    assert len({path.read_bytes() for path in judging} - {path.read_bytes() for path in given}) == len(judging) == 18


def test_crops_come_from_photos_that_are_large_enough(tmp_path: Path) -> None:
    """A class would be an enlarged thumbnail, or the crops of one photo all the same."""
    folders: Any = import_module("photo_folders")
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    for name, size in {"a.png": (900, 700), "b.jpg": (900, 700), "c.jpg": (640, 480)}.items():
        Image.fromarray(noise).resize(size).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    sources = folders.sources_in(tmp_path, 6)
    assert [path.name for path in sources] == ["a.png", "b.jpg"]
    crops = [folders.cut_file(sources[0], number) for number in (0, 0, 1)]
    assert crops[0] == crops[1] != crops[2]
    assert Image.open(io.BytesIO(crops[0])).size == (640, 480)
    (tmp_path / "b.jpg").unlink()
    with pytest.raises(SystemExit, match="has 1 photos over 640x480"):
        folders.sources_in(tmp_path, 6)


# Memory ---------------------------------------------------------------------------------------------------------------

TWO_PROCESSES = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; held = b'x' * 60_000_000; time.sleep(1.2)"])
held = b"x" * 60_000_000
child.wait()
"""


@pytest.mark.slow
def test_the_memory_of_children_is_counted() -> None:
    """What autofit's worker takes would not be seen: the supervisor itself is small."""
    trees, running = import_module("process_tree"), import_module("whole_process")
    with trees.TreeMemory() as memory:
        ended = running.run_whole([sys.executable, "-c", TWO_PROCESSES], {}, Path.cwd())
    assert ended.exit_code == 0
    assert memory.peak_bytes > 120_000_000  # one of them alone has some 70 MB
    seen = memory.peak_bytes
    time.sleep(0.5)
    assert memory.peak_bytes == seen
