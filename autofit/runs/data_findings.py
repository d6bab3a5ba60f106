"""What was found in the data: the record of `autofit check`, and of what a run knows of its own data."""

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
        """In all splits together."""
        return self.train + self.validation + self.test


NO_LABEL = "no label"


class FoundImage(Record):
    """An image, its class (or its classes with commas between) and its split; the path is absolute."""

    path: str
    label: str
    split: Split


class ImageGroup(Record):
    """Two and more images that are the same, or look alike.

    Attributes:
        images: in order.
        by_features: whether some of them were found to be alike by their features alone.
    """

    images: list[FoundImage]
    by_features: bool = False

    @property
    def crosses_splits(self) -> bool:
        """Whether the model would be judged by an image that it was trained on."""
        return len({image.split for image in self.images}) > 1

    @property
    def crosses_classes(self) -> bool:
        """Whether they have different classes: one of them is wrong."""
        return len({image.label for image in self.images}) > 1


class OddImage(Record):
    """An image that is unlike others, and in what."""

    path: str
    what: str


class LabelDoubt(Record):
    """An image whose class is to be doubted.

    Attributes:
        image: with the class that it has.
        suggested: the class that suits it better than all others but its own; of several labels an image, those that it
            would have with one more, or without one.
        probability: of its own class, by a head and neighbours that have not seen it; of several labels an image, that
            the one in question is told, or not told, as it is.
        suggested_probability: of the suggested one.
    """

    image: FoundImage
    suggested: str
    probability: float
    suggested_probability: float


class DataFindings(Record):
    """What was found in a data set.

    Attributes:
        root: the folder that most of them are in; paths are shown without it.
        images: how many there are.
        classes: their sizes, in the order of the names.
        understood: what training would understand of the data, a line each.
        empty_classes: classes without images.
        tiny_classes: classes with very few images to train on.
        unreadable: images that cannot be read, and why.
        same: images that are equal byte for byte.
        alike: images that look alike: resized, saved again or a little cropped copies, or photos of a series; where
            features were at hand, also mirrored, cropped or brightened ones.
        only_nearly_equal: whether so many images are similar that only nearly equal ones were told as alike.
        odd: images of odd sizes, or that show nothing.
        modes: how many images there are of each mode of Pillow.
        doubts: images in the order in which their classes are to be doubted; None if that was not looked for.
        likely_wrong: how many of them, from the first on, are likely to be labelled wrong.
        labels_note: how the doubts were found, or why not.
        copies_note: where these were not looked for, by which features in the cache copies were; empty without any.
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
        wrong = (self.empty_classes, self.tiny_classes, self.unreadable, self.same, self.odd)
        return any(map(bool, wrong)) or any(self.leaks()) or self.likely_wrong > 0

    def leaks(self) -> Iterator[ImageGroup]:
        """Groups whose images are in several splits or classes."""
        return (group for group in (*self.same, *self.alike) if group.crosses_splits or group.crosses_classes)
