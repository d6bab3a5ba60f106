"""The order in which an extraction under a time budget goes through the images, and when it may end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.input.views import ViewIndex
from autofit.worker.features.extraction_time import LEAST_BLOCKS, ExtractionPace, ExtractionTimeLimit, NoTimeLeft
from autofit.worker.features.features_record import ExtractionChunk, extraction_chunks


@dataclass
class Over:
    """A clock that never has time for more."""

    def ends_extraction(self, elapsed: float, ahead: float, done_share: float, *, is_first_stage: bool) -> bool:
        """Now."""
        del elapsed, ahead, done_share
        return is_first_stage


def chunks_of(views: ViewIndex, block: int) -> list[ExtractionChunk]:
    return list(extraction_chunks(np.ones(len(views), bool), block, None))


@given(st.integers(1, 300), st.integers(1, 100), st.integers(1, 4), st.integers(1, 80))
def test_there_are_images_to_train_on_and_to_validate_with_in_the_first_blocks(
    train_count: int, validation_count: int, number: int, block: int
) -> None:
    """A head would be solved without an image to judge it by, or none be there to solve it on."""
    views = ViewIndex(train_count, validation_count, number)
    ordered = ExtractionTimeLimit(Over(), is_first_stage=True).ordered(chunks_of(views, block), views)
    rows = np.concatenate([chunk.samples for chunk in ordered])
    assert sorted(rows.tolist()) == list(range(len(views)))
    first = np.concatenate([chunk.samples for chunk in ordered[:LEAST_BLOCKS]])
    assert (first < train_count * number).any()
    assert (first >= train_count * number).any()


def test_without_a_budget_nothing_is_changed() -> None:
    """Features would be computed in another order, and so differ in their last bits from those of earlier versions."""
    views = ViewIndex(100, 50)
    limit = ExtractionTimeLimit(None, is_first_stage=True)
    assert [chunk.samples[0] for chunk in limit.ordered(chunks_of(views, 8), views)] == list(range(0, 150, 8))
    limit.check(10**6, ExtractionPace(), 2)


def test_the_first_blocks_are_extracted_whatever_the_time() -> None:
    """A run with too small a budget would end without a model."""
    limit = ExtractionTimeLimit(Over(), is_first_stage=True)
    limit.check(LEAST_BLOCKS - 1, ExtractionPace(), 2)
    with pytest.raises(NoTimeLeft):
        limit.check(LEAST_BLOCKS, ExtractionPace(), 2)
    ExtractionTimeLimit(Over(), is_first_stage=False).check(LEAST_BLOCKS, ExtractionPace(), 2)


def test_the_rest_is_foreseen_by_what_is_not_traced() -> None:
    """The first blocks trace the network: images would be left out for which there is time, and accuracy with them."""
    now = 0.0
    pace = ExtractionPace(lambda: now)
    pace.block_begins(0, 0.0, 0.0)
    assert pace.ahead(448) == math.inf
    assert pace.steady_per_second == 0.0
    now = 5.0  # of which 4 s are first steps
    pace.block_begins(64, 4.0, 0.0)  # of a size that was given, which is not measured
    assert pace.ahead(448) == pytest.approx(30.0)
    pace.block_begins(64, 4.0, 128.0)
    assert pace.ahead(448) == pytest.approx(3.0)
    now = 6.5  # a block without any: also what is decoded counts
    pace.block_begins(128, 4.0, 128.0)
    assert pace.ahead(448) == pytest.approx(7.5)
    now = 9.5  # one that waited for something else
    pace.block_begins(192, 4.0, 128.0)
    assert pace.ahead(448) == pytest.approx(6.0)
    assert pace.elapsed() == pytest.approx(9.5)
    assert pace.steady_per_second == pytest.approx(128 / 4.5)  # of both blocks without first steps
