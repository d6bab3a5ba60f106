from __future__ import annotations

import pytest

from autofit.input.bad_images import BadImages, too_many_bad


@pytest.mark.parametrize(
    ("bad", "total", "share", "expected"),
    [
        (0, 100, 0.1, False),
        (10, 100, 0.1, False),
        (11, 100, 0.1, True),
        (29, 100, 0.29, False),  # 0.29 * 100 is 28.999999999999996
        (213, 1200, 0.1, True),
        (1, 5, 0.1, False),
        (2, 5, 0.1, False),
        (3, 5, 0.1, True),
        (3, 5, 0.6, False),
        (2, 2, 0.1, False),
        (0, 1200, 0, False),
        (1, 1200, 0, True),
        (1200, 1200, 1, False),
        (1200, 1200, 0.999, True),
    ],
)
def test_how_many_bad_images_are_too_many(*, bad: int, total: int, share: float, expected: bool) -> None:
    """A few odd files would end the run of a small data set, or a folder of anything be trained on."""
    assert too_many_bad(bad, total, share) is expected


def test_each_image_counts_once() -> None:
    """Four bad images would be forty after ten epochs, and end a run that was fine."""
    bad_images = BadImages(20, 0.25)
    news = [bad_images.add(sample, f"{sample}.jpg", "bad") for _ in range(10) for sample in (3, 1, 4, 15)]
    assert news == [True] * 4 + [False] * 36
    assert not bad_images.is_too_full()
    bad_images.add(9, "9.jpg", "bad")
    bad_images.add(2, "2.jpg", "bad")
    assert bad_images.is_too_full()


def test_the_complaint_names_the_first_and_what_to_do() -> None:
    """The user would not know which files are meant, or how to go on."""
    bad_images = BadImages(12_000, 0.1)
    for number in range(1213):
        bad_images.add(number, f"cats/{number}.jpg", "not an image of a known format")
    assert bad_images.complaint() == (
        "1,213 of 12,000 images cannot be read (the first: cats/0.jpg: not an image of a known format): "
        "mend them and resume, or allow more with max_bad_images"
    )
    assert bad_images.nothing_left("training") == (
        "no image for training can be read (the first: cats/0.jpg: not an image of a known format): "
        "mend them and resume"
    )


@pytest.mark.parametrize("path", ["a\nb\x1b[31m\udcff.jpg", "x/" * 2000 + "a\nb.jpg"], ids=["odd", "long"])
def test_any_name_makes_one_short_line(path: str) -> None:
    """A strange name would break the line, colour the terminal, or push out what there is to do."""
    bad_images = BadImages(1, 0)
    bad_images.add(0, path, "bad")
    line = bad_images.complaint()
    assert line.isprintable()
    assert ".jpg: bad): mend them" in line
    assert len(line) < 300
