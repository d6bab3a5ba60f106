"""The stage that solves the head, on made-up features."""

from __future__ import annotations

import itertools
from array import array
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autofit.config.options import make_options
from autofit.dataset import ImageIndex
from autofit.input.views import ViewIndex
from autofit.machine.cgroups import MemoryLeft
from autofit.protocol.job import StageTime
from autofit.protocol.messages import MemoryBudget
from autofit.runs.plan import staged_plan
from autofit.worker.features.head_rows import LabelTable, labelled_rows
from autofit.worker.features.head_solver import Head, HeadProblem
from autofit.worker.training import head_stage
from autofit.worker.training.batch_sources import CachedFeatures
from autofit.worker.training.head_stage import HeadStage, labelled, solvable
from autofit.worker.training.stage_clock import LEAST_SOLVE_SECONDS, StageClock
from autofit.worker.training.targets import Targets
from tests.support.machines import make_hardware

pytestmark = pytest.mark.slow  # imports TensorFlow

TRAIN, VALIDATION, WIDTH = 60, 20, 5
ALWAYS = StageClock(None)


class MadeUpRows:
    """Features in which the class can be seen, but for those of a missing image."""

    def __init__(self, labels: NDArray[np.int64], views: ViewIndex, missing: int) -> None:
        numbers = np.arange(len(views))
        random = np.random.default_rng(0)
        self.entry_of = np.where(views.samples(numbers) == missing, -1, 0)
        self.entries = [SimpleNamespace(record=SimpleNamespace(row_shape=(WIDTH,)))]
        self._features = random.normal(size=(len(views), WIDTH)).astype(np.float32)
        self._features[:, 0] += 3.0 * labels[views.samples(numbers)]

    def known(self) -> NDArray[np.bool_]:
        """See `FeatureRows`."""
        known: NDArray[np.bool_] = self.entry_of >= 0
        return known

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `FeatureRows`."""
        assert self.known()[rows].all()
        return self._features[rows]


@pytest.fixture
def index() -> ImageIndex:
    count = TRAIN + VALIDATION
    paths = [f"{number}.png" for number in range(count)]
    return ImageIndex("/photos", paths, array("i", [number % 2 for number in range(count)]), ("a", "b"), TRAIN)


def source(index: ImageIndex, views: int, missing: int = -1) -> CachedFeatures:
    view_index = ViewIndex(TRAIN, VALIDATION, views)
    rows: Any = MadeUpRows(np.asarray(index.labels), view_index, missing)
    unused: Any = None  # the network, and its micro-batches
    return CachedFeatures(unused, rows, view_index, {missing: "damaged"}, unused, unused, lambda _: None)


@pytest.mark.parametrize("views", [1, 3])
def test_an_image_that_weighs_twice_is_as_good_as_two(index: ImageIndex, views: int) -> None:
    """The head would be solved on weights of other images, or on none."""
    weights = np.random.default_rng(1).integers(0, 3, len(index.paths))
    plan = staged_plan(make_options(), TRAIN, 2, None, make_hardware()).model_copy(update={"feature_views": views})
    weighted = replace(index, weights=array("d", 10.0 * weights))
    stage = HeadStage(source(index, views), weighted, plan, Targets(weighted), lambda: None, ALWAYS)
    total = np.bincount(stage.train.groups, stage.train.weights)
    np.testing.assert_allclose(total, weights[:TRAIN] / weights[:TRAIN].mean())
    solved = stage.solve()
    assert solved.record.cross_validated_accuracy is None  # it would be one of weighted images
    twice = np.repeat(np.arange(TRAIN + VALIDATION), weights)
    rows = labelled(source(index, views), np.arange(TRAIN + VALIDATION), np.asarray(index.labels), 1)
    copies = rows.of(twice).unweighted()
    mean = weights[:TRAIN].mean()  # the penalty is per unit of weight
    expected = HeadProblem(copies, 2).solve(solved.record.l2 * mean).head
    if views == 1:
        np.testing.assert_allclose(solved.final.kernel, expected.kernel, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("views", [1, 3])
def test_all_views_of_a_photo_count_as_one(index: ImageIndex, views: int) -> None:
    """A photo would count as often as it has views, or its views lie in a fold each and be recognized."""
    samples = np.arange(TRAIN)
    rows = labelled(source(index, views, missing=7), samples, np.asarray(index.labels), views)
    assert len(rows) == views * (TRAIN - 1)
    assert rows.weights.sum() == pytest.approx(TRAIN - 1)
    assert np.bincount(rows.groups).tolist() == [views * (sample != 7) for sample in samples]
    assert (rows.labels == rows.groups % 2).all()
    assert len(rows.read(slice(0, 4))) == 4


def test_it_learns_and_names_what_it_did(index: ImageIndex) -> None:
    """The head would be another than the one whose figures are shown."""
    plan = staged_plan(make_options(), TRAIN, 2, None, make_hardware())
    told: list[None] = []
    stage = HeadStage(
        source(index, 1, missing=7), index, plan, Targets(index, "none"), lambda: told.append(None), ALWAYS
    )
    assert (len(stage.used), stage.unused.tolist()) == (TRAIN - 1, [7])
    solved = stage.solve()
    assert told
    assert solved.metrics["val_accuracy"] > 0.8
    assert solved.metrics.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert sum(solved.predicted) == VALIDATION
    assert (solved.record.method, solved.record.refitted, solved.record.epochs) == ("solved", True, 1)
    assert not np.array_equal(solved.trained.kernel, solved.final.kernel)
    again = HeadStage(source(index, 1, missing=7), index, plan, Targets(index, "none"), lambda: None, ALWAYS).solve()
    np.testing.assert_array_equal(solved.final.kernel, again.final.kernel)


def test_images_that_belong_together_are_known_to_its_rows(index: ImageIndex) -> None:
    """The strength of the penalty would be chosen with images of one patient on both sides of a fold."""
    plan = staged_plan(make_options(), TRAIN, 2, None, make_hardware())

    def stage(of: ImageIndex) -> HeadStage:
        return HeadStage(source(of, 1, missing=7), of, plan, Targets(of, "none"), lambda: None, ALWAYS)

    apart = stage(index)
    assert apart.train.families is apart.validation.families is None
    numbers = [number // 4 for number in range(TRAIN + VALIDATION)]
    together = stage(replace(index, groups=array("i", numbers)))
    assert together.train.families is not None
    assert together.train.families.tolist() == [number for sample, number in enumerate(numbers[:TRAIN]) if sample != 7]
    assert together.validation.families is not None
    assert together.validation.families.tolist() == numbers[TRAIN:]


def test_copies_of_an_image_are_known_to_its_rows(index: ImageIndex) -> None:
    """An image would be judged by a head that was solved on a copy of it: the weakest penalty would win."""
    plan = staged_plan(make_options(), TRAIN, 2, None, make_hardware())
    cached = source(index, 1)
    cached.copies = [[2, 5, TRAIN + 1]]
    stage = HeadStage(cached, index, plan, Targets(index, "none"), lambda: None, ALWAYS)
    assert stage.train.families is not None
    assert stage.validation.families is not None
    assert stage.train.families[[2, 5, 6]].tolist() == [2, 2, 6]
    assert stage.validation.families[:3].tolist() == [TRAIN, 2, TRAIN + 2]


def test_without_time_it_solves_as_far_as_it_comes_and_says_so(index: ImageIndex) -> None:
    """A time budget would be over, and a second fit still ahead; or the user would not hear that there was none."""
    stage_time = StageTime(end_at=0.0, last_at=0.0, epoch_seconds=0.0, finish_seconds=0.0)
    clock = StageClock(stage_time, itertools.count(0.0, LEAST_SOLVE_SECONDS).__next__)
    plan = staged_plan(make_options(), TRAIN, 2, None, make_hardware())
    solved = HeadStage(source(index, 1), index, plan, Targets(index, "none"), lambda: None, clock).solve()
    assert not solved.record.refitted
    assert solved.metrics["val_accuracy"] > 0.8
    assert solved.record.cut_short == "the training images alone"


@pytest.mark.parametrize(
    ("limit", "left", "fits"),
    [(None, None, True), (3 * 10**9, None, True), (1_100_000_000, None, False), (None, 10**8, False)],
)
def test_a_head_that_does_not_fit_into_memory_is_not_solved(
    index: ImageIndex,
    limit: int | None,
    left: int | None,
    fits: bool,  # noqa: FBT001
) -> None:
    """The kernel would kill the worker at each attempt, as nothing counts what the solver takes."""
    names = tuple(map(str, range(2**20)))
    many, cached = replace(index, class_names=names), source(index, 1)
    plan = staged_plan(make_options(), TRAIN, len(names), None, make_hardware())
    memory = MemoryBudget(device="cpu", limit_bytes=limit or 4 * 10**9, is_given=limit is not None)
    host: Any = SimpleNamespace(
        host_bytes=10**9,
        stop_below_bytes=5 * 10**7,
        memory_left=lambda: None if left is None else MemoryLeft(left, "the machine"),
    )
    found = solvable(cached, many, plan, memory, host)
    if fits:
        assert found is cached
    else:
        room = "100 MB" if left is None else "50 MB"
        assert (
            found == f"a head of 5 features and 1,048,576 classes takes 1.9 GB to solve, and {room} of memory is left"
        )
    assert solvable(cached, index, plan, memory, host) is cached  # takes next to nothing
    not_cached: Any = object()
    assert solvable(not_cached, index, plan, memory, host) == "the features are not cached"


def test_the_users_own_validation_images_stay_unseen(index: ImageIndex) -> None:
    """The accuracy on them would no longer say anything."""
    plan = staged_plan(make_options(), TRAIN, 2, None, make_hardware()).model_copy(update={"refit_head": False})
    solved = HeadStage(source(index, 1), index, plan, Targets(index, "none"), lambda: None, ALWAYS).solve()
    assert not solved.record.refitted
    np.testing.assert_array_equal(solved.trained.kernel, solved.final.kernel)


def test_scores_of_many_labels_are_made_some_labels_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores of five million rows would be in memory with all their labels; or be those of other labels."""
    monkeypatch.setattr(head_stage, "MOST_SCORES", 2 * 30)
    random = np.random.default_rng(0)
    table = LabelTable(random.integers(0, 2, (8, 5)).astype(np.float64), np.ones((8, 5)))
    rows = replace(labelled_rows(random.normal(size=(30, WIDTH)), random.integers(0, 8, 30)), table=table)
    head = Head(random.normal(size=(WIDTH, 5)).astype(np.float32), np.zeros(5, np.float32))
    found = list(head_stage._scores_and_truth(head, rows, table))
    assert [scores.shape for scores, _ in found] == [(30, 2), (30, 2), (30, 1)]
    np.testing.assert_allclose(np.hstack([scores for scores, _ in found]), head.logits(rows))
    np.testing.assert_array_equal(np.hstack([truth for _, truth in found]), table.targets[rows.labels])
