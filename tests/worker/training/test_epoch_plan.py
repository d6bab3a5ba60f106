"""The passes over the images, one after another."""

from __future__ import annotations

from array import array

import pytest

from autofit.dataset import ImageIndex
from autofit.input.epoch_order import epoch_order
from autofit.worker.training.epoch_plan import EpochPlans
from tests.support.records import make_plan

TRAINED, VALIDATED = 20, 3


def plans(images: int, *, recalibrates: bool = True, validated: int = VALIDATED) -> EpochPlans:
    count = TRAINED + validated
    index = ImageIndex("/photos", [f"{n}.png" for n in range(count)], array("i", [0] * count), ("a",), TRAINED)
    return EpochPlans(index, make_plan(epochs=2, recalibration_images=images), recalibrates=recalibrates)


@pytest.mark.parametrize(
    ("asked", "taken"),
    [(20, [8, 8]), (15, [8]), (100, [8, 8]), (5, [5])],  # whole batches of 8, unless there is none
)
def test_a_recalibration_takes_the_first_images_of_its_epoch(asked: int, taken: list[int]) -> None:
    """Images in the order of the folders would all be of one class, and those of one more epoch would cost as much."""
    plan = plans(asked).recalibration(1)
    assert plan is not None
    groups = [list(group) for group in plan.groups()]
    assert list(map(len, groups)) == taken
    assert [sample for group in groups for sample in group] == epoch_order(TRAINED, 0, 1)[: sum(taken)].tolist()


def test_the_passes_follow_one_another() -> None:
    """The loader would decode the wrong images ahead, and drop them when the right ones are asked for."""
    with_all, without = plans(8), plans(8, recalibrates=False)
    assert with_all.after_training(0) == with_all.recalibration(0)
    assert with_all.after_recalibration(0) == with_all.validation(0) == without.after_training(0)
    assert without.recalibration(0) is None
    assert with_all.after_validation(0) == with_all.training(1)
    alone = plans(8, validated=0)
    assert alone.after_recalibration(0) == alone.training(1)
    assert alone.after_recalibration(1) is None
