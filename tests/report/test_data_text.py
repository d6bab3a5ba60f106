"""What was found in a data set as text, as a page and as a section of a run's page."""

from __future__ import annotations

from autofit.protocol.messages import BadImage
from autofit.report.data_page import data_card, data_findings_section, data_page
from autofit.report.data_text import SHOWN, data_summary, group_counts
from autofit.runs.data_findings import ClassSize, DataFindings, FoundImage, ImageGroup, LabelDoubt, Split

HOSTILE = "<b>\x1b[2Jcat"


def image(name: str, label: str = HOSTILE, split: Split = "train") -> FoundImage:
    return FoundImage(path=f"/photos/{name}", label=label, split=split)


def findings(doubts: int = 3) -> DataFindings:
    """One thing of each kind, with a class name that is markup and a control sequence."""
    across = ImageGroup(images=[image("a.jpg"), image("b.jpg", "dog", "test")])
    within = ImageGroup(images=[image(f"{number}.jpg") for number in range(9)])
    return DataFindings(
        root="/photos",
        images=40,
        classes=[ClassSize(name=HOSTILE, train=30), ClassSize(name="dog", train=3, test=7)],
        understood=["images of 64 x 64 pixels"],
        empty_classes=["owl"],
        tiny_classes=["dog"],
        unreadable=[BadImage(path="/photos/bad.jpg", reason="the file is empty")],
        same=[across],
        alike=[within, ImageGroup(images=[image("m.jpg"), image("mirrored.jpg")], by_features=True)],
        only_nearly_equal=True,
        doubts=[
            LabelDoubt(image=image(f"x{n}.jpg"), suggested="dog", probability=0.1, suggested_probability=0.8)
            for n in range(doubts + 5)
        ],
        likely_wrong=doubts,
        labels_note="Wrong labels were looked for with MobileNet",
    )


def test_a_line_that_is_too_long_breaks_between_its_files() -> None:
    """A terminal would break it in the middle of a path."""
    files = [image(f"{split}/nuts and oil seeds/{'IMG_' * 8}{split}.jpg", "nuts") for split in ("train", "validation")]
    found = findings().model_copy(update={"same": [ImageGroup(images=files)]})
    first, second = (file.path.removeprefix("/photos/") for file in files)
    assert f"\n  {first}\n    = {second}\n" in data_summary(found)
    assert f"{first} = {second}<" in data_findings_section(found)


def test_a_terminal_shows_each_kind_in_lines_without_control_characters() -> None:
    """A kind would be left out, or a class name control the terminal."""
    text = data_summary(findings())
    assert "\x1b" not in text
    assert text.startswith("40 images of 2 classes (33 train, 7 test).\n")
    for words in (
        "Classes without images: 1\n  owl",
        "to train on: 1\n  dog (3)",
        "bad.jpg: the file is empty",
        "The same image more than once: 1 group, 1 across splits, 1 across classes",
        " = b.jpg (test, dog)",
        "3.jpg and 5 more",
        "look alike: 2 groups, 1 by features\n",
        "m.jpg = mirrored.jpg (by features)\n",
        "Likely labelled wrong: 3\n  x0.jpg: ",
        "more like dog",
        "only nearly",
        "looked for with MobileNet.",
    ):
        assert words in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("  ")) <= 80


def test_a_long_list_is_cut_and_its_length_told() -> None:
    """Ten thousand lines would scroll the rest away."""
    text = data_summary(findings(doubts=SHOWN + 7))
    assert "  and 7 more" in text
    assert f"x{SHOWN}.jpg" not in text


def test_groups_are_counted_by_what_they_cross() -> None:
    """Leaks would be hidden among harmless copies."""
    assert group_counts(findings().alike[:1]) == "1 group"
    assert group_counts(findings().same * 2) == "2 groups, 2 across splits, 2 across classes"


def test_a_page_shows_names_as_text_and_pictures_of_what_can_be_read() -> None:
    """A folder's name would be markup, or a missing image end the page."""

    def thumbnail(path: str) -> str | None:
        return None if path.endswith("b.jpg") else "data:image/jpeg;base64,AAAA"

    for html in (data_page(findings(), thumbnail), data_card(findings(), thumbnail)):
        assert "<b>\x1b" not in html
        assert "&lt;b&gt;" in html
        assert html.count("<img") >= 3
    page = data_page(findings(), thumbnail)
    assert "cannot be read" in page
    assert page.count("By features: mirrored") == 1
    assert page.count(">by features<") == 2
    assert "<script" not in page


def test_a_page_holds_few_pictures_of_many_doubts() -> None:
    """A page of a hundred thousand doubts would be too large for a browser."""
    page = data_page(findings(doubts=1_000), lambda _: "data:,")
    assert page.count("more like") <= 61
    assert "and 940 more" in page


def test_a_runs_page_has_a_section_only_where_something_was_found() -> None:
    """Each page would have an empty heading, or none what is wrong with the data."""
    nothing = DataFindings(root="/photos", images=2, classes=[ClassSize(name="a", train=20)])
    assert data_findings_section(nothing) == ""
    found = data_findings_section(findings())
    assert "Images that cannot be read: 1" in found
    assert "&lt;b&gt;" in found
