"""What heads say of rows that they were not solved on."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from autofit.dataset.label_doubts import doubts, doubts_of_sets
from autofit.worker.features.head_rows import LabelTable, labelled_rows
from autofit.worker.features.out_of_fold import out_of_fold, unseen_probabilities

CLASSES, WIDTH, EACH = 4, 20, 60


def blobs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of four classes that can be told apart, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), EACH)
    centres = random.normal(size=(CLASSES, WIDTH)) * 2
    return (centres[labels] + random.normal(size=(len(labels), WIDTH))).astype(np.float32), labels


def test_planted_wrong_labels_are_the_first() -> None:
    """The heads would have learnt the wrong labels by heart, and doubt none."""
    features, labels = blobs()
    wrong = np.random.default_rng(1).permutation(len(labels))[:12]
    given = labels.copy()
    given[wrong] = (labels[wrong] + 1) % CLASSES
    found = doubts(out_of_fold(labelled_rows(features, given), CLASSES, l2=10.0), given)
    assert set(found.images[:12].tolist()) == set(wrong.tolist())
    assert found.suggested[:12].tolist() == labels[found.images[:12]].tolist()


def test_nothing_is_said_of_a_class_that_the_other_folds_do_not_have() -> None:
    """The only image of a class would always be called wrong."""
    features, labels = blobs()
    labels[0] = CLASSES
    found = out_of_fold(labelled_rows(features, labels), CLASSES + 1, l2=10.0)
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [0]
    assert np.allclose(found[1:].sum(axis=1), 1, atol=1e-5)


def test_views_of_a_photo_are_left_out_together() -> None:
    """A head would judge a photo of which it has seen another view."""
    features, labels = blobs()
    same = np.repeat(np.random.default_rng(2).normal(size=(4, WIDTH)).astype(np.float32) * 9, 2, axis=0)
    rows = labelled_rows(
        np.concatenate([features, same]),
        np.concatenate([labels, np.zeros(8, np.int64)]),
        groups=np.concatenate([np.arange(len(labels)), len(labels) + np.repeat(np.arange(4), 2)]),
    )
    found = out_of_fold(rows, CLASSES, l2=10.0)[len(labels) :]
    assert (found[::2] == found[1::2]).all()


def test_progress_is_told_for_each_fold() -> None:
    """Silence would be taken for a hang."""
    told = itertools.count()
    features, labels = blobs()
    out_of_fold(labelled_rows(features, labels), CLASSES, l2=10.0, goes_on=lambda: next(told) >= 0)
    assert next(told) >= 5


def test_of_several_labels_the_wrong_one_is_named() -> None:
    """Images with several labels would not be doubted, or a person have to guess which label is meant."""
    features, kinds = blobs()
    sets = np.array(
        [[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]], np.float64
    )  # of the kinds, and a wrong one
    given = kinds.copy()
    given[:3] = 4  # 0 is lost and 1 told in place of it; 2 is right
    rows = replace(labelled_rows(features, given), table=LabelTable(sets, np.ones_like(sets)))
    found = doubts_of_sets(unseen_probabilities(rows, 3, l2=10.0), sets[given])
    assert set(found.images[:3].tolist()) == {0, 1, 2}
    assert set(found.suggested[:3].tolist()) <= {0, 1}
    assert found.own[0] < 0.25
    assert found.count == 3
    assert sorted(found.images.tolist()) == list(range(len(given)))


def test_nothing_is_said_of_a_label_that_no_other_image_has() -> None:
    """The only image with a label would always be called wrong."""
    features, kinds = blobs()
    sets = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]], np.float64)
    given = kinds.copy()
    given[np.flatnonzero(kinds == 1)[0]] = 4
    rows = replace(labelled_rows(features, given), table=LabelTable(sets, np.ones_like(sets)))
    found = doubts_of_sets(out_of_fold(rows, 3, l2=10.0), sets[given])
    assert found.own[found.suggested == 2].min(initial=1.0) > 0.9
