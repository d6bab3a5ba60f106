"""What an image looks like in 64 bits."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from autofit.input.perceptual_hash import SIDE_PIXELS, Looks, looks_of


def scene(seed: int) -> Image.Image:
    """A picture with some structure: smooth shades at random."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)


def saved_again(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    return Image.open(buffer)


def looks(*images: Image.Image) -> Looks:
    pixels = [np.asarray(image.convert("RGB").resize((SIDE_PIXELS, SIDE_PIXELS))) for image in images]
    return looks_of(np.stack(pixels))


@pytest.mark.parametrize("seed", range(8))
def test_a_copy_differs_in_few_bits_and_another_image_in_many(seed: int) -> None:
    """Copies that were resized, saved again or cropped would not be found, or other images be taken for copies."""
    image = scene(seed)
    copies = [image.resize((100, 80)), saved_again(image), image.crop((3, 2, 317, 238))]
    found = looks(image, *copies, scene(seed + 100)).hashes
    different = np.bitwise_count(found[1:] ^ found[0]).tolist()
    assert max(different[:3]) <= 7
    assert different[3] > 14


def test_an_image_of_one_colour_is_known_as_such() -> None:
    """All blank images would be told as copies of each other."""
    blank = Image.new("RGB", (64, 64), (90, 20, 200))
    assert looks(blank, scene(1)).flat.tolist() == [True, False]


def test_the_picture_is_the_image_in_grey() -> None:
    """Candidates would be compared by something else than their content."""
    half = Image.new("RGB", (64, 64))
    half.paste((255, 255, 255), (32, 0, 64, 64))
    picture = looks(half).thumbnails.reshape(16, 16)
    assert (picture[:, :7] < 40).all()
    assert (picture[:, 9:] > 215).all()
