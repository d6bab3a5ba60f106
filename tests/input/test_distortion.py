"""Strong augmentation: a function of its key, within its ranges, and each part of it does what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autofit.input.augment import Augmentation, with_margin
from autofit.input.distortion import (
    BRIGHTNESS,
    CONTRAST,
    ERASED_AREA,
    ERASED_SHARE,
    LEAST_SIDE,
    MOST_DEGREES,
    Distortion,
    distort_into,
)

SIZE = (40, 60)
SAME = Distortion(side=1.0, left=0.0, top=0.0, degrees=0.0, contrast=1.0, brightness=0.0, erased=None)
DRAWN = Distortion(
    side=0.7200796895503102,
    left=0.22117571374068937,
    top=0.7867358010676853,
    degrees=-0.5715203562970617,
    contrast=1.0818877455585199,
    brightness=-0.11300553365806353,
    erased=None,
)

WORDS = st.integers(0, 2**64 - 1)


def view(pixels: NDArray[np.uint8], distortion: Distortion, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    out = np.empty((*size, 3), np.uint8)
    distort_into(pixels, distortion, out)
    return out


def ramp() -> NDArray[np.uint8]:
    """With a margin: the first channel rises from left to right, the second from above to below."""
    height, width = with_margin(SIZE)
    pixels = np.full((height, width, 3), 100, np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)[None, :]
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return pixels


@given(st.tuples(WORDS, WORDS, WORDS))
def test_a_key_gives_the_same_view_each_time_within_the_ranges(key: tuple[int, int, int]) -> None:
    """A run that is resumed would go on with other images, or the ranges that are promised would not hold."""
    distortion = Distortion.of(*key)
    assert distortion == Distortion.of(*key)
    assert LEAST_SIDE <= distortion.side <= 1
    assert abs(distortion.degrees) <= MOST_DEGREES
    assert abs(distortion.contrast - 1) <= CONTRAST + 1e-9
    assert abs(distortion.brightness) <= BRIGHTNESS
    if distortion.erased is not None:
        left, top, width, height = distortion.erased
        assert ERASED_AREA[0] - 1e-9 <= width * height <= ERASED_AREA[1] + 1e-9
        assert min(left, top) >= 0
        assert max(left + width, top + height) <= 1 + 1e-9
    assert np.array_equal(view(ramp(), distortion), view(ramp(), distortion))


def test_keys_use_the_whole_ranges() -> None:
    """All epochs, or all images, would be seen in nearly the same way."""
    drawn = [Distortion.of(0, epoch, sample) for epoch in range(40) for sample in range(40)]
    assert len(set(drawn)) == len(drawn)
    assert abs(sum(one.erased is not None for one in drawn) / len(drawn) - ERASED_SHARE) < 0.05
    for values, least, most in (
        ([one.side for one in drawn], LEAST_SIDE, 1.0),
        ([one.degrees for one in drawn], -MOST_DEGREES, MOST_DEGREES),
        ([one.contrast for one in drawn], 1 - CONTRAST, 1 + CONTRAST),
        ([one.brightness for one in drawn], -BRIGHTNESS, BRIGHTNESS),
    ):
        places = (np.array(values) - least) / (most - least)
        assert abs(places.mean() - 0.5) < 0.03
        assert abs(places.std() - 12**-0.5) < 0.02


def test_the_draws_stay_the_same_in_later_versions() -> None:
    """A run of an older version would be resumed with other images."""
    assert Distortion.of(0, 1, 2) == DRAWN


def test_without_any_change_the_view_is_the_image_scaled() -> None:
    """An image would be shifted, turned or mirrored."""
    out = view(ramp(), SAME).astype(int)
    assert np.abs(out[..., 0] - np.linspace(0, 255, SIZE[1])[None, :]).max() < 6
    assert np.abs(out[..., 1] - np.linspace(0, 255, SIZE[0])[:, None]).max() < 6
    assert (out[..., 2] == 100).all()


@pytest.mark.parametrize("degrees", [-15.0, 15.0])
def test_a_turned_image_keeps_its_middle_and_has_no_black_corners(degrees: float) -> None:
    """An image would be moved by turning it, or the network would learn from corners that no photo has."""
    white = np.full((60, 60, 3), 255, np.uint8)
    assert (view(white, replace(SAME, degrees=degrees), (50, 50)) == 255).all()
    white[28:32, 28:32] = 0
    rows, columns = np.nonzero(view(white, replace(SAME, degrees=degrees), (60, 60))[..., 0] < 128)
    assert abs(rows.mean() - 29.5) < 0.6
    assert abs(columns.mean() - 29.5) < 0.6


def test_an_image_is_turned_by_the_angle() -> None:
    """The angle would be another one, or the image stretched as well."""
    line = np.zeros((101, 101, 3), np.uint8)
    line[50, 15:86] = 255
    out = view(line, replace(SAME, degrees=10.0), (101, 101))[..., 0]
    rows, columns = np.nonzero(out > 100)
    slope = np.polyfit(columns, rows, 1)[0]
    assert abs(np.degrees(np.arctan(abs(slope))) - 10) < 1


def test_a_window_that_is_far_wider_than_high_can_be_turned() -> None:
    """A panorama would end the run."""
    wide = np.full((12, 400, 3), 200, np.uint8)
    assert (view(wide, replace(SAME, degrees=15.0), (10, 300)) == 200).all()


def test_brightness_is_added_and_contrast_is_about_the_mean() -> None:
    """Light would be changed by more or less than is said, or wrap around from white to black."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4], pixels[4:] = 100, 200
    assert np.unique(view(pixels, replace(SAME, brightness=0.2), (8, 8))).tolist() == [151, 251]
    assert np.unique(view(pixels, replace(SAME, contrast=0.8), (8, 8))).tolist() == [110, 190]
    pixels[4:] = 250
    assert np.unique(view(pixels, replace(SAME, brightness=0.2), (8, 8))).tolist() == [151, 255]


def test_the_erased_part_has_the_mean_colour_and_the_rest_is_left() -> None:
    """A part of another size or place would be painted over, or in a colour that stands out."""
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:, 10:] = 200
    out = view(pixels, replace(SAME, erased=(0.5, 0.25, 0.25, 0.5)), (20, 20))
    assert (out[5:15, 10:15] == 100).all()
    out[5:15, 10:15] = 200
    assert np.array_equal(out, pixels)


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_without_flips_no_view_is_a_mirror_image(strength: str) -> None:
    """A digit or a sign would be mirrored although that was forbidden; with flips, half of the views are mirrored."""
    pixels, out = ramp(), np.empty((*SIZE, 3), np.uint8)
    mirrored = {True: 0, False: 0}
    for flips in mirrored:
        for key in range(60):
            Augmentation(strength, flips).view_into(pixels, (3, key), out)  # type: ignore[arg-type]
            columns = out[..., 0].mean(axis=0)
            mirrored[flips] += bool(columns[: SIZE[1] // 3].mean() > columns[-SIZE[1] // 3 :].mean())
    assert mirrored[False] == 0
    assert 18 <= mirrored[True] <= 42


def test_views_with_other_settings_are_cached_apart() -> None:
    """Cached features of mirrored images would be used in a run that forbids them, or light ones for strong."""
    recipes = [Augmentation(strength, flips).recipe for strength in ("light", "strong") for flips in (True, False)]
    assert all(recipes.count(recipe) == 1 for recipe in recipes)
    assert recipes[0] == {"light": 1, "margin": 1.15}  # what entries of older versions are keyed by
    assert Augmentation("none").recipe == {}
