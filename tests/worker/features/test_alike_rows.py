"""Copies are found by their features, and images that merely show the same are not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from autofit.worker.features import alike_rows as searching
from autofit.worker.features.alike_rows import alike_rows, together
from autofit.worker.features.head_rows import labelled_rows

CLASSES, WIDTH, EACH = 6, 48, 50
COPIES = 12


def photos(spread: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of photos of six classes, and their labels; the smaller the spread, the more alike those of a class."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), EACH)
    centres = random.normal(size=(CLASSES, WIDTH))
    return (centres[labels] + spread * random.normal(size=(len(labels), WIDTH))).astype(np.float32), labels


def with_copies(features: np.ndarray, change: float) -> np.ndarray:
    """With a copy of some rows at the end, each changed by a share of what rows differ in."""
    chosen = features[np.arange(COPIES) * 7]
    noise = np.random.default_rng(5).normal(size=chosen.shape) * features.std() * change
    return np.concatenate([features, (chosen + noise).astype(np.float32)])


def planted(count: int) -> list[list[int]]:
    return [[7 * copy, count + copy] for copy in range(COPIES)]


@pytest.mark.parametrize("change", [0.0, 0.15, 0.3])
def test_changed_copies_are_found_and_no_other_rows(change: float) -> None:
    """A mirrored or cropped copy in the validation would raise its accuracy; or a person look through photos."""
    features, labels = photos()
    rows = labelled_rows(with_copies(features, change), np.concatenate([labels, labels[:COPIES]]))
    assert alike_rows(rows).tolist() == planted(len(labels))


@pytest.mark.parametrize("spread", [0.03, 0.1, 0.3])
def test_where_all_rows_of_a_class_are_alike_that_is_nothing_to_tell(spread: float) -> None:
    """Each handwritten digit would be a copy of others."""
    features, labels = photos(spread)
    assert len(alike_rows(labelled_rows(features, labels))) <= len(labels) * 0.01


def test_three_copies_of_one_image_are_each_found() -> None:
    """A copy would hide the others."""
    features, labels = photos()
    again = np.repeat(features[:1], 2, axis=0) + np.float32(0.01)
    rows = labelled_rows(np.concatenate([features, again]), np.concatenate([labels, [0, 0]]))
    count = len(labels)
    assert alike_rows(rows).tolist() == [[0, count], [0, count + 1], [count, count + 1]]


def test_views_of_a_photo_are_no_copies() -> None:
    """Each photo would be told as a copy of itself."""
    features, labels = photos()
    both = labelled_rows(
        np.concatenate([features, features]),
        np.concatenate([labels, labels]),
        groups=np.concatenate([np.arange(len(labels))] * 2),
    )
    assert alike_rows(both).tolist() == []


@pytest.mark.parametrize("threads", [1, 3])
def test_of_very_many_rows_the_copies_are_found_in_small_parts(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """Memory would grow with the square of the number of images; or copies be missed in other parts."""
    features, labels = photos()
    changed = with_copies(features, 0.15)
    rows = labelled_rows(changed, np.concatenate([labels, labels[:COPIES]]))
    monkeypatch.setattr(searching, "REFERENCE_BYTES", 60 * WIDTH * 4)
    sizes: list[int] = []
    nearest = searching._nearest

    def noted(groups: np.ndarray, *others: object) -> object:
        sizes.append(len(groups))
        return nearest(groups, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(searching, "_nearest", noted)
    found = alike_rows(rows, threads=threads)
    assert max(sizes) <= 60
    assert sum(sizes) <= 2 * len(rows)
    pairs = {tuple(pair) for pair in found.tolist()}
    assert len(pairs & {tuple(pair) for pair in planted(len(labels))}) >= COPIES - 1
    assert len(pairs) <= COPIES + 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_rows_are_no_error(count: int) -> None:
    """A check of a folder with two images would fail."""
    features, labels = photos()
    assert len(alike_rows(labelled_rows(features[:count], labels[:count]))) == 0


def test_progress_is_told_and_a_stop_is_heard() -> None:
    """Silence would be taken for a hang; a Ctrl-C would wait for the end."""
    told = itertools.count()
    features, labels = photos()
    alike_rows(labelled_rows(features, labels), goes_on=lambda: next(told) >= 0)
    assert next(told) >= 2

    def stop() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        alike_rows(labelled_rows(features, labels), goes_on=stop)


def test_copies_with_one_label_are_judged_together_and_others_cast_doubt() -> None:
    """A copy would vouch for the wrong label that both have; or one with another label be kept from casting doubt."""
    features, labels = photos()
    rows = labelled_rows(features, labels, groups=np.arange(len(labels)) + 3)
    joined = together(rows, np.array([[0, 1], [1, 2], [5, EACH]]))
    assert joined.groups[:3].tolist() == [3, 3, 3]
    assert joined.groups[3:].tolist() == rows.groups[3:].tolist()
    assert together(replace(rows, groups=rows.groups), np.empty((0, 2), np.int64)).groups.tolist() == (
        rows.groups.tolist()
    )


def test_photos_of_one_family_are_judged_together() -> None:
    """The photos of a patient would vouch for each other where all have the same wrong label."""
    features, labels = photos()
    families = np.arange(len(labels)) // 4
    rows = replace(labelled_rows(features, labels), families=families)
    joined = together(rows, np.array([[0, 4]]))
    assert (joined.groups[:8] == 0).all()
    assert joined.groups[8:].tolist() == (families[8:] * 4).tolist()
