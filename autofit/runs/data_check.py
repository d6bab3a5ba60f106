"""Finds problems in the images of a data set, from a survey of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from autofit.dataset import ImageIndex
from autofit.errors import UserError
from autofit.protocol.messages import BadImage
from autofit.runs.data_findings import (
    NO_LABEL,
    ClassSize,
    DataFindings,
    FoundImage,
    ImageGroup,
    LabelDoubt,
    OddImage,
    SharedGroups,
    Split,
)
from autofit.runs.run_record import DataRecord, listed_images
from autofit.storage.run_directory import RunDirectory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from autofit.dataset.label_doubts import Doubts
    from autofit.input.image_survey import Survey

TINY_CLASS = 10
"""A class with fewer training images than this can hardly be learnt."""
SMALL_SIDE_PIXELS = 32
"""The smallest side of an image that the networks of `keras.applications` take."""
LONG_SIDES = 4.0
"""Images are stretched to the size of the training; with sides of a larger ratio the content is much distorted."""


class AllImages:
    """The images of all splits, numbered in this order: training, validation, test.

    Args:
        index: the images of the data set.
    """

    def __init__(self, index: ImageIndex) -> None:
        self._index = index
        self.paths = [index.path(number) for number in range(len(index.paths))]
        self.paths += [index.test_path(number) for number in range(index.test_count)]
        self.labels = [*index.labels, *index.test_labels]

    def __getitem__(self, number: int) -> FoundImage:
        index, names = self._index, self._index.class_names
        label = ", ".join(names[one] for one in index.classes_of(self.labels[number]))
        return FoundImage(path=self.paths[number], label=label, split=self.split(number))

    @property
    def are_sets(self) -> bool:
        """Whether an image may have any number of labels."""
        return self._index.is_multi_label

    def with_other(self, number: int, label: int) -> str:
        """The labels of an image with `label` added, or removed if the image has it."""
        told = set(self._index.classes_of(self.labels[number])) ^ {label}
        return ", ".join(self._index.class_names[one] for one in sorted(told)) or NO_LABEL

    def once(self, findings: DataFindings) -> list[int]:
        """The readable images, with only the first one of each group of equal or similar images.

        A head that was trained on a copy of an image, with the same wrong label, would not doubt that label.
        """
        copies = {image.path for group in (*findings.same, *findings.alike) for image in group.images[1:]}
        left_out = copies | {image.path for image in findings.unreadable}
        return [number for number, path in enumerate(self.paths) if path not in left_out]

    def split(self, number: int) -> Split:
        """The split of an image."""
        if number >= len(self._index.paths):
            return "test"
        return "train" if number < self._index.train_count else "validation"

    def groups(self, numbers: Sequence[Sequence[int]], by_features: Container[int] = ()) -> list[ImageGroup]:
        """Groups of images: first those across several splits, then those across several classes, then the others.

        Args:
            numbers: the numbers of the images of each group.
            by_features: the numbers of the images that were found by their features.
        """
        found = [
            ImageGroup(
                images=[self[number] for number in group], by_features=any(number in by_features for number in group)
            )
            for group in numbers
        ]
        return sorted(found, key=lambda group: (not group.crosses_splits, not group.crosses_classes))


def class_sizes(index: ImageIndex) -> list[ClassSize]:
    """How many images each class has in each split."""
    tested = Counter(one for label in index.test_labels for one in index.classes_of(label))
    counts = zip(index.class_names, index.class_counts(), index.validation_counts(), strict=True)
    return [
        ClassSize(name=name, train=train, validation=validation, test=tested[number])
        for number, (name, train, validation) in enumerate(counts)
    ]


def known_findings(index: ImageIndex) -> DataFindings:
    """What is known without opening an image: the sizes of the classes."""
    sizes = class_sizes(index)
    return DataFindings(
        root=index.root,
        images=len(index.paths) + index.test_count,
        classes=sizes,
        empty_classes=list(index.empty_classes),
        tiny_classes=[size.name for size in sizes if size.train < TINY_CLASS],
        shared_groups=[SharedGroups.model_validate(shared._asdict()) for shared in index.shared_groups],
    )


def run_findings(files: RunDirectory, data: DataRecord) -> DataFindings | None:
    """What a run knows of its own data, without unreadable images; None if its list of images is damaged."""
    from autofit.dataset.duplicates import noted_equal_images  # noqa: PLC0415 - loads NumPy

    try:
        index = listed_images(files, data)
    except UserError:
        return None
    index = replace(index, empty_classes=tuple(data.empty_classes))
    same = noted_equal_images(files.equal_images, len(index.paths))
    return known_findings(index).model_copy(update={"same": AllImages(index).groups(same)})


def with_survey(
    findings: DataFindings, images: AllImages, seen: Survey, show: Callable[[float], None] = lambda _: None
) -> DataFindings:
    """Add what the survey of all images has found: unreadable, equal, similar and odd images."""
    from autofit.dataset.duplicates import equal_groups, linked_groups, representatives  # noqa: PLC0415 - loads NumPy
    from autofit.dataset.near_pairs import near_pairs  # noqa: PLC0415

    same = equal_groups(seen.identities)
    compared = representatives(len(images.paths), same)
    compared = compared[~seen.looks.flat[compared]]
    near = near_pairs(seen.looks.hashes[compared], seen.looks.thumbnails[compared], show)
    alike = linked_groups(len(images.paths), compared[near.pairs])
    bad = [BadImage(path=images.paths[number], reason=why) for number, why in sorted(seen.unreadable.items())]
    return findings.model_copy(
        update={
            "understood": [*findings.understood, *filter(None, [seen.note])],
            "unreadable": bad,
            "same": images.groups(same),
            "alike": images.groups(alike),
            "only_nearly_equal": near.is_crowded,
            "odd": list(_odd_images(images, seen)),
            "modes": dict(Counter(filter(None, seen.modes)).most_common()),
        }
    )


def with_alike_features(findings: DataFindings, images: AllImages, pairs: NDArray[np.int64]) -> DataFindings:
    """Add pairs of images with nearly equal features, int64 (k, 2), to the groups of images that look alike."""
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    from autofit.dataset.duplicates import linked_groups  # noqa: PLC0415 - loads NumPy

    numbers = {path: number for number, path in reversed([*enumerate(images.paths)])}
    known = [[numbers[image.path] for image in group.images] for group in findings.alike]
    links = [*pairs.tolist(), *([group[0], other] for group in known for other in group[1:])]
    groups = linked_groups(len(images.paths), np.array(links, np.int64).reshape(-1, 2))
    return findings.model_copy(update={"alike": images.groups(groups, by_features={*pairs.ravel().tolist()})})


def with_doubts(findings: DataFindings, images: AllImages, found: Doubts, names: Sequence[str]) -> DataFindings:
    """Add the images whose labels are doubtful, the most doubtful first."""

    def instead(number: int, suggested: int) -> str:
        return names[suggested] if not images.are_sets else images.with_other(number, suggested)

    columns = (found.images, found.suggested, found.own, found.of_suggested)
    ordered = [
        LabelDoubt(
            image=images[number], suggested=instead(number, suggested), probability=own, suggested_probability=other
        )
        for number, suggested, own, other in zip(*(column.tolist() for column in columns), strict=True)
    ]
    return findings.model_copy(update={"doubts": ordered, "likely_wrong": found.count})


def _odd_images(images: AllImages, seen: Survey) -> Iterator[OddImage]:
    """Images of odd sizes, or without content; a small or long image is not odd if most images are."""
    cut_off, known = set(seen.cut_off), seen.sizes[seen.sizes.min(axis=1) > 0]
    usual_side, usual_ratio = (median(each) if len(known) else 0 for each in (known.min(axis=1), _ratios(known)))
    for number, (path, (width, height)) in enumerate(zip(images.paths, seen.sizes.tolist(), strict=True)):
        if number in seen.unreadable:
            continue
        words = ["shows one colour only"] if seen.looks.flat[number] else []
        words += ["its end is missing"] if number in cut_off else []
        if 0 < min(width, height) < SMALL_SIDE_PIXELS <= usual_side:
            words.append(f"only {width} x {height} pixels")
        if max(width, height) > LONG_SIDES * min(width, height) > 0 and usual_ratio <= LONG_SIDES:
            words.append(f"very long: {width} x {height} pixels")
        if words:
            yield OddImage(path=path, what=", ".join(words))


def _ratios(sizes: NDArray[np.int32]) -> NDArray[np.float64]:
    """The longer side of each image divided by the shorter one."""
    ratios: NDArray[np.float64] = sizes.max(axis=1) / sizes.min(axis=1)
    return ratios
