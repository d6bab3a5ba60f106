"""Warnings about the figures of a run, which a reader might miss. Pure.

A difference is compared with its standard error: there is no warning about what chance explains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autofit.config.monitoring import judged_by
from autofit.config.options import Options, strength_of, trains_pretrained
from autofit.config.standard_error import standard_error
from autofit.printable import first_of, printable
from autofit.protocol.messages import FINE_TUNING, StageRecord
from autofit.runs.history import History, accuracy_name, best_epoch, kept_stage, stage_of

CERTAIN_ERRORS = 2.0
"""How many standard errors a difference must have to count: by chance it exceeds two in one of twenty cases."""

FAR_AHEAD = 0.15
"""How much training accuracy must exceed validation accuracy for a warning that the network overfits."""

LEAST_TO_JUDGE = 5
"""With fewer validation images of a class, one image changes the class's accuracy by more than twenty points."""

COARSE_ERROR = 0.02
"""The standard error of the accuracy from which on a validation counts as small."""

SHOWN_CLASSES = 5

SHOWN_SHARE = 0.001
"""The smallest share of the images that shows in an accuracy of three digits."""


@dataclass(frozen=True, slots=True)
class ValidatedRun:
    """The figures of a run that warnings are about; counts are by class number.

    Attributes:
        history: each metric's value at the end of each epoch.
        class_names: the name of each class.
        validation_counts: how many validation images each class has; empty if unknown.
        predicted_counts: how often the best epoch's model predicted each class in validation; empty if unknown.
        best_epoch: the best epoch as the run recorded it; None if unknown.
        stages: the finished stages.
        groups: how many groups the validation images are of, such as patients, if that is known; else 0.
        effective_images: as how many independent images they then count.
        validation_count: how many validation images there are, if the counts by class do not tell that: with several
            labels an image these are of labels; else 0.
        copies: how many validation images are known to be training images too, byte for byte.
        options: the request; None if unknown.
    """

    history: History
    class_names: Sequence[str]
    validation_counts: Sequence[int]
    predicted_counts: Sequence[int]
    best_epoch: int | None = None
    stages: Sequence[StageRecord] = ()
    groups: int = 0
    effective_images: float = 0.0
    validation_count: int = 0
    copies: int = 0
    options: Options | None = None

    @property
    def solved(self) -> StageRecord | None:
        """The stage whose head was solved; None if there was none."""
        return next((stage for stage in self.stages if stage.method == "solved"), None)

    @property
    def images(self) -> int:
        """How many validation images could be read, or, if that is unknown, how many there are."""
        return self.validation_count or sum(self.predicted_counts) or sum(self.validation_counts)

    @property
    def independent_images(self) -> float:
        """As how many independent images the validation images count."""
        return self.effective_images or self.images

    def error_of(self, accuracy: float) -> float:
        """The standard error of an accuracy on the validation images."""
        return standard_error(accuracy, self.independent_images)


def result_warnings(run: ValidatedRun) -> list[str]:
    """The warnings about a run, each a sentence or two; none if the run has no validation."""
    epoch = best_epoch(run.history, run.best_epoch)
    if epoch is None or not run.images or "val_loss" not in run.history:
        return []
    training, validation = _accuracies(run.history, epoch)
    found = [*_copied(run), *_unhelpful_stage(run, epoch), *_unpredicted(run), *_too_small_classes(run)]
    if validation is None:
        return found
    return [
        *_at_chance(run, validation),
        *_far_ahead(run, epoch, training, validation),
        *found,
        *_coarse(run, validation),
    ]


def validation_error(run: ValidatedRun) -> float | None:
    """The standard error of the best epoch's validation accuracy; None if that was not measured."""
    epoch = best_epoch(run.history, run.best_epoch)
    accuracy = None if epoch is None or not run.images else _accuracies(run.history, epoch)[1]
    return None if accuracy is None else run.error_of(accuracy)


def _accuracies(history: History, epoch: int) -> tuple[float | None, float | None]:
    """The accuracies of training and validation at an epoch; None where they were not measured."""
    name = accuracy_name(history) or ""
    values = [history.get(column, []) for column in (name, f"val_{name}")]
    training, validation = (column[epoch] if epoch < len(column) else None for column in values)
    return training, validation


def _at_chance(run: ValidatedRun, accuracy: float) -> list[str]:
    """Warn if the model's answers tell no more about the classes than answers drawn by chance.

    Always giving the most frequent class is such an answer, however often it is right; a model that tells a rare class
    from it knows something, even if it is right less often.
    """
    if len(run.validation_counts) < 2 or accuracy >= 1:  # noqa: PLR2004 - with one class every answer is right
        return []
    most = max(run.validation_counts)
    chance = most / sum(run.validation_counts)
    if accuracy > chance + CERTAIN_ERRORS * run.error_of(accuracy) or _tells_classes_apart(run, accuracy):
        return []
    name = printable(run.class_names[list(run.validation_counts).index(most)])
    found = f"accuracy {accuracy:.3f}, and always answering {name!r} gives {chance:.3f}"
    then = "" if run.solved else ", then at the learning rate"
    return [f"Validation is at chance: {found}. Look at the images and their classes{then}."]


