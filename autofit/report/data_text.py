"""The findings about a data set as text for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len

from autofit.printable import printable
from autofit.report.width import columns, wrapped
from autofit.report.words import count_of
from autofit.runs.data_findings import NO_LABEL, DataFindings, FoundImage, ImageGroup

SHOWN = 10
"""The most lines of each kind of finding that a terminal shows; `--json` has all."""
IN_A_GROUP = 4

Parts = tuple[str, ...]
"""A line in parts. A narrow terminal breaks the line between two parts only, so that names can be copied whole."""

SHARED_GROUPS = "Splits with images that belong to some of the training"
NOTHING_FOUND = "Nothing was found that has to be put right."
NEARLY_EQUAL = (
    "so many images of this data are similar to each other that only nearly equal ones are listed: "
    "copies that were cropped may be missing"
)


def shown_path(path: str, findings: DataFindings) -> str:
    """A path as it is shown: without the folder of the data, and safe for one line."""
    return printable(path.removeprefix(findings.root.rstrip("/") + "/"))


def headline(findings: DataFindings) -> str:
    """How many images there are, of how many classes, and in which splits."""
    splits = {name: sum(getattr(size, name) for size in findings.classes) for name in ("train", "validation", "test")}
    in_splits = ", ".join(f"{count:,} {name}" for name, count in splits.items() if count)
    words = f"{count_of(findings.images, 'image')} of {count_of(len(findings.classes), 'class', 'classes')}"
    return f"{words} ({in_splits})" if in_splits and sum(splits.values()) == findings.images else words


def group_counts(groups: Sequence[ImageGroup]) -> str:
    """The numbers of groups, such as `13 groups, 5 across splits, 2 across classes, 4 by features`."""
    splits, classes, features = (
        sum(getattr(group, name) for group in groups) for name in ("crosses_splits", "crosses_classes", "by_features")
    )
    parts = [count_of(len(groups), "group")]
    parts += [f"{splits:,} across splits"] if splits else []
    parts += [f"{classes:,} across classes"] if classes else []
    parts += [f"{features:,} by features"] if features else []
    return ", ".join(parts)


def sections(findings: DataFindings) -> Iterator[tuple[str, list[Parts]]]:
    """The title of each kind of finding, and a line for each finding; kinds without findings are left out."""
    yield from _listed("Classes without images", ((name,) for name in findings.empty_classes))
    sizes = {size.name: size.train for size in findings.classes}
    tiny = ((f"{name} ({sizes.get(name, 0):,})",) for name in findings.tiny_classes)
    yield from _listed("Classes with very few images to train on", tiny)
    unread = ((f"{shown_path(image.path, findings)}:", image.reason) for image in findings.unreadable)
    yield from _listed("Images that cannot be read", unread)
    for title, groups in (("The same image more than once", findings.same), ("Images that look alike", findings.alike)):
        if groups:
            yield f"{title}: {group_counts(groups)}", [group_parts(group, findings) for group in groups]
    yield from _listed(SHARED_GROUPS, shared_parts(findings))
    odd = ((f"{shown_path(image.path, findings)}:", image.what) for image in findings.odd)
    yield from _listed("Odd images", odd)
    yield from _listed("Likely labelled wrong", _doubt_lines(findings))


def shared_parts(findings: DataFindings) -> Iterator[Parts]:
    """A line on each split that shares images of one patient, or the like, with the training."""
    for shared in findings.shared_groups:
        values = f"{count_of(shared.values, 'value')} of {printable(shared.column)}"
        yield f"{shared.split}:", f"{values},", count_of(shared.images, "image")


def group_parts(group: ImageGroup, findings: DataFindings) -> Parts:
    """The images of a group as one line, each with its split, and with its class where these differ."""
    first, *others = (_image_words(image, group, findings) for image in group.images[:IN_A_GROUP])
    more = len(group.images) - IN_A_GROUP
    parts = [first, *(f"= {other}" for other in others)]
    parts += [f"and {more:,} more"] if more > 0 else []
    return (*parts, *(["(by features)"] if group.by_features else []))


def data_summary(findings: DataFindings) -> str:
    """The findings for a terminal: the first of each kind, and how many more there are."""
    lines = [f"{headline(findings)}.", *findings.understood]
    for title, found in sections(findings):
        lines += ["", title if ":" in title else f"{title}: {len(found):,}"]
        lines += [line for parts in found[:SHOWN] for line in _fitted(parts)]
        lines += [f"  and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
    lines += ["", *_closing(findings)]
    return "\n".join(wrapped(printable(line)) for line in lines)


def _fitted(parts: Parts) -> list[str]:
    """The parts as one indented line, or several: a part for which there is no room goes to the next line."""
    first, *others = map(printable, parts)
    lines = [f"  {first}"]
    for part in others:
        if cell_len(lines[-1]) + 1 + cell_len(part) <= columns():
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    return lines


def closing_notes(findings: DataFindings) -> list[str]:
    """Notes on what the check did not look for, or could not find as well as usual."""
    notes = [f"Note: {NEARLY_EQUAL}."] if findings.only_nearly_equal else []
    return [*notes, *(f"{note}." for note in (findings.copies_note, findings.labels_note) if note)]


def _closing(findings: DataFindings) -> list[str]:
    return closing_notes(findings) if findings.has_problems else [*closing_notes(findings), NOTHING_FOUND]


def _listed(title: str, lines: Iterable[Parts]) -> Iterator[tuple[str, list[Parts]]]:
    found = list(lines)
    if found:
        yield title, found


def _doubt_lines(findings: DataFindings) -> Iterator[Parts]:
    for doubt in (findings.doubts or [])[: findings.likely_wrong]:
        path, label = shown_path(doubt.image.path, findings), doubt.image.label or NO_LABEL
        yield f"{path}:", f"{label},", f"more like {doubt.suggested}"


def _image_words(image: FoundImage, group: ImageGroup, findings: DataFindings) -> str:
    marks: list[str] = [image.split] if group.crosses_splits else []
    marks += [image.label] if group.crosses_classes else []
    path = shown_path(image.path, findings)
    return f"{path} ({', '.join(marks)})" if marks else path
