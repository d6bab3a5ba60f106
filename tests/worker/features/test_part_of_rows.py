"""The part of the rows that heads are compared on where all are too many. No TensorFlow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autofit.worker.features.head_rows import LabelTable, labelled_rows, part_of_rows


def test_each_class_has_its_share_and_one_row_at_least() -> None:
    """A rare class would be unknown to the heads that are compared, or a common one rule them more than it does."""
    labels = np.repeat([0, 1, 2, 4], [700, 290, 9, 1])
    rows = labelled_rows(np.arange(1000.0)[:, None], labels)
    part = part_of_rows(rows, 100)
    assert np.bincount(part.labels).tolist() == [67, 27, 1, 0, 1]
    assert (np.diff(part.row_of) > 0).all()
    assert (labels[part.row_of] == part.labels).all()


def test_a_part_is_spread_over_all_rows() -> None:
    """Rows in the order of their folders, or of their days, would be represented by the first of them."""
    part = part_of_rows(labelled_rows(np.zeros((1000, 1)), np.arange(1000) % 2), 102)
    assert len(part) == 100
    assert np.diff(part.row_of).max() <= 22
    assert part.row_of.max() >= 978


def test_rows_that_are_few_enough_are_all_taken() -> None:
    """The head of a small set would be another than before."""
    rows = labelled_rows(np.zeros((10, 1)), np.zeros(10, np.int64))
    assert part_of_rows(rows, 10) is rows


def test_sets_of_labels_do_not_make_the_part_large() -> None:
    """Where each row has labels like no other, a row of each set would be all of them."""
    rows = labelled_rows(np.zeros((1000, 1)), np.arange(1000))
    table = LabelTable(np.zeros((1000, 3)), np.ones((1000, 3)))
    part = part_of_rows(replace(rows, table=table), 100)
    assert len(part) == 100
    assert np.unique(np.diff(part.row_of)).tolist() == [10]
