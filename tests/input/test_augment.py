"""Augmentation: a function of its key, and mild."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autofit.input.augment import MARGIN, CropParameters, augment_into, with_margin

SIZE = (32, 48)
WHOLE = CropParameters(side=1.0, left=0.0, top=0.0, is_mirrored=False)

WORDS = st.integers(0, 2**64 - 1)


def view(pixels: NDArray[np.uint8], draw: CropParameters) -> NDArray[np.uint8]:
    out = np.empty((*SIZE, 3), np.uint8)
    augment_into(pixels, draw, out)
    return out


def ramp() -> NDArray[np.uint8]:
    """With a margin: the first channel rises from left to right, the second from above to below."""
    height, width = with_margin(SIZE)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)[None, :]
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return pixels


@given(st.tuples(WORDS, WORDS, WORDS))
def test_a_key_gives_the_same_view_each_time_and_a_mild_one(key: tuple[int, int, int]) -> None:
    """A run that is resumed would go on with other images, or an image lose what is on it."""
    draw = CropParameters.of(*key)
    assert draw == CropParameters.of(*key)
    assert 1 / MARGIN <= draw.side <= 1
    assert 0 <= draw.left <= 1
    assert 0 <= draw.top <= 1
    pixels = ramp()
    assert np.array_equal(view(pixels, draw), view(pixels, draw))
    sides = np.ptp(view(pixels, draw)[..., :2].astype(int), axis=(0, 1))
    assert (sides >= 255 / MARGIN - 15).all()


def test_keys_give_views_of_their_own() -> None:
    """All epochs, or all images, would be seen in the same way."""
    draws = [CropParameters.of(seed, epoch, sample) for seed in range(5) for epoch in range(20) for sample in range(20)]
    assert len(set(draws)) == len(draws)
    for part in (
        [(draw.side - 1 / MARGIN) / (1 - 1 / MARGIN) for draw in draws],
        [draw.left for draw in draws],
        [draw.top for draw in draws],
    ):
        assert abs(np.mean(part) - 0.5) < 0.03
        assert abs(np.std(part) - 12**-0.5) < 0.02
    assert abs(np.mean([draw.is_mirrored for draw in draws]) - 0.5) < 0.05


def test_the_draws_stay_the_same_in_later_versions() -> None:
    """A run of an older version would be resumed with other images."""
    assert CropParameters.of(0, 1, 2) == CropParameters(
        side=0.9131875603408993, left=0.5700824734404801, top=0.49811254250203246, is_mirrored=False
    )


def test_the_whole_window_is_the_image_scaled() -> None:
    """An image would be shifted, or turned."""
    out = view(ramp(), WHOLE).astype(int)
    assert np.abs(out[..., 0] - np.linspace(0, 255, SIZE[1])[None, :]).max() < 6
    assert np.abs(out[..., 1] - np.linspace(0, 255, SIZE[0])[:, None]).max() < 6


def test_a_mirror_image_changes_left_and_right_alone() -> None:
    """A photo would stand on its head."""
    draw = CropParameters(side=0.9, left=0.2, top=0.7, is_mirrored=False)
    mirrored = CropParameters(side=0.9, left=0.2, top=0.7, is_mirrored=True)
    assert np.array_equal(view(ramp(), mirrored), view(ramp(), draw)[:, ::-1])


def test_the_smallest_window_leaves_its_place() -> None:
    """The crop would always be of the middle."""
    at = {
        (left, top): view(ramp(), CropParameters(1 / MARGIN, left, top, False))
        for left in (0.0, 1.0)
        for top in (0.0, 1.0)
    }
    assert at[0.0, 0.0][0, 0, :2].max() < 6
    assert at[1.0, 1.0][-1, -1, :2].min() > 249
    assert at[1.0, 0.0][0, -1, 0] > 249
    assert at[1.0, 0.0][0, -1, 1] < 6


def test_the_margin_has_room_for_the_crop() -> None:
    assert with_margin((160, 224)) == (184, 258)
    assert with_margin((1, 1)) == (2, 2)
