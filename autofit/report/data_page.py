"""The findings about a data set as a page, as a section of a run's page, and as a card for a notebook."""

from __future__ import annotations

from collections.abc import Sequence

from autofit.report.classification_text import Thumbnail
from autofit.report.data_text import (
    NOTHING_FOUND,
    SHARED_GROUPS,
    closing_notes,
    group_counts,
    headline,
    sections,
    shared_parts,
    shown_path,
)
from autofit.report.markup import (
    Html,
    breakable,
    bullets,
    cards,
    document,
    element,
    escaped,
    fragment,
    join,
    picture,
    section,
    table,
)
from autofit.report.thumbnails import Thumbnails
from autofit.report.words import count_of
from autofit.runs.data_findings import NO_LABEL, DataFindings, ImageGroup, LabelDoubt

MOST_DOUBTS, MOST_GROUPS, IN_A_GROUP = 60, 20, 4
"""The most doubtful images, groups, and images of a group that a page shows as pictures, of about 3 kB each."""
MOST_IN_A_CARD = 12
MOST_LINES = 100
LISTS_ALL = "autofit check --json lists all"
BY_FEATURES = "by features"
FEATURES_TELL = "By features: mirrored, cropped or lit in another way, or of one series."


def data_page(findings: DataFindings, thumbnail: Thumbnail | None = None) -> str:
    """The page of `autofit check`: self-contained, with small pictures.

    Args:
        findings: what was found.
        thumbnail: makes a small picture of the image at a path.
    """
    thumbnail = thumbnail or Thumbnails()
    title = headline(findings)
    return document(
        f"Data: {title}",
        [
            element("h1", escaped(title)),
            element("p", escaped(findings.root), "lead"),
            _figures(findings),
            *([] if findings.has_problems else [element("p", escaped(NOTHING_FOUND))]),
            bullets(closing_notes(findings)),
            section("Likely labelled wrong", _doubts(findings, thumbnail, MOST_DOUBTS)),
            _groups("The same image more than once", findings.same, findings, thumbnail),
            _groups("Images that look alike", findings.alike, findings, thumbnail),
            _shared_groups(findings),
            section("Images that cannot be read", _unreadable(findings)),
            section("Odd images", _odd(findings)),
            section("Classes", _classes(findings)),
            section("What training would understand", bullets(findings.understood)),
        ],
    )


def data_findings_section(findings: DataFindings) -> Html:
    """The findings about a run's data, for its page; empty if there is nothing to be put right."""
    parts = []
    for title, lines in sections(findings):
        words = title if ":" in title else f"{title}: {len(lines):,}"
        more = [f"and {len(lines) - MOST_LINES:,} more"] if len(lines) > MOST_LINES else []
        parts.append(section(words, bullets([*map(" ".join, lines[:MOST_LINES]), *more]), 3))
    return section("Data", join(parts)) if parts else Html("")


def data_card(findings: DataFindings, thumbnail: Thumbnail | None = None) -> str:
    """The findings for a cell of a notebook: the figures, and the images with the most doubtful labels."""
    thumbnail = thumbnail or Thumbnails()
    words = [NOTHING_FOUND] if not findings.has_problems else []
    return fragment(
        [
            element("p", element("b", escaped(f"{headline(findings)}."))),
            _figures(findings),
            bullets([*words, *closing_notes(findings)]),
            _shared_groups(findings),
            _doubts(findings, thumbnail, MOST_IN_A_CARD),
        ]
    )


def _shared_groups(findings: DataFindings) -> Html:
    lines = [" ".join(parts) for parts in shared_parts(findings)]
    return section(SHARED_GROUPS, bullets(lines)) if lines else Html("")


