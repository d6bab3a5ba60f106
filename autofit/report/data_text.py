"""What was found in a data set, in words, for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from autofit.printable import printable
from autofit.report.width import wrapped
from autofit.report.words import count_of
from autofit.runs.data_findings import NO_LABEL, DataFindings, FoundImage, ImageGroup

SHOWN = 10
"""Images, groups and classes of a kind that a terminal shows; `--json` has all."""
IN_A_GROUP = 4

NOTHING_FOUND = "Nothing was found that has to be put right."
NEARLY_EQUAL = (
    "so many images of this data are similar to each other that only nearly equal ones are told: "
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
    """Such as `13 groups, 5 across splits, 2 across classes, 4 by features`."""
    splits, classes, features = (
        sum(getattr(group, name) for group in groups) for name in ("crosses_splits", "crosses_classes", "by_features")
    )
    parts = [count_of(len(groups), "group")]
    parts += [f"{splits:,} across splits"] if splits else []
    parts += [f"{classes:,} across classes"] if classes else []
    parts += [f"{features:,} by features"] if features else []
    return ", ".join(parts)


def sections(findings: DataFindings) -> Iterator[tuple[str, list[str]]]:
    """A title and a line for each thing that was found; only of what there is."""
    yield from _listed("Classes without images", findings.empty_classes)
    sizes = {size.name: size.train for size in findings.classes}
    tiny = [f"{name} ({sizes.get(name, 0):,})" for name in findings.tiny_classes]
    yield from _listed("Classes with very few images to train on", tiny)
    unread = [f"{shown_path(image.path, findings)}: {image.reason}" for image in findings.unreadable]
    yield from _listed("Images that cannot be read", unread)
    for title, groups in (("The same image more than once", findings.same), ("Images that look alike", findings.alike)):
        if groups:
            yield f"{title}: {group_counts(groups)}", [group_line(group, findings) for group in groups]
    odd = [f"{shown_path(image.path, findings)}: {image.what}" for image in findings.odd]
    yield from _listed("Odd images", odd)
    yield from _listed("Likely labelled wrong", list(_doubt_lines(findings)))


def group_line(group: ImageGroup, findings: DataFindings) -> str:
    """The images of a group in one line, each with its split, and with its class where these differ."""
    shown = [_image_words(image, group, findings) for image in group.images[:IN_A_GROUP]]
    more = len(group.images) - len(shown)
    words = " = ".join(shown) + (f" and {more:,} more" if more else "")
    return f"{words} (by features)" if group.by_features else words


def data_summary(findings: DataFindings) -> str:
    """All that was found, for a terminal: the first of each kind."""
    lines = [f"{headline(findings)}.", *findings.understood]
    for title, found in sections(findings):
        lines += ["", title if ":" in title else f"{title}: {len(found):,}"]
        lines += [f"  {line}" for line in found[:SHOWN]]
        lines += [f"  and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
    lines += ["", *_closing(findings)]
    return "\n".join(wrapped(printable(line)) for line in lines)


def closing_notes(findings: DataFindings) -> list[str]:
    """What was not looked for, or not as well as usual."""
    notes = [f"Note: {NEARLY_EQUAL}."] if findings.only_nearly_equal else []
    return [*notes, *(f"{note}." for note in (findings.copies_note, findings.labels_note) if note)]


def _closing(findings: DataFindings) -> list[str]:
    return closing_notes(findings) if findings.has_problems else [*closing_notes(findings), NOTHING_FOUND]


def _listed(title: str, lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    found = list(lines)
    if found:
        yield title, found


def _doubt_lines(findings: DataFindings) -> Iterator[str]:
    for doubt in (findings.doubts or [])[: findings.likely_wrong]:
        yield f"{shown_path(doubt.image.path, findings)}: {doubt.image.label or NO_LABEL}, more like {doubt.suggested}"


def _image_words(image: FoundImage, group: ImageGroup, findings: DataFindings) -> str:
    marks: list[str] = [image.split] if group.crosses_splits else []
    marks += [image.label] if group.crosses_classes else []
    path = shown_path(image.path, findings)
    return f"{path} ({', '.join(marks)})" if marks else path
