from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autofit.input import batch_loader as loader_module
from autofit.input.batch_loader import BatchLoader
from autofit.input.epoch_order import epoch_order
from autofit.worker.execution.microbatch import MicroBatcher
from autofit.worker.training.batch_sources import DecodedImages
from autofit.worker.training.epoch_plan import EpochPlan

pytestmark = pytest.mark.slow  # imports TensorFlow

SIZE = (2, 3)
EPOCH = EpochPlan(0, 10, 4, order=(7, 0))
VALIDATION = EpochPlan(10, 3, 2)
NEXT_EPOCH = EpochPlan(0, 10, 3, order=(7, 1))
PLENTY_BYTES = 10**9


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The samples whose decoding was begun; their path is their number, and so is every pixel."""
    begun: list[int] = []

    def decode(path: str | os.PathLike[str], row: NDArray[np.uint8]) -> None:
        begun.append(int(os.fspath(path)))
        row[...] = int(os.fspath(path))

    monkeypatch.setattr(loader_module, "decode_into", decode)
    return begun


@pytest.fixture
def source() -> Iterator[DecodedImages]:
    """Thirteen images, ten to train on and three to validate."""
    micro = MicroBatcher(4, lambda _: None)
    session: Any = None  # nothing is computed here
    reader: Any = SimpleNamespace(of_epoch=lambda _: None)  # as they come
    with BatchLoader(str, SIZE, threads=1, buffer_bytes=PLENTY_BYTES) as loader:
        images = DecodedImages(session, loader, reader, micro, micro, lambda _: None)
        yield images
        images.close()


def samples(source: DecodedImages, epoch_plan: EpochPlan, following: EpochPlan | None) -> list[list[int]]:
    return [batch.samples.tolist() for batch in source.batches(epoch_plan, following)]


def groups(epoch_plan: EpochPlan) -> list[list[int]]:
    return [group.tolist() if isinstance(group, np.ndarray) else list(group) for group in epoch_plan.groups()]


def test_a_stretch_is_an_order_cut_into_batches() -> None:
    """An epoch would not be the permutation that its seed and number say, or lose its last batch."""
    order = epoch_order(10, 7, 0).tolist()
    assert groups(EPOCH) == [order[:4], order[4:8], order[8:]]
    assert groups(EpochPlan(0, 10, 4, (7, 0), position=6)) == [order[6:10]]
    assert groups(VALIDATION) == [[10, 11], [12]]


@pytest.mark.usefixtures("begun")
def test_epoch_after_epoch_comes_as_it_was_asked_for(source: DecodedImages) -> None:
    """What was decoded ahead for one epoch_plan would turn up in another."""
    assert samples(source, EPOCH, VALIDATION) == groups(EPOCH)
    assert samples(source, VALIDATION, NEXT_EPOCH) == groups(VALIDATION)
    assert samples(source, NEXT_EPOCH, None) == groups(NEXT_EPOCH)


def test_what_comes_after_an_epoch_is_decoded_before_it_ends(source: DecodedImages, begun: list[int]) -> None:
    """The device would wait at the end of each epoch until the first images of the validation are there."""
    batches = source.batches(EPOCH, VALIDATION)
    for _ in EPOCH.bounds():
        last = next(batches)
    assert last.samples.tolist() == groups(EPOCH)[-1]
    before = len(begun)
    assert next(batches, None) is None
    assert samples(source, VALIDATION, None) == groups(VALIDATION)
    assert sorted(begun) == list(range(13))
    assert before >= 10


def test_each_image_is_decoded_once_a_stretch(source: DecodedImages, begun: list[int]) -> None:
    """What was decoded ahead would be thrown away and decoded once more."""
    samples(source, EPOCH, VALIDATION)
    samples(source, VALIDATION, NEXT_EPOCH)
    samples(source, NEXT_EPOCH, None)
    assert sorted(begun) == sorted([*range(10), *range(10, 13), *range(10)])


@pytest.mark.usefixtures("begun")
def test_after_a_stretch_that_was_left_early_the_next_begins_anew(source: DecodedImages) -> None:
    """A callback that ends an epoch would have its leftovers validated."""
    batches = source.batches(EPOCH, VALIDATION)
    assert next(batches).samples.tolist() == groups(EPOCH)[0]
    assert samples(source, VALIDATION, None) == groups(VALIDATION)


@pytest.mark.usefixtures("begun")
def test_another_stretch_than_was_announced_comes_instead(source: DecodedImages) -> None:
    """A guess about what comes next would become a promise."""
    assert samples(source, EPOCH, VALIDATION) == groups(EPOCH)
    assert samples(source, NEXT_EPOCH, None) == groups(NEXT_EPOCH)
