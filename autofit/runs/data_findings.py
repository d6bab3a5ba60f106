"""The record of what was found in the data: by `autofit check`, or by a run in its own data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from autofit.protocol.messages import BadImage
from autofit.storage.records import Record

Split = Literal["train", "validation", "test"]


class ClassSize(Record):
    """How many images a class has in each split."""

    name: str
    train: int
    validation: int = 0
    test: int = 0

    @property
    def images(self) -> int:
        """The number of images in all splits together."""
        return self.train + self.validation + self.test


NO_LABEL = "no label"


class FoundImage(Record):
    """An image, its class (or its classes with commas between) and its split; the path is absolute."""

    path: str
    label: str
    split: Split


class ImageGroup(Record):
    """Two or more images that are the same, or look alike.

    Attributes:
        images: the images, in order.
        by_features: whether some of them were found to be alike only by their features.
    """

    images: list[FoundImage]
    by_features: bool = False

    @property
    def crosses_splits(self) -> bool:
        """Whether the model would be judged by an image that it was trained on."""
        return len({image.split for image in self.images}) > 1

    @property
    def crosses_classes(self) -> bool:
        """Whether the images have different classes, so that one of these is wrong."""
        return len({image.label for image in self.images}) > 1


class SharedGroups(Record):
    """Images that belong together, as those of one patient do, in the training and in another split that was given.

    Attributes:
        split: the other split.
        column: the column of the table that says which images belong together.
        values: how many of its values are in both.
        images: how many images of the other split have these.
    """

    split: Split
    column: str
    values: int
    images: int


class OddImage(Record):
    """An image that is unlike others; `what` says in which way."""

    path: str
    what: str


class LabelDoubt(Record):
    """An image whose label may be wrong.

    Attributes:
        image: the image with the label that it has.
        suggested: the most probable class other than its own. If images may have several labels: its labels, with the
            doubtful one added or removed.
        probability: the probability of its own class, by a head and neighbours that were not trained on the image. If
            images may have several labels: that the doubtful one is there, or is not there, as it is now.
        suggested_probability: the probability of what is suggested.
    """

    image: FoundImage
    suggested: str
    probability: float
    suggested_probability: float


class DataFindings(Record):
    """What was found in a data set.

    Attributes:
        root: the folder in which most images are; paths are shown without it.
        images: the number of images.
        classes: the sizes of the classes, in the order of their names.
        understood: how a training would understand the data, in lines.
        empty_classes: classes without images.
        tiny_classes: classes with very few images to train on.
        unreadable: images that cannot be read, and why.
        same: images that are equal byte for byte.
        alike: images that look alike: copies that were resized, saved again or slightly cropped, or photos of a series;
            if features were available, also copies that were mirrored, cropped or brightened.
        shared_groups: groups of images in training and in another split, unless that is split off by chance.
        only_nearly_equal: whether so many images are similar that only nearly equal ones count as alike.
        odd: images of odd sizes, or without content.
        modes: how many images there are of each mode of Pillow.
        doubts: images, the most doubtful labels first; None if wrong labels were not looked for.
        likely_wrong: how many of `doubts`, from the first on, are likely to be labelled wrong.
        labels_note: how wrong labels were looked for, or why they were not.
        copies_note: if wrong labels were not looked for: from which features in the cache copies were found; empty if
            there were none.
    """

    schema_: Literal["autofit/data/1"] = Field("autofit/data/1", alias="schema")
    root: str
    images: int
    classes: list[ClassSize]
    understood: list[str] = Field(default_factory=list)
    empty_classes: list[str] = Field(default_factory=list)
    tiny_classes: list[str] = Field(default_factory=list)
    unreadable: list[BadImage] = Field(default_factory=list)
    same: list[ImageGroup] = Field(default_factory=list)
    alike: list[ImageGroup] = Field(default_factory=list)
    shared_groups: list[SharedGroups] = Field(default_factory=list)
    only_nearly_equal: bool = False
    odd: list[OddImage] = Field(default_factory=list)
    modes: dict[str, int] = Field(default_factory=dict)
    doubts: list[LabelDoubt] | None = None
    likely_wrong: int = 0
    labels_note: str = ""
    copies_note: str = ""

    @property
    def has_problems(self) -> bool:
        """Whether anything should be put right before a training."""
        wrong = (self.empty_classes, self.tiny_classes, self.unreadable, self.same, self.odd, self.shared_groups)
        return any(map(bool, wrong)) or any(self.leaks()) or self.likely_wrong > 0

    def leaks(self) -> Iterator[ImageGroup]:
        """Groups whose images are in several splits or classes."""
        return (group for group in (*self.same, *self.alike) if group.crosses_splits or group.crosses_classes)
