"""The split into training and validation is stratified, stable and ordered."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.dataset import scan
from autofit.dataset.split import in_order, stratified_split
from tests.support.datasets import images, quick, traced, validating

SIZES = st.lists(st.integers(2, 60), min_size=2, max_size=5)


SHARES = st.floats(0.001, 0.999)


SEEDS = st.integers(-(2**70), 2**70)


def synthetic(sizes: list[int]) -> list[list[str]]:
    return [[f"class{number}/{file}" for file in images(size)] for number, size in enumerate(sizes)]


@quick
@given(sizes=SIZES, share=SHARES, seed=SEEDS)
def test_the_split_is_complete_disjoint_and_stratified(sizes: list[int], share: float, seed: int) -> None:
    """Images would be lost or on both sides, or a class would be missing on one side or have another share."""
    classes = synthetic(sizes)
    train, held_out = stratified_split(classes, share, seed)
    for paths, ours, theirs in zip(classes, train, held_out, strict=True):
        assert sorted([*ours, *theirs]) == paths
        assert ours
        assert theirs
        assert abs(len(theirs) - len(paths) * share) <= 1


@quick
@given(sizes=SIZES, share=SHARES, seed=SEEDS, more=st.integers(1, 20), shuffler=st.randoms())
def test_files_of_another_class_do_not_move_the_split(
    sizes: list[int], share: float, seed: int, more: int, shuffler: random.Random
) -> None:
    """Adding photos would put validation images into training, and their accuracy would be a lie."""
    before, after = synthetic(sizes), synthetic([sizes[0] + more, *sizes[1:]])
    for paths in after:
        shuffler.shuffle(paths)
    first, second = (stratified_split(classes, share, seed)[1] for classes in (before, after))
    assert [sorted(paths) for paths in first[1:]] == [sorted(paths) for paths in second[1:]]


@quick
@given(share=SHARES, seed=SEEDS)
def test_a_file_of_the_same_class_moves_at_most_one(share: float, seed: int) -> None:
    """One more photo would shuffle the whole class."""
    (_, (before,)), (_, (after,)) = (stratified_split(synthetic([size]), share, seed) for size in (40, 41))
    assert len(set(before) - set(after)) <= 1


def test_the_seed_decides_the_split(pets: Path) -> None:
    """Runs with the same seed would differ, or those with another would not."""
    assert scan(pets, seed=3) == scan(pets, seed=3)
    assert len({tuple(validating(scan(pets, seed=seed))) for seed in range(5)}) > 1


def test_the_split_of_a_folder_is_the_same_after_a_move(pets: Path) -> None:
    """A run that is repeated from another mount would validate on what was trained on before."""
    before = scan(pets)
    after = scan(pets.rename(pets.parent / "moved"))
    assert after.paths == before.paths
    assert after.fingerprint() == before.fingerprint()


def test_no_validation_means_none(pets: Path) -> None:
    """Images would be held out against the user's wish."""
    index = scan(pets, validation=0)
    assert (index.train_count, index.validation_count, index.class_counts()) == (15, 0, (10, 5))


@quick
@given(st.lists(st.sets(st.text(st.sampled_from("ab/-."), min_size=1)), min_size=1, max_size=4))
def test_each_part_is_sorted_by_path(sets: list[set[str]]) -> None:
    """The order of samples, and with it every run, would depend on the order of listing."""
    classes = [[f"{path}{number}" for path in paths] for number, paths in enumerate(sets)]
    paths, labels = in_order(classes)
    assert paths == sorted(path for each in classes for path in each)
    assert all(path.endswith(str(label)) for path, label in zip(paths, labels, strict=True))


@pytest.mark.parametrize("layout", ["class{class_number:05}/{number:05}.jpg", "{number:05}/class{class_number:05}.jpg"])
def test_ordering_takes_few_bytes_an_image_however_many_classes(layout: str) -> None:
    """A hundred thousand classes, as of faces or landmarks, would take as much again as their images."""
    classes = [[layout.format(class_number=i, number=number) for number in range(2)] for i in range(10_000)]
    (paths, _), _, peak_bytes = traced(lambda: in_order(classes))
    assert len(paths) == 20_000
    assert peak_bytes / 20_000 < 150