def _tells_classes_apart(run: ValidatedRun, accuracy: float) -> bool:
    """Whether a model is right more often than its own answers would be if they were dealt out by chance.

    This is the test of Cohen's kappa, with the standard error that it has by chance (Fleiss, Cohen and Everitt, Large
    Sample Standard Errors of Kappa and Weighted Kappa, 1969), and a correction for continuity of half an image. With
    two classes kappa is above 0 just where the mean recall is above one half. It needs only how often each class was
    there and was predicted. False if a single class was predicted, or it is unknown which.
    """
    answers = sum(run.predicted_counts)
    if sum(count > 0 for count in run.predicted_counts) < 2:  # noqa: PLR2004 - one answer to all tells nothing
        return False
    images = sum(run.validation_counts)
    pairs = zip(run.validation_counts, run.predicted_counts, strict=False)
    shares = [(there / images, predicted / answers) for there, predicted in pairs]
    agreeing = sum(there * predicted for there, predicted in shares)
    spread = sum(there * predicted * (there + predicted) for there, predicted in shares)
    error = math.sqrt(max(agreeing + agreeing**2 - spread, 0.0) / run.independent_images)
    return accuracy - 0.5 / run.images > agreeing + CERTAIN_ERRORS * error


def _far_ahead(run: ValidatedRun, epoch: int, training: float | None, validation: float) -> list[str]:
    """Warn if the training accuracy of the best epoch is far above that of validation.

    It is the mean over the epoch, with its augmentation and dropout: that of the model itself is rather higher. A head
    that is solved on few images predicts nearly all of them right, even if it is good on other images. For such a head
    the accuracy on training images that were left out is compared instead.
    """
    kept = kept_stage(run.history, epoch, run.stages)
    if kept is not None and kept.method == "solved":
        return _behind_left_out(run, kept, validation)
    if training is None or not _is_far(training, validation, run):
        return []
    figures = f"accuracy {training:.3f} against {validation:.3f}"
    helps = _what_helps(run.options, is_tuned=stage_of(run.stages, epoch) in FINE_TUNING)
    return [f"Training is far ahead of validation: {figures}; {helps} would help."]


def _what_helps(options: Options | None, *, is_tuned: bool) -> str:
    """What would help against overfitting, of what the request does not have yet and could have.

    A time budget may have decided for fine-tuning, which is augmented, without any request for it.
    """
    tunes = is_tuned or (options is not None and bool(options.fine_tune_epochs))
    is_augmented = options is not None and (strength_of(options) != "none" or (options.augment == "auto" and tunes))
    trains_many = options is None or trains_pretrained(options) or tunes
    also = [*([] if is_augmented else ["augment='light'"]), *(["fewer layers that train"] if trains_many else [])]
    return " or ".join([", ".join(["more images", *also[:-1]]), *also[-1:]])


def _behind_left_out(run: ValidatedRun, solved: StageRecord, validation: float) -> list[str]:
    """Warn if a solved head was far better on training images that were left out than in validation."""
    expected = solved.cross_validated_accuracy
    if expected is None or not _is_far(expected, validation, run):
        return []
    figures = f"accuracy {validation:.3f} against {expected:.3f}"
    why = "the validation images are of another kind than those for training, or these are many of the same things"
    what = "cross-validation" if solved.chosen_by == "cross-validation" else "training images that were left out"
    return [f"Validation is far behind {what}: {figures}; {why}."]


def _is_far(accuracy: float, validation: float, run: ValidatedRun) -> bool:
    ahead = accuracy - validation
    return ahead >= FAR_AHEAD and ahead >= CERTAIN_ERRORS * run.error_of(validation)


def _copied(run: ValidatedRun) -> list[str]:
    """Warn of validation images that the model was trained on, unless they are too few to change a shown accuracy.

    There may be more of them: of larger files those elsewhere are not known to be equal, and not all are recorded.
    """
    if run.copies < SHOWN_SHARE * run.images or not run.copies:
        return []
    are = f"{run.copies:,} of {run.images:,} validation images {'is' if run.copies == 1 else 'are'}"
    helps = "remove the copies that `autofit check` names, or keep them together by the group_column of a table"
    return [f"At least {are} among the training images too, byte for byte, so the figures are too good: {helps}."]


def _unhelpful_stage(run: ValidatedRun, epoch: int) -> list[str]:
    """Warn if fine-tuning is finished and the best epoch is still that of the head."""
    names = [stage.name for stage in run.stages]
    if names[-1:] != ["fine-tune"] or not run.stages[-1].epochs or stage_of(run.stages, epoch) == "fine-tune":
        return []
    by = judged_by(run.options.monitor if run.options else "auto", printable(run.stages[-1].chosen_by))
    return [f"Fine-tuning gave no better model {by}: the one with the head alone was kept."]


def _unpredicted(run: ValidatedRun) -> list[str]:
    """Warn of classes with validation images that were never predicted."""
    pairs = zip(run.class_names, run.validation_counts, run.predicted_counts, strict=False)
    names = [name for name, there, predicted in pairs if there and not predicted]
    return [f"Never predicted in validation: {_listed(names)}."] if names else []


def _too_small_classes(run: ValidatedRun) -> list[str]:
    """Warn of classes with too few validation images to judge them by."""
    pairs = zip(run.class_names, run.validation_counts, strict=False)
    names = [f"{printable(name)} ({count})" for name, count in pairs if count < LEAST_TO_JUDGE]
    if not names:
        return []
    return [f"Too few validation images to judge a class by, under {LEAST_TO_JUDGE}: {_listed(names)}."]


def _coarse(run: ValidatedRun, accuracy: float) -> list[str]:
    """Warn if validation is so small that only large differences in accuracy mean anything."""
    error = run.error_of(accuracy)
    if error < COARSE_ERROR:
        return []
    points = math.ceil(100 * CERTAIN_ERRORS * error)
    images = "image" if run.images == 1 else "images"
    groups = f" of {run.groups:,} group{'' if run.groups == 1 else 's'}" if run.groups else ""
    means = f"a difference in accuracy of less than {points} points means nothing"
    return [f"Validation has {run.images:,} {images}{groups}: {means}."]


def _listed(names: Sequence[str]) -> str:
    return first_of(list(map(printable, names)), SHOWN_CLASSES)
