"""Lines about what was found in the data: classes without images, with one image, with nearly equal names. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from autofit.dataset.folder import HEIF_REMEDY, HEIF_SUFFIXES
from autofit.dataset.found import Found, kinds_text
from autofit.dataset.labels import look_alike_warning, unlabelled_warning
from autofit.dataset.lower_folders import lower_level, numbered_parts
from autofit.dataset.mask_files import class_of_all, masks_among, versions_below, versions_in_classes
from autofit.printable import first_of, printable

SHOWN_CLASSES = 12

HEIF_KINDS = frozenset(f".{suffix}" for suffix in HEIF_SUFFIXES)


def notes_of(found: Found) -> tuple[str, ...]:
    """Lines about how the data was understood and what was found in it."""
    single = [name for name, paths in found.classes.items() if len(paths) == 1 and not found.label_names]
    lines = [
        *found.notes,
        look_alike_warning([*(found.label_names or found.classes), *found.empty_classes]),
        unlabelled_warning(found.label_names or found.classes),
        without_images(found),
        skipped_photos(found.skipped),
        lower_level(found.classes, found.subfolders.keys()),
        None if found.label_names else numbered_parts(found.classes),
        masks_among(found.classes),
        versions_below(found.classes),
        *(() if found.label_names else (versions_in_classes(found.classes), class_of_all(found.classes))),
        f"one image only, which is for training: {named(single)}" if single else None,
    ]
    return tuple(line for line in lines if line)


def without_images(found: Found) -> str | None:
    """One line on class folders without images, with what they hold instead; None if there are none."""
    if not found.empty_classes:
        return None
    kinds = {name: found.empty_kinds.get(name, {}) for name in found.empty_classes}
    shown = [f"{name!r} ({kinds_text(held) if held else 'empty'})" for name, held in kinds.items()]
    remedy = ""
    if any(HEIF_KINDS & held.keys() for held in kinds.values()):
        remedy = f"; {HEIF_REMEDY}"
    return f"without images: {listed(shown)}{remedy}"


def skipped_photos(skipped: Mapping[str, int]) -> str | None:
    """One line on photos that were skipped because a package is missing; None if there are none."""
    count = sum(skipped.get(kind, 0) for kind in HEIF_KINDS)
    return f"{count} HEIC photos are skipped: {HEIF_REMEDY}" if count else None


def classes_text(names: Collection[str], counts: Collection[int], columns: int) -> str:
    """Classes with their numbers of images, such as `cats (120), dogs (98) and 12 more`.

    The text has at most `columns` characters, unless a single class is longer.
    """
    texts = [f"{printable(name)} ({count:,})" for name, count in zip(names, counts, strict=True)]
    lines = (first_of(texts, most) for most in range(min(len(texts), SHOWN_CLASSES), 0, -1))
    return next((line for line in lines if len(line) <= columns), first_of(texts, 1))


def named(names: Collection[str]) -> str:
    """Class names separated by commas; only the first of many."""
    return listed([repr(name) for name in names])


def listed(texts: Collection[str]) -> str:
    """Texts separated by commas; only the first of many."""
    return first_of(texts, SHOWN_CLASSES)
