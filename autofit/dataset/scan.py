"""Turns the data that a user gives into an ImageIndex."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from autofit.dataset.asked import Asked, refuse_columns, refuse_groups_and_weights
from autofit.dataset.class_level import refuse_same_inside
from autofit.dataset.findings import notes_of, without_images
from autofit.dataset.flat_images import contained, tables_in
from autofit.dataset.folder import find_images
from autofit.dataset.found import Found, Progress
from autofit.dataset.gather import gather
from autofit.dataset.given_lists import refuse_bytes, refuse_pairs
from autofit.dataset.group_findings import groups_note, shared_groups, shared_note, split_notes
from autofit.dataset.group_split import split_groups
from autofit.dataset.groups import Grouping
from autofit.dataset.held_out import TABLE_NEEDED, HeldOut, Source, held_out_images, require_apart
from autofit.dataset.index import ImageIndex
from autofit.dataset.inside import shown
from autofit.dataset.joined_lists import PATHS, have_split
from autofit.dataset.label_set_split import split_label_sets
from autofit.dataset.label_sets import names_of_set, notes_on_sets, numbers_of_sets, require_learnable
from autofit.dataset.labels import held_out_warning
from autofit.dataset.layout import find_layout
from autofit.dataset.listing import Frame, Listing, from_frame, from_lists
from autofit.dataset.lower_folders import past_wrappers, refuse_copies, refuse_splits_inside
from autofit.dataset.mixed_splits import held_out_folders, mixed_files, mixed_folders
from autofit.dataset.sample_weights import weights_note
from autofit.dataset.sources import existing_source, leads_to_folder
from autofit.dataset.split import Classes, in_order, stratified_split
from autofit.dataset.split_lists import unfollowed_lists
from autofit.dataset.split_words import split_role
from autofit.dataset.table_files import from_file
from autofit.errors import UserError
from autofit.printable import printable

Data = str | os.PathLike[str] | Iterable[object]
PLAIN = Asked()


def scan(
    data: Data,
    labels: Iterable[object] | None = None,
    *,
    validation: float | HeldOut = 0.2,
    test: HeldOut | None = None,
    asked: Asked = PLAIN,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> ImageIndex:
    """Find all images and their classes, and split them into training, validation and test. No image is opened.

    Args:
        data: a folder with one subfolder per class, or with splits that have them (`layout.py`); a CSV or JSON file or
            a DataFrame with a column of paths, one of labels and perhaps one of splits (`columns.py`); a list or array
            of paths. `~` is expanded.
        labels: text or whole numbers, one for each path of a list.
        validation: a share from 0 up to under 1, taken from each class; or a folder, table or DataFrame. Where the
            data itself has images for validation, any share above 0 means these, and 0 leaves them out.
        test: a folder, table or DataFrame. Default: the images for the test that the data has, if any.
        asked: the options about tables.
        seed: the seed of the split.
        on_progress: called with the number of images so far, every few thousand.

    Raises:
        UserError: an argument cannot be used; the message names it and says what to do.
    """
    share = _share(validation)
    apart = None if isinstance(validation, int | float) else validation
    progress = Progress(on_progress)
    source = _read(data, labels, [held for held in (apart, test) if held is not None], asked, progress)
    if not asked.multi_label:
        _require_trainable(source.found, source.name, source.root if source.is_folder else "")
    training: Classes = list(source.found.classes.values())
    apart_from_training = held_out_images("validation", source, apart, asked, progress)
    testing = held_out_images("test", source, test, asked, progress) or []
    validating = (apart_from_training or []) if share != 0 else []
    require_apart({"training": training, "validation": validating, "test": testing}, source.root)
    is_split_here = bool(share) and apart_from_training is None
    if is_split_here:
        training, validating = _split(training, source.found, share or 0.0, seed)
    if source.found.grouping is not None:
        held_out = {"validation": validating, "test": testing}
        _find_shared_groups(source.found, source.found.grouping, training, held_out, is_split_here=is_split_here)
    if source.found.weighting is not None:
        source.found.notes += (weights_note(source.found.weighting, training, validating),)
    index = _index(source, training, validating, testing)
    if asked.multi_label:
        index = _with_label_sets(index, source.found)
    return replace(index, keeps_validation=apart_from_training is not None, separator=source.found.separator)


def _split(classes: Classes, found: Found, share: float, seed: int) -> tuple[Classes, Classes]:
    keeps_groups = found.grouping is not None and found.grouping.is_asked
    if not found.label_names and not keeps_groups:
        return stratified_split(classes, share, seed)
    sets = [frozenset(names_of_set(text) if found.label_names else [text]) for text in found.classes][: len(classes)]
    if found.grouping is None or not keeps_groups:
        return split_label_sets(classes, sets, share, seed)
    sides = split_groups(classes, sets, found.grouping.value_of, share, seed)
    found.notes += tuple(split_notes(found.grouping, sets, *sides, share))
    return sides


def _find_shared_groups(
    found: Found, grouping: Grouping, training: Classes, held_out: Mapping[str, Classes], *, is_split_here: bool
) -> None:
    """Say what is known of the groups, and keep those that a split which was given has in common with the training."""
    if grouping.is_asked:
        found.notes += (groups_note(grouping, training, held_out["validation"], is_split_here=is_split_here),)
    for shared in shared_groups(grouping, training, held_out):
        is_made_here = is_split_here and shared.split == "validation"
        found.notes += (shared_note(shared, is_split_here=is_made_here),)
        found.shared_groups += () if is_made_here else (shared,)


def _with_label_sets(index: ImageIndex, found: Found) -> ImageIndex:
    """An index whose class numbers are those of sets of labels, with the labels as its classes.

    Raises:
        UserError: there are no images, or nothing to learn from them.
    """
    names, texts = found.label_names, list(found.classes)
    used = [texts[number] for number in sorted({*index.labels, *index.test_labels})]
    if not used:
        raise UserError("the data holds no images: give images of two labels or more")
    sets = numbers_of_sets(used, names)
    number_of = {numbers: number for number, numbers in enumerate(sets)}
    of_text = {text: number_of[numbers_of_sets([text], names)[0]] for text in used}
    labels, test_labels = (
        array("i", (of_text[texts[number]] for number in numbers)) for numbers in (index.labels, index.test_labels)
    )
    trained = labels[: index.train_count]
    found_index = replace(index, labels=labels, test_labels=test_labels, class_names=names, label_sets=sets)
    require_learnable(found_index.class_counts(), len(trained), names)
    return replace(found_index, notes=(*index.notes, *notes_on_sets(trained, sets, names)))


def _share(validation: float | HeldOut) -> float | None:
    """The share of each class for validation; None if its images are given."""
    if isinstance(validation, str | os.PathLike | Frame):
        return None
    if not 0 <= validation < 1:
        raise UserError(f"validation is {validation}: give a share from 0 up to under 1, or a folder")
    return validation


def _read(
    data: Data, labels: Iterable[object] | None, held_out: Collection[HeldOut], asked: Asked, progress: Progress
) -> Source:
    """The images of the data, without those in folders that are given as another split."""
    if not isinstance(data, str | os.PathLike):
        if not isinstance(data, Frame):
            refuse_groups_and_weights(asked, "a list")
        return _gathered("the list", _listed(data, labels, asked), progress)
    name = printable(os.fspath(data))
    if labels is not None:
        raise UserError(f"labels belong to a list of paths, and the data is {name}: leave them out")
    path = existing_source(data)
    if not leads_to_folder(path):
        source = _gathered(name, from_file(Path(path), asked), progress)
        if not (held_out or split_role(Path(path).stem)):
            above, own = os.path.split(path)
            _add_unfollowed(source.found, above, own=own)
        return source
    refuse_groups_and_weights(asked, "a folder")
    if asked.multi_label:
        raise UserError(f"{name} is a folder, and an image in a class's folder has one label: {TABLE_NEEDED}")
    apart = [existing_source(held) for held in held_out if isinstance(held, str | os.PathLike)]
    if len(apart) == len(held_out) and all(map(leads_to_folder, apart)):
        refuse_columns(asked, name)
    return Source(name, path, _found_in_folder(path, apart, progress, is_split=bool(held_out)), is_folder=True)


def _add_unfollowed(found: Found, *folders: str, own: str = "") -> None:
    """Add a line on lists of splits in these folders, where the data does not say itself which images are held out."""
    if not (found.validation or found.test) and (line := unfollowed_lists(*folders, own=own)):
        found.notes += (line,)


def _gathered(name: str, listing: Listing, progress: Progress) -> Source:
    found = gather(listing, listing.root, progress)
    if not (found.validation or found.test):
        mixed = mixed_folders(found) or held_out_folders(found) or mixed_files(found)
        found.notes += (mixed,) if mixed else ()
    return Source(name, listing.root, found)


def _found_in_folder(folder: str, leave_out: list[str], progress: Progress, *, is_split: bool) -> Found:
    layout = find_layout(folder, leave_out)
    found = find_images(layout.train, folder, progress, leave_out=leave_out)
    refuse_splits_inside(folder, layout.train, found.classes, found.subfolders)
    refuse_same_inside(layout.train, frozenset(found.classes), found.subfolders)
    refuse_copies(layout.train, [*found.classes, *found.empty_classes], found.subfolders)
    found.notes = (*layout.notes, *found.notes)
    if not (layout.validation or layout.test):
        mistaken = held_out_warning(found.classes), held_out_folders(found) or mixed_files(found)
        found.notes += tuple(line for line in mistaken if line)
        if have_split(Path(folder, PATHS)):
            found.notes += (
                f"the data has lists with a split of its own: give {PATHS} in place of the folder to follow it",
            )
    if layout.validation:
        found.validation = find_images(layout.validation, folder, progress)
        found.notes += found.validation.notes
    if layout.test:
        found.test = find_images(layout.test, folder, progress)
        found.notes += found.test.notes
    followed = layout.train != folder and split_role(Path(layout.train).name)  # as Kaggle's train/, beside its test.csv
    if not (is_split or followed or have_split(Path(folder, PATHS))):
        _add_unfollowed(found, folder, layout.train)
    return found


def _listed(data: Data, labels: Iterable[object] | None, asked: Asked) -> Listing:
    refuse_bytes(data)
    if not isinstance(data, Iterable):
        raise UserError(f"the data is {data!r}: give a folder, a CSV file, a list of paths with labels or a DataFrame")
    if isinstance(data, Frame):
        if labels is not None:
            raise UserError("labels belong to a list of paths, and a DataFrame has its own: give one of the two")
        return from_frame(data, asked)
    if labels is None:
        refuse_pairs(data)
        raise UserError("the labels of the listed paths are missing: give labels= with one label for each path")
    return from_lists(data, labels, asked)


def _require_trainable(found: Found, source: str, root: str) -> None:
    skipped = f" ({found.skipped_files} other files were skipped)" if found.skipped_files else ""
    if not found.classes and (found.validation or found.test):
        raise UserError(f"{source} holds no images for training, only such that are held out: give others for training")
    if not found.classes:
        vanished = without_images(found)
        found_instead = f"; {vanished}" if vanished else ""
        instead = f"{held}, or " if root and (held := contained(root)) else ""
        raise UserError(
            f"{source} holds no images{skipped}: {instead}give images of two classes or more{found_instead}"
        )
    if len(found.classes) == 1:
        raise _of_one_class(found, source, root)
    if all(len(paths) == 1 for paths in found.classes.values()):
        raise UserError(f"no class of {source} has more than one image: add images, there is nothing to learn from")


def _of_one_class(found: Found, source: str, root: str) -> UserError:
    """The error about images of a single class, with the table or the folders that may be the classes."""
    ((only, paths),) = found.classes.items()
    vanished = without_images(found)
    tables = tables_in(*_folders_down_to(root, paths[0])) if root else ""
    holder, lower = past_wrappers(paths) if root else ("", set())
    instead = f", or the table of their classes, perhaps {tables}" if tables else ""
    if len(lower) > 1:
        instead += f"; if {shown(lower)} are the classes, give {printable(os.path.join(root, holder))}"  # noqa: PTH118 - paths are str
    return UserError(
        f"{source} holds images of only one class, {only!r}{f' ({vanished})' if vanished else ''}: "
        f"give two classes or more{instead}"
    )


def _folders_down_to(root: str, path: str) -> list[str]:
    """The root folder, and each below it down to that of an image."""
    *names, _ = path.split("/")
    return [os.path.join(root, *names[:depth]) for depth in range(len(names) + 1)]  # noqa: PTH118 - paths are str


def _index(source: Source, training: Classes, validating: Classes, testing: Classes) -> ImageIndex:
    paths, labels = in_order(training)
    train_count = len(paths)
    validation_paths, validation_labels = in_order(validating)
    paths += validation_paths
    labels += validation_labels
    test_paths, test_labels = in_order(testing)
    found = source.found
    groups = test_groups = array("i")
    weights = array("d")
    if found.weighting is not None:
        weights = found.weighting.weights(paths[:train_count], validation_paths)
    if found.grouping is not None and found.grouping.is_asked:
        groups, test_groups = found.grouping.numbers(paths, test_paths)
    return ImageIndex(
        source.root,
        paths,
        labels,
        tuple(found.classes),
        train_count,
        found.skipped.total(),
        test_paths,
        test_labels,
        dict(found.skipped),
        notes_of(found),
        empty_classes=found.empty_classes,
        groups=groups,
        test_groups=test_groups,
        weights=weights,
        shared_groups=found.shared_groups,
    )