def _figures(findings: DataFindings) -> Html:
    wrong = f"{findings.likely_wrong:,}" if findings.doubts is not None else "not looked for"
    leaks = sum(group.crosses_splits for group in (*findings.same, *findings.alike))
    return cards(
        [
            ("Likely labelled wrong", wrong),
            ("Groups of equal images", f"{len(findings.same):,}"),
            ("Groups of similar images", f"{len(findings.alike):,}"),
            ("Groups across splits", f"{leaks:,}"),
            ("Unreadable", f"{len(findings.unreadable):,}"),
            ("Odd", f"{len(findings.odd):,}"),
        ]
    )


def _doubts(findings: DataFindings, thumbnail: Thumbnail, most: int) -> Html:
    """The images that are probably labelled wrong, as pictures, the most doubtful first."""
    likely = (findings.doubts or [])[: findings.likely_wrong]
    if not likely:
        return Html("")
    shown = element("div", join(_doubt(one, findings, thumbnail) for one in likely[:most]), "pictures")
    where = ".likely_wrong has all, .save('check.html') shows them" if most == MOST_IN_A_CARD else LISTS_ALL
    more = [f"and {len(likely) - most:,} more: {where}."] if len(likely) > most else []
    return join([shown, *(element("p", escaped(line), "lead") for line in more)])


def _doubt(doubt: LabelDoubt, findings: DataFindings, thumbnail: Thumbnail) -> Html:
    words = [
        element("span", breakable(doubt.image.label or NO_LABEL)),
        element("span", escaped("more like"), "soft"),
        element("b", breakable(doubt.suggested), "bad"),
        element("span", breakable(f"{shown_path(doubt.image.path, findings)} ({doubt.image.split})"), "soft"),
    ]
    return _figure(doubt.image.path, words, thumbnail)


def _groups(title: str, groups: Sequence[ImageGroup], findings: DataFindings, thumbnail: Thumbnail) -> Html:
    if not groups:
        return Html("")
    rows = []
    for group in groups[:MOST_GROUPS]:
        figures = [
            _figure(
                image.path,
                [
                    element("b", escaped(image.split), "bad" if group.crosses_splits else ""),
                    element("b", breakable(image.label), "bad" if group.crosses_classes else ""),
                    element("span", breakable(shown_path(image.path, findings)), "soft"),
                    *([element("span", escaped(BY_FEATURES), "soft")] if group.by_features else []),
                ],
                thumbnail,
            )
            for image in group.images[:IN_A_GROUP]
        ]
        rows.append(element("div", join(figures), "pictures"))
    words = [f"{group_counts(groups)}.", *([FEATURES_TELL] if any(group.by_features for group in groups) else [])]
    counts = element("p", escaped(" ".join(words)), "lead")
    left = len(groups) - MOST_GROUPS
    more = element("p", escaped(f"and {count_of(left, 'group')} more."), "lead") if left > 0 else Html("")
    return section(title, join([counts, element("div", join(rows), "groups"), more]))


def _figure(path: str, words: Sequence[Html], thumbnail: Thumbnail) -> Html:
    uri = thumbnail(path)
    shown = picture(uri) if uri else element("span", escaped("cannot be read"), "soft")
    return element("figure", join([shown, element("figcaption", join(words))]))


def _unreadable(findings: DataFindings) -> Html:
    rows = [[breakable(shown_path(image.path, findings)), escaped(image.reason)] for image in findings.unreadable]
    return table(("Image", "Why"), rows)


def _odd(findings: DataFindings) -> Html:
    rows = [[breakable(shown_path(image.path, findings)), escaped(image.what)] for image in findings.odd]
    return table(("Image", "What"), rows)


def _classes(findings: DataFindings) -> Html:
    few = {*findings.tiny_classes, *findings.empty_classes}
    rows = [
        [
            element("span", breakable(size.name), "bad" if size.name in few else ""),
            *(escaped(f"{count:,}") for count in (size.train, size.validation, size.test)),
        ]
        for size in findings.classes
    ]
    rows += [
        [element("span", breakable(name), "bad"), *(escaped("0") for _ in range(3))] for name in findings.empty_classes
    ]
    return table(("Class", "Train", "Validation", "Test"), rows, numbers=3)
