"""The views of an image that are predicted together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autofit.input.augment import MARGIN
from autofit.input.decode import decode_image
from autofit.input.image_files import UnreadableImageError
from autofit.input.prediction_views import decode_views, prediction_views

SIZE = (24, 36)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Brighter from left to right, and from above to below in another channel."""
    pixels = np.zeros((48, 72, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 250, 72)[None, :]
    pixels[..., 1] = np.linspace(0, 250, 48)[:, None]
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def views_of(photo: Path, count: int, *, flips: bool) -> np.ndarray:
    out = np.empty((count, *SIZE, 3), np.uint8)
    decode_views(photo, prediction_views(count, flips=flips), out)
    return out


def test_the_first_view_is_the_image_as_it_is_predicted_alone(photo: Path) -> None:
    """One view would give another answer than none."""
    assert np.array_equal(views_of(photo, 1, flips=True)[0], decode_image(photo, SIZE))
    assert np.array_equal(views_of(photo, 4, flips=True)[0], decode_image(photo, SIZE))


def test_then_come_its_mirror_image_and_mild_crops(photo: Path) -> None:
    """The views would all be of the same, or leave out what is on the image."""
    views = views_of(photo, 20, flips=True)
    assert np.array_equal(views[1], views[0][:, ::-1])
    assert len({view.tobytes() for view in views}) == 20
    widths = np.ptp(views[..., 0].astype(int), axis=(1, 2))
    assert (widths >= 250 / MARGIN - 15).all()
    assert np.array_equal(views, views_of(photo, 20, flips=True))
    assert np.array_equal(views[:5], views_of(photo, 5, flips=True))


def test_without_flips_no_view_is_mirrored(photo: Path) -> None:
    """A digit would be read in a mirror."""
    views = views_of(photo, 20, flips=False).astype(int)
    assert (views[:, :, -1, 0] > views[:, :, 0, 0] + 100).all()
    assert len({view.tobytes() for view in views}) == 20


def test_an_image_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    """Its views would be predicted from what is left in memory."""
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(UnreadableImageError):
        views_of(tmp_path / "bad.png", 3, flips=True)
