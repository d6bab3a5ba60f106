"""The strength of the head's penalty, its figures, and the refit on all rows. No TensorFlow."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autofit.worker.features import head_rows, head_solver, head_strength
from autofit.worker.features.head_fit import fit_head
from autofit.worker.features.head_rows import LabelledRows, joined, labelled_rows
from autofit.worker.features.head_solver import Head, HeadProblem
from autofit.worker.features.head_strength import (
    RISING_STRENGTHS,
    STRENGTHS,
    PathPoint,
    accuracy_gaps,
    best_of,
    choose_l2,
    fold_of_rows,
)
from autofit.worker.features.photo_scores import photo_scores, together


def _photos(count: int, seed: int, *, noise: float = 1.0, classes: int = 3, views: int = 1) -> LabelledRows:
    """Rows around a centre for each class; the views of a photo differ a little."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = np.random.default_rng(0).normal(size=(classes, 40))
    photos = centres[labels] + noise * random.normal(size=(count, 40))
    features = np.repeat(photos, views, axis=0) + 0.01 * random.normal(size=(count * views, 40))
    groups = np.repeat(np.arange(count), views)
    return labelled_rows(features, np.repeat(labels, views), groups=groups)


def _accuracy(head: Any, rows: LabelledRows) -> float:
    return float(photo_scores(head, rows).hits.mean())


def test_noise_is_penalised_more_than_signal() -> None:
    """The strength would not follow from the data: noisy features would be learnt by heart."""
    clear, noisy = (choose_l2(_photos(90, 1, noise=noise), _photos(300, 2, noise=noise), 3) for noise in (0.3, 6.0))
    assert clear.l2 < 1
    assert noisy.l2 > 10
    assert clear.how_chosen == noisy.how_chosen == "validation"
    assert noisy.photos == 300


@pytest.mark.parametrize(("validating", "how"), [(199, "cross-validation"), (200, "validation")])
def test_a_small_validation_set_gives_way_to_cross_validation(validating: int, how: str) -> None:
    """A strength would be chosen by a few dozen photos where all could judge."""
    strength = choose_l2(_photos(60, 1), _photos(validating, 2), 3)
    assert strength.how_chosen == how
    assert strength.photos == (validating if how == "validation" else validating + 60)


def test_photos_without_weight_do_not_make_a_validation_set_large() -> None:
    """A strength would be chosen by the few photos that count, or by none of hundreds."""
    for counting in (0, 30):
        validation = _photos(300, 2)
        validation = validation.weighted((np.arange(300) < counting).astype(float))
        strength = choose_l2(_photos(60, 1), validation, 3)
        assert strength.how_chosen == "cross-validation"
        assert strength.path


def test_views_do_not_make_a_validation_set_large() -> None:
    """Fifty photos in four views would pass for two hundred."""
    assert choose_l2(_photos(60, 1), _photos(50, 2, views=4), 3).how_chosen == "cross-validation"


def test_data_of_the_users_own_stay_unseen() -> None:
    """Photos that the user set apart for validation would be in the model that they are to judge."""
    train, own = _photos(60, 1), _photos(50, 2)
    fit = fit_head(train, own, 3, refit=False)
    assert not fit.refitted
    assert choose_l2(train, own, 3, may_pool=False).photos == 60
    np.testing.assert_array_equal(fit.head.kernel, HeadProblem(train, 3).solve(fit.l2).head.kernel)


def test_the_refit_learns_from_validation_and_the_figures_are_from_before() -> None:
    """Photos held out would be lost to the model, or the accuracy be that of photos that it was solved on."""
    train, validation = _photos(30, 1, noise=3.0), _photos(200, 2, noise=3.0)
    fit = fit_head(train, validation, 3)
    before = HeadProblem(train, 3).solve(fit.l2).head
    assert fit.refitted
    assert _accuracy(fit.trained, validation) == _accuracy(before, validation) < _accuracy(fit.head, validation)
    fresh = _photos(2000, 3, noise=3.0)
    assert _accuracy(fit.head, fresh) > _accuracy(before, fresh) + 0.05


