"""Recognises folders that describe images, such as masks, by their names and by the names of their files."""

# ruff: noqa: PTH118 - paths are str in this package

from __future__ import annotations

import os
import re

from autofit.dataset.flat_images import TEXT_NAMES
from autofit.dataset.folder import is_image, visible
from autofit.dataset.inside import look

IMAGE_NAMES = frozenset({"images", "image", "imgs", "img", "jpegimages", "photos", "pictures"})
_ORIGINAL_NAMES = frozenset(
    {"original", "originals", "originalimages", "input", "inputs", "raw", "rgb", "scans", "slices"}
)
_MASK_NAMES = frozenset(
    {
        *("masks", "mask", "trimaps", "segmentation", "segmentations", "segmentationclass", "segmentationobject"),
        *("groundtruth", "groundtruths", "gt", "label"),
    }
)
_MASK_WORDS = frozenset({"mask", "masks", "gt", "trimaps", "label", "labels", "annotation", "annotations", "manual"})
_MASK_PARTS = ("groundtruth", "segmentation")
_VERSION_WORDS = frozenset({"thumb", "thumbs", "thumbnail", "thumbnails", "preview", "previews", "small", "resized"})

_MASK_ENDING = re.compile(
    r"[ ._-]?(masks?|segmentation|superpixels|gt|ground[ _-]?truth|manual|label|annotated)[_ ]?\d*$"
)
"""What the name of a mask has after that of its image: `a_mask.png` beside `a.jpg`."""

_MASK_BEGINNING = re.compile(r"^(masks?|segmentation|gt|ground[ _-]?truth)[ ._-]")
"""What it has before it: `mask_a.png`."""

MOST_LOOKED_IN = 64
SAME_SHARE = 0.8


def describes_images(name: str) -> bool:
    """Whether a folder with this name holds descriptions of images, such as masks, instead of images to train on."""
    return _bare(name) in TEXT_NAMES | _MASK_NAMES


def may_hold_masks(name: str) -> bool:
    """Whether the name of a folder contains a word for masks; it may also be a class, such as faces with a mask."""
    return not _MASK_WORDS.isdisjoint(_words(name)) or any(part in _bare(name) for part in _MASK_PARTS)


def may_hold_versions(name: str) -> bool:
    """Whether the name of a folder contains a word for masks or for smaller versions of images."""
    return may_hold_masks(name) or describes_images(name) or not _VERSION_WORDS.isdisjoint(_words(name))


def holds_originals(name: str) -> bool:
    """Whether a folder's name, which may be a path, is one of images as they were taken."""
    return _bare(name.rpartition("/")[2]) in IMAGE_NAMES | _ORIGINAL_NAMES


def image_of_mask(stem: str) -> str | None:
    """The name of the image to which a mask belongs, both without suffix; None if the name is not that of a mask."""
    image = _MASK_ENDING.sub("", _MASK_BEGINNING.sub("", stem.lower()))
    return image if image and image != stem.lower() else None


def are_masks_of(folder: str, masks: str, images: str) -> bool:
    """Whether most files in the folder `masks` are named like one in `images`; both are in `folder`.

    Names that are numbers count only if the names of both folders leave no doubt: images of any classes may be numbered
    alike, such as faces with a `mask` and faces without.
    """
    stems, described = (_stems(os.path.join(folder, name)) for name in (masks, images))
    is_plain = describes_images(masks) and _bare(images) in IMAGE_NAMES | _ORIGINAL_NAMES
    counted = stems if is_plain else {stem for stem in stems if not stem.isdecimal()}
    same = sum(stem in described or image_of_mask(stem) in described for stem in counted)
    return bool(counted) and same >= SAME_SHARE * len(stems)


def holds_images(folder: str) -> bool:
    """Whether there are images in a folder, at any depth; if it has very many subfolders, only some are searched."""
    waiting, looked_in = [folder], 0
    while waiting and looked_in < MOST_LOOKED_IN:
        here = waiting.pop()
        inside = look(here, stops_at_image=True)
        if inside.has_images:
            return True
        looked_in += 1
        waiting += [os.path.join(here, name) for name in sorted(inside.folders)]
    return False


def _stems(folder: str) -> set[str]:
    return {entry.name.rpartition(".")[0].lower() for entry in visible(folder) if is_image(entry)}


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def _bare(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())
