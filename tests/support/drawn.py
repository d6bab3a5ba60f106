"""Drawn photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def draw_tinted(folder: Path, photos_a_class: int) -> None:
    """Draw JPEG files of 96x96 pixels: `class0` to `class2`, each with its own colour."""
    random = np.random.default_rng(0)
    for number in range(3):
        (folder / f"class{number}").mkdir()
        tint = np.array([60 * number, 170 - 60 * number, 80 * (number % 2)])
        for photo in range(photos_a_class):
            pixels = random.integers(0, 80, (96, 96, 3)) + tint
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"class{number}" / f"{photo:03d}.jpg")


def draw_striped(folder: Path, photos_a_class: int) -> None:
    """Draw noisy PNG files of 32x32 pixels: `class0` with rows of stripes, `class1` with columns, `class2` with both.

    A network that is not trained tells them apart by its features somewhat better than chance.
    """
    random = np.random.default_rng(0)
    for number, (rows, columns) in enumerate([(4, 0), (0, 4), (8, 8)]):
        (folder / f"class{number}").mkdir()
        for photo in range(photos_a_class):
            pixels = random.integers(0, 200, (32, 32, 3))
            if rows:
                pixels[::rows] += 50
            if columns:
                pixels[:, ::columns] += 50
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"class{number}" / f"{photo:03d}.png")