def test_the_views_of_a_photo_stay_in_one_fold() -> None:
    """A view of a photo would be judged by a head that has seen another view of it: the weakest strength would win."""
    random = np.random.default_rng(0)
    groups = random.permutation(np.repeat(np.arange(100), 4))
    labels = groups % 7
    folds = fold_of_rows(labels, groups)
    assert all(len(np.unique(folds[groups == photo])) == 1 for photo in range(100))
    photos = np.unique(groups, return_index=True)[1]
    for label in range(7):
        counts = np.bincount(folds[photos][labels[photos] == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert np.bincount(folds[photos]).tolist() == [20] * 5


@pytest.mark.parametrize("views", [1, 2])
def test_photos_that_belong_together_stay_in_one_fold(views: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A patient's photo would be judged by a head that knows the patient: the weakest strength would win."""
    train, validation = (
        replace(_photos(60, seed, views=views), families=np.repeat(np.arange(60) // 4 + first, views))
        for seed, first in ((1, 0), (2, 12))  # three families are in both
    )
    judged: list[tuple[LabelledRows, LabelledRows]] = []

    def heads(rows: LabelledRows, other: LabelledRows, *_: Any) -> Any:
        judged.append((rows, other))
        return iter([])

    monkeypatch.setattr(head_strength, "_heads", heads)
    monkeypatch.setattr(head_strength, "_chosen", lambda *_: None)
    choose_l2(train, validation, 3)
    assert len(judged) == 5
    for rows, other in judged:
        assert rows.families is not None
        assert other.families is not None
        assert not np.isin(other.families, rows.families).any()
    assert sum(len(other) for _, other in judged) == 120 * views


def test_photos_of_few_patients_are_a_small_validation_set() -> None:
    """A strength would be chosen by a dozen patients, as if each of their photos were one more."""
    train = replace(_photos(100, 1), families=np.arange(100))
    for photos_each, how_chosen in ((1, "validation"), (10, "cross-validation")):
        validation = replace(_photos(300, 2), families=100 + np.arange(300) // photos_each)
        assert choose_l2(train, validation, 3).how_chosen == how_chosen


def test_photos_that_training_has_too_do_not_choose_the_strength() -> None:
    """Half of the validation would be copies that a weak penalty knows by heart; without any all stays as it was."""
    train, own = _photos(100, 1, noise=6.0), _photos(250, 2, noise=6.0)
    copies = np.tile(np.arange(100), 3)
    mixed = labelled_rows(
        np.concatenate([own.parts[0][np.arange(250)], train.parts[0][copies]]),
        np.concatenate([own.labels, train.labels[copies]]),
    )
    of_train, of_mixed = np.arange(100), np.concatenate([100 + np.arange(250), copies])
    plain = choose_l2(train, own, 3)
    mended = choose_l2(replace(train, families=of_train), replace(mixed, families=of_mixed), 3)
    assert choose_l2(train, mixed, 3).l2 < plain.l2
    assert (mended.l2, mended.photos, mended.how_chosen) == (plain.l2, 250, "validation")
    few = replace(own, families=np.arange(250) + 40)  # of which 60 are in training
    assert choose_l2(replace(train, families=of_train), few, 3).how_chosen == "cross-validation"


def test_knowing_the_patient_does_not_weaken_the_penalty() -> None:
    """Of photos that are known by their patient, the strength would be that of learning patients by heart."""
    random = np.random.default_rng(0)
    patient = np.repeat(np.arange(40), 5)
    features = random.normal(size=(40, 60))[patient] + 0.1 * random.normal(size=(200, 60))
    labels = (np.arange(40) % 2)[patient]
    rows, none = labelled_rows(features, labels), labelled_rows(features[:0], labels[:0])
    apart = choose_l2(rows, none, 2)
    together = choose_l2(replace(rows, families=patient), replace(none, families=patient[:0]), 2)
    assert apart.l2 < 1
    assert together.l2 > 10


def test_neighbours_are_dealt_out_to_different_folds() -> None:
    """Photos that were taken one after another are alike: whole stretches of them would be left out together."""
    folds = fold_of_rows(np.zeros(500, np.int64), np.arange(500))
    assert all(len(np.unique(folds[start : start + 25])) == 5 for start in range(0, 500, 25))


def test_the_path_ends_when_the_loss_has_long_been_rising() -> None:
    """The weakest strengths take the most passes, and would be tried in vain."""
    path = choose_l2(_photos(60, 1, noise=5.0), _photos(300, 2, noise=5.0), 3).path
    least = int(np.argmin([point.loss for point in path]))
    assert len(path) == least + 1 + RISING_STRENGTHS < len(STRENGTHS)
    assert [point.l2 for point in path] == list(STRENGTHS[: len(path)])


def test_a_clearly_worse_accuracy_is_not_chosen_for_its_loss() -> None:
    """A few rows far from all others rule the loss: strengths that learn nothing would be taken, as on digits."""
    points = [(100.0, 1.9, 0.46, 9.0), (10.0, 2.1, 0.75, 0.5), (1.0, 2.4, 0.76, 0.0)]
    path = tuple(PathPoint(l2, loss, accuracy, gap, 1, 0.0) for l2, loss, accuracy, gap in points)
    assert best_of(path).l2 == 10.0


def test_the_gap_between_accuracies_counts_the_photos_that_differ() -> None:
    """Two strengths that agree on most photos would seem as uncertain as two that do not."""
    hits = np.zeros((3, 100))
    hits[0, :60], hits[1, :56], hits[2, 40:96] = 1, 1, 1
    gaps = accuracy_gaps(hits, np.ones(100))
    assert gaps[0] == 0
    assert gaps[1] == pytest.approx(0.04 / np.sqrt(0.04 * 0.96 / 100))
    assert gaps[2] < 0.5


def test_the_gap_between_accuracies_counts_the_families_that_differ() -> None:
    """The strength would be chosen by two patients, as their twenty photos are as many that differ."""
    hits = np.ones((2, 100))
    hits[1, :20] = 0
    families = np.arange(100) // 10
    gap = accuracy_gaps(hits, np.ones(100), families)[1]
    assert gap == pytest.approx(0.2 / np.sqrt(0.2 * 0.8 / 9))
    assert accuracy_gaps(hits, np.ones(100))[1] > 2 * gap
    assert accuracy_gaps(hits, np.ones(100), np.zeros(100, int)).tolist() == [0, 0]


def test_a_photo_has_its_family_however_many_views_it_has() -> None:
    """The photos of a patient would count one by one where they have several views."""
    train, validation = _photos(60, 1, noise=4.0), _photos(90, 2, noise=4.0, views=2)
    head = fit_head(train, validation, 3, refit=False).trained
    families = np.repeat(np.arange(90) // 3, 2)
    rows = replace(validation, families=families)
    scores = [photo_scores(head, rows.of(part)) for part in np.split(np.arange(180), 2)]
    found = together(scores).families
    assert found is not None
    assert found.tolist() == families[::2].tolist()
    assert together([photo_scores(head, validation)]).families is None


def test_a_photo_counts_once_however_many_views_it_has() -> None:
    """The accuracy's error would shrink with each view, and a photo with more views count for more."""
    photos = _photos(100, 2, noise=4.0)
    train = _photos(60, 1, noise=4.0)
    thrice = photos.of(np.sort(np.concatenate([np.arange(100)] * 3)))
    once, more = (photo_scores(fit_head(train, rows, 3, refit=False).trained, rows) for rows in (photos, thrice))
    np.testing.assert_array_equal(once.hits, more.hits)
    np.testing.assert_allclose(once.losses, more.losses)


def test_a_photo_weighs_as_much_in_the_judgement_as_in_the_solution() -> None:
    """A validation photo would count four times a training photo that has four views, each with a quarter of it."""
    viewed = _photos(60, 1, noise=4.0, views=4)
    train, validation = viewed.weighted(np.full(len(viewed), 0.25)), _photos(90, 2, noise=4.0)
    head = HeadProblem(train, 3).solve(10.0).head
    scores = photo_scores(head, joined(train, validation))
    np.testing.assert_array_equal(scores.weights, np.ones(150))


def test_the_accuracy_of_cross_validation_is_that_on_photos_left_out() -> None:
    """A warning would compare with photos that the head has seen, or with a figure that class weights distort."""
    train, few, many = _photos(150, 1, noise=4.0), _photos(40, 2, noise=4.0), _photos(400, 3, noise=4.0)
    fit = fit_head(train, few, 3, refit=False)
    assert fit.cross_validated_accuracy is not None
    assert abs(fit.cross_validated_accuracy - _accuracy(fit.trained, many)) < 0.12
    assert _accuracy(fit.trained, train) > fit.cross_validated_accuracy + 0.15
    assert fit_head(train, few, 3, class_weights={0: 2.0}).cross_validated_accuracy is None
    assert fit_head(train, many, 3).cross_validated_accuracy is None  # split off: of the same kind, and it costs time


def test_class_weights_choose_the_strength_too() -> None:
    """The strength would be right for the large class while the head is solved for all alike."""
    rows, others = _photos(120, 1, noise=3.0), _photos(300, 2, noise=3.0)
    weights = {0: 100.0, 1: 1e-9, 2: 1e-9}
    fit = fit_head(rows, others, 3, class_weights=weights)
    point = next(point for point in fit.path if point.l2 == fit.l2)
    assert point.accuracy > 0.99  # almost only class 0 counts, and it is predicted always
    assert _accuracy(fit.trained, others) < 0.5  # not weighted


def test_a_class_that_training_lacks_costs_no_strength() -> None:
    """Its rows cannot be right at any strength: their loss would drown that of the others."""
    train, validation = _photos(90, 1, noise=4.0), _photos(300, 2, noise=4.0)
    known = train.of(np.flatnonzero(train.labels != 2))
    strength = choose_l2(known, validation, 3)
    assert strength.photos == 200
    fit = fit_head(known, validation, 3)
    assert 2 not in fit.trained.logits(validation).argmax(axis=1)
    assert 2 in fit.head.logits(validation).argmax(axis=1)  # and are learnt by the refit


def test_the_smallest_sets_are_fitted() -> None:
    """Two photos of each class, or no validation photo at all, would end in an error of NumPy's."""
    tiny = fit_head(_photos(3, 1), _photos(3, 2), 3)
    assert np.isfinite(tiny.head.kernel).all()
    none = fit_head(_photos(60, 1), _photos(0, 2), 3)
    assert not none.refitted
    assert none.how_chosen == "cross-validation"
    single = fit_head(_photos(2, 1, classes=2), _photos(0, 2), 2)
    assert single.path == ()
    assert _accuracy(single.head, _photos(2, 1, classes=2)) == 1.0


def test_the_same_rows_give_the_same_head_bit_for_bit() -> None:
    """A replay would end with another model."""
    first, again = (fit_head(_photos(80, 1), _photos(40, 2), 3, threads=threads) for threads in (1, 2))
    assert first.head.kernel.tobytes() == again.head.kernel.tobytes()
    assert first.head.bias.tobytes() == again.head.bias.tobytes()
    assert first.converged


def test_bad_validation_rows_are_refused() -> None:
    """An accuracy of NaN, or a label that no class has, would be handed over."""
    train, validation = _photos(60, 1), _photos(30, 2)
    with pytest.raises(ValueError, match="not one of the 2 classes"):
        fit_head(train.of(np.flatnonzero(train.labels < 2)), validation, 2, refit=False)
    features, head = np.full((30, 40), np.nan), fit_head(train, validation, 3).head
    with pytest.raises(ValueError, match="not a finite number"):
        photo_scores(head, labelled_rows(features, validation.labels))


class CountedRows:
    """Rows that count how many of them are read."""

    def __init__(self, features: Any) -> None:
        self._features, self.read = features, 0

    @property
    def shape(self) -> tuple[int, ...]:
        """See `RowSource`."""
        return tuple(self._features.shape)

    def __getitem__(self, rows: Any, /) -> Any:
        """See `RowSource`."""
        self.read += len(rows)
        return self._features[rows]


@pytest.mark.slow
def test_millions_of_rows_are_read_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of a hundred and more passes would read a cache larger than memory from the disk: hours."""
    train, validation = (_photos(count, seed, noise=4.0) for count, seed in ((6000, 1), (800, 2)))
    whole = fit_head(train, validation, 3)
    monkeypatch.setattr(head_solver, "HELD_BYTES", 4 * 40 * 1500)  # a quarter of the rows
    monkeypatch.setattr(head_strength, "HELD_BYTES", 4 * 40 * 1500)
    monkeypatch.setattr(head_solver, "DOUBLE_VALUES", 0)
    monkeypatch.setattr(head_rows, "BLOCK_VALUES", 40 * 500)
    counted = CountedRows(train.parts[0][np.arange(6000)])
    large = fit_head(replace(train, parts=(counted,)), validation, 3, threads=2)
    assert large.converged
    assert large.refitted
    assert 0.1 <= large.l2 / whole.l2 <= 10
    assert _accuracy(large.trained, validation) == pytest.approx(_accuracy(whole.trained, validation), abs=0.02)
    optimum = HeadProblem(joined(train, validation), 3).solve(large.l2).head
    np.testing.assert_allclose(large.head.kernel, optimum.kernel, atol=2e-3)
    assert counted.read < 45 * 6000, "passes over all rows"


def test_scores_need_no_memory_for_each_row_and_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of five million training rows in a thousand classes would take 40 GB."""
    monkeypatch.setattr(head_rows, "BLOCK_VALUES", 2**16)
    rows = labelled_rows(np.zeros((10_000, 100), np.float32), np.zeros(10_000, np.int64))
    head = Head(np.zeros((100, 400), np.float32), np.zeros(400, np.float32))
    tracemalloc.start()
    try:
        scores = photo_scores(head, rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert scores.losses == pytest.approx(np.log(400))
    assert peak < 0.4 * 8 * 10_000 * 400, "of all logits"
