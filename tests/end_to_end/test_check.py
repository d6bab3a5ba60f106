"""Wrong labels are found by a real network's features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import autofit
from tests.support.drawn import draw_tinted
from tests.support.views import RecordingView

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]

NETWORK: dict[str, Any] = {"backbone": "MobileNet", "image_size": 64}
EACH, WRONG = 30, ("class0/003.jpg", "class1/011.jpg", "class2/017.jpg")


@pytest.mark.usefixtures("cache")
def test_planted_wrong_labels_are_the_first(tmp_path: Path, weights: Path) -> None:
    """A person would look through good labels, or see the figures of a head that nobody keeps."""
    photos = tmp_path / "photos"
    photos.mkdir()
    draw_tinted(photos, EACH)
    moved = [
        (photos / path).rename(photos / f"class{(place + 1) % 3}" / f"wrong{place}.jpg")
        for place, path in enumerate(WRONG)
    ]
    (photos / "class0" / "broken.jpg").write_bytes(b"no photo")
    view = RecordingView()
    report = autofit.check(photos, **NETWORK, weights=weights, view=view)
    assert report.findings.doubts is not None, report.findings.labels_note
    first = report.findings.doubts[: len(WRONG)]
    assert {doubt.image.path for doubt in first} == {str(path) for path in moved}
    for place, path in enumerate(moved):
        (doubt,) = (one for one in report.likely_wrong if one.image.path == str(path))
        assert doubt.suggested == f"class{place}"
        assert doubt.image.label == f"class{(place + 1) % 3}"
    assert not [line for line in view.messages if line.startswith("epoch ")]
    assert [Path(image.path).name for image in report.unreadable] == ["broken.jpg"]


@pytest.mark.whole
@pytest.mark.usefixtures("cache")
def test_of_several_labels_an_image_the_wrong_one_is_named(tmp_path: Path, weights: Path) -> None:
    """Images with several labels would not be doubted, or an image be told without saying what is wrong with it."""
    draw_tinted(tmp_path, EACH)
    labels = {"class0": ["a mark", "class0"], "class1": ["a mark", "class1"], "class2": ["class2"]}
    told = {path: [*labels[path.parent.name]] for path in sorted(tmp_path.glob("*/*.jpg"))}
    told[tmp_path / WRONG[0]].remove("a mark")
    told[tmp_path / WRONG[2]].append("a mark")
    rows = [f"{path.relative_to(tmp_path)},{';'.join(names)}" for path, names in told.items()]
    (tmp_path / "all.csv").write_text("\n".join(["path,labels", *rows]), encoding="utf-8")
    report = autofit.check(tmp_path / "all.csv", **NETWORK, multi_label=True, weights=weights, view=RecordingView())
    first = {Path(one.image.path): (one.image.label, one.suggested) for one in report.likely_wrong[:2]}
    assert first == {
        tmp_path / WRONG[0]: ("class0", "a mark, class0"),
        tmp_path / WRONG[2]: ("a mark, class2", "class2"),
    }
