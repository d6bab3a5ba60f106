"""Photos in HEIF: read where pillow-heif is installed, and else named with what to install."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from autofit.dataset import folder
from autofit.dataset.findings import skipped_photos
from autofit.dataset.folder import image_suffixes
from autofit.dataset.scan import scan
from autofit.input.decode import decode_image
from autofit.input.image_files import UnreadableImageError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of HEIC photos, green and blue."""
    for name, colour in (("green", (0, 200, 0)), ("blue", (0, 0, 200))):
        (tmp_path / name).mkdir()
        for number in range(3):
            heif = pillow_heif.from_pillow(Image.new("RGB", (64, 48), colour))
            heif.save(tmp_path / name / f"{number}.heic")
    return tmp_path


def test_photos_of_iphones_are_images(photos: Path) -> None:
    """A folder of them would be a folder without images."""
    index = scan(photos, validation=0)
    assert index.class_names == ("blue", "green")
    pixels = decode_image(photos / "green" / "0.heic", (32, 32)).astype(int)
    assert pixels.shape == (32, 32, 3)
    np.testing.assert_allclose(pixels.mean(axis=(0, 1)), (0, 200, 0), atol=8)


def test_one_that_is_called_jpg_is_read_too(photos: Path) -> None:
    """Phones and programs name them so."""
    renamed = (photos / "blue" / "1.heic").rename(photos / "blue" / "1.jpg")
    assert decode_image(renamed, (8, 8)).mean(axis=(0, 1))[2] > 150


def test_without_the_package_they_are_named_with_what_to_install(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be skipped without a word, or be "not an image of a known format"."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImageError, match=r"^a HEIC photo: pip install pillow-heif"):
        decode_image(photos / "green" / "0.heic", (32, 32))
    monkeypatch.setattr(folder, "is_installed", lambda _: False)
    image_suffixes.cache_clear()
    try:
        assert "heic" not in image_suffixes()
    finally:
        image_suffixes.cache_clear()
    assert skipped_photos({".heic": 12, ".txt": 3}) == (
        "12 HEIC photos are skipped: pip install pillow-heif, or convert HEIC photos to JPEG"
    )
    assert skipped_photos({".txt": 3}) is None
