"""What is said of images that belong together: how a split keeps them so, and where one divides them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from autofit.dataset.groups import Grouping, SharedGroups
from autofit.dataset.split import Classes
from autofit.errors import UserError
from autofit.printable import first_of, printable

LEAST_VALUES = 3
"""Of a column that was not asked for: one of fewer values, as of left and right, is rather a property of images."""
SHOWN_CLASSES = 5
FAR_SHARE = 0.05

Sets = Sequence[Collection[str]]


def split_notes(grouping: Grouping, sets: Sets, training: Classes, validating: Classes, share: float) -> Iterator[str]:
    """What to know of a split that kept groups together, a line each.

    Args:
        grouping: the groups.
        sets: the labels of each class: its own name, or those of a set.
        training: what the split made.
        validating: likewise.
        share: that was asked for.

    Raises:
        UserError: nothing could be set apart.
    """
    numbers = _of_labels(grouping, sets, training)
    if not any(validating):
        raise UserError(
            f"no image can be set apart for validation, as each value of {_shown(grouping)} has all images of a class "
            f"({_counts(numbers)}): name another group_column, or give validation= images of its own, or 0"
        )
    counts = [sum(map(len, side)) for side in (training, validating)]
    found = counts[1] / sum(counts)
    if abs(found - share) > FAR_SHARE:
        yield (
            f"{found:.0%} of the images are for validation in place of {share:.0%}: no value of {_shown(grouping)} is "
            "divided"
        )
    held = {label for labels, paths in zip(sets, validating, strict=True) if paths for label in labels}
    lacking = {label: each for label, each in numbers.items() if label not in held and each[0] > 1}
    if lacking:
        yield (
            f"warning: not validated, for want of values of {_shown(grouping)}: {_counts(lacking)}; give images of more"
        )


def groups_note(grouping: Grouping, training: Classes, validating: Classes, *, is_split_here: bool) -> str:
    """One line on the groups of a training and its validation; a split that is given may divide them."""
    both = [*training, *validating]
    values, images = grouping.values(both), sum(map(len, both))
    bare = images - sum(path in grouping.value_of for paths in both for path in paths)
    if len(values) == images - bare:
        return f"warning: no two images have the same {_shown(grouping)}: there is nothing to keep together"
    alone = f"; {bare:,} images without a value are on their own each" if bare else ""
    held = grouping.values(validating)
    of_held = f", {len(held):,} of them in validation" if held else ""
    are = "are kept" if is_split_here else "belong"
    return f"images with the same {_shown(grouping)} {are} together: {len(values):,} values{of_held}{alone}"


def shared_groups(grouping: Grouping, training: Classes, others: Mapping[str, Classes]) -> list[SharedGroups]:
    """The splits that share groups with the training, of those in `others` by name."""
    known = grouping.values(training)
    if not grouping.is_asked and len(known.union(*map(grouping.values, others.values()))) < LEAST_VALUES:
        return []
    found = []
    for split, classes in others.items():
        both = known & grouping.values(classes)
        images = sum(grouping.value_of.get(path) in both for paths in classes for path in paths)
        found += [SharedGroups(split, grouping.column, len(both), images)] if both else []
    return found


def shared_note(shared: SharedGroups, *, is_split_here: bool) -> str:
    """A line on a split that shares groups with the training.

    Args:
        shared: the groups.
        is_split_here: whether it is split off here, and would keep groups together if that was asked for.
    """
    split, column, values, images = shared
    remedy = f"take images of other values for {split}"
    if is_split_here:
        remedy = f"group_column={column!r} keeps images of one value on one side"
    are = "is" if values == 1 else "are"
    return (
        f"warning: {_values(values)} of {printable(repr(column))} {are} in training and in {split} ({images:,} of its "
        f"images), which may look better than it is: {remedy}"
    )


def _of_labels(grouping: Grouping, sets: Sets, classes: Classes) -> dict[str, tuple[int, int]]:
    """How many images and groups each label has."""
    images, groups = Counter[str](), dict[str, set[str]]()
    for labels, paths in zip(sets, classes, strict=True):
        for label in labels:
            images[label] += len(paths)
            groups.setdefault(label, set()).update(grouping.value_of.get(path, f"\0{path}") for path in paths)
    return {label: (images[label], len(groups[label])) for label in sorted(groups)}


def _counts(numbers: Mapping[str, tuple[int, int]]) -> str:
    return first_of(
        [
            f"{printable(repr(label))} ({images:,} images of {_values(groups)})"
            for label, (images, groups) in numbers.items()
        ],
        SHOWN_CLASSES,
    )


def _values(count: int) -> str:
    return f"{count:,} value{'' if count == 1 else 's'}"


def _shown(grouping: Grouping) -> str:
    return printable(repr(grouping.column))
