"""Photos that are drawn: a class is a kind of thing in one texture, all else is chance, and the file is as a camera's.

A photo depends on its kind, its number and its size in pixels only, so that a benchmark can be repeated. Background,
light, colours, places, sizes, turns, clutter and noise are drawn anew for each. As files of 640x480 they are 50 to 150
KB, as cameras' are.
"""

from __future__ import annotations

import colorsys
import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Field = NDArray[np.float32]
"""(height, width), a number for each pixel."""
Canvas = NDArray[np.float32]
"""(height, width, 3), 0..255."""
Points = NDArray[np.float64]
"""(corners, 2), around the origin, at most about 1 from it."""

SMALL_PHOTO = (640, 480)
LARGE_PHOTO = (4000, 3000)
"""(width, height) in pixels; the second has 12 megapixels."""

UNIT_WIDTH = 640
"""Sizes below are in pixels of a photo of this width."""
HUE_SPREAD = 0.08
"""Standard deviation, in turns: neighbours overlap, and the hue alone does not tell them apart."""
BLOCK_ROWS = 256
"""Noise is added to so many rows at once: for a large photo at once it would take a gigabyte."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the photos of a class have in common: the outline, the texture and more or less the hue of what is in them.

    Attributes:
        outline: one of `OUTLINES`.
        texture: one of `TEXTURES`.
        hue: in turns, from 0 (red) over 1/3 (green) and 2/3 (blue) to 1.
    """

    outline: str
    texture: str
    hue: float

    @property
    def name(self) -> str:
        """The name of the class and of its folder."""
        return f"{self.texture}-{self.outline}"


TASK_KINDS = (
    Kind("star", "stripes", 0 / 6),
    Kind("triangle", "stripes", 2 / 6),
    Kind("arrow", "checks", 4 / 6),
    Kind("cross", "checks", 1 / 6),
    Kind("crescent", "dots", 3 / 6),
    Kind("gear", "dots", 5 / 6),
)
"""What is to be told apart: two outlines in each texture."""

OTHER_KINDS = (
    Kind("square", "waves", 0 / 12),
    Kind("square", "grid", 6 / 12),
    Kind("disc", "grain", 3 / 12),
    Kind("disc", "rings", 9 / 12),
    Kind("hexagon", "grid", 1 / 12),
    Kind("hexagon", "grain", 7 / 12),
    Kind("flower", "rings", 4 / 12),
    Kind("flower", "waves", 10 / 12),
    Kind("bar", "waves", 2 / 12),
    Kind("bar", "grain", 8 / 12),
    Kind("heart", "grid", 5 / 12),
    Kind("heart", "rings", 11 / 12),
)
"""What a backbone is pretrained on: no outline and no texture of the task's."""


def draw_photo(kind: Kind, number: int, size: tuple[int, int] = SMALL_PHOTO) -> Image.Image:
    """CropParameters photo `number` of a kind, RGB, `size` = (width, height) in pixels."""
    random = np.random.default_rng([zlib.crc32(kind.name.encode()), number])
    canvas = _background(random, size)
    for _ in range(random.integers(2, 5)):
        _add_clutter(canvas, random)
    for _ in range(random.integers(3, 7)):
        _add_thing(canvas, kind, random)
    return Image.fromarray(_as_a_camera_sees_it(canvas, random))


def photo_file(kind: Kind, number: int, size: tuple[int, int] = SMALL_PHOTO) -> bytes:
    """The same as a JPEG file."""
    return as_jpeg(draw_photo(kind, number, size), number)


def as_jpeg(photo: Image.Image, number: int) -> bytes:
    """A JPEG file of quality 85 to 90, which depends on the photo's number."""
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=85 + number % 6)
    return file.getvalue()


# What is behind ---------------------------------------------------------------------------------------------------


def _background(random: np.random.Generator, size: tuple[int, int]) -> Canvas:
    """A gradient between two colours, with clouds of all sizes over it."""
    width, height = size
    across, down = _coordinates(size)
    turn = random.uniform(0, 2 * math.pi)
    gradient = (across * math.cos(turn) / width + down * math.sin(turn) / height + 1) / 2
    canvas = _between(gradient, _muted(random), _muted(random))
    for cells in (3, 7, 17, 41, 97):
        clouds = random.normal(0, 40 / cells**0.5, (cells * 3 // 4, cells)).astype(np.float32)
        canvas += np.asarray(Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC))[..., None]
    return canvas


def _add_clutter(canvas: Canvas, random: np.random.Generator) -> None:
    """Something plain that says nothing of the class: a see-through ellipse, or a stroke."""
    height, width, _ = canvas.shape
    mask = Image.new("L", (width, height))
    pen = ImageDraw.Draw(mask)
    strength = int(random.uniform(60, 200))
    if random.random() < 0.5:
        left, top = random.uniform(-0.2, 0.8) * width, random.uniform(-0.2, 0.8) * height
        right, bottom = left + random.uniform(0.1, 0.5) * width, top + random.uniform(0.1, 0.5) * height
        pen.ellipse((left, top, right, bottom), fill=strength)
    else:
        ends = random.uniform(0, 1, (2, 2)) * (width, height)
        thickness = int(random.uniform(4, 30) * width / UNIT_WIDTH)
        pen.line([tuple(end) for end in ends.tolist()], fill=strength, width=thickness)
    _blend(canvas, (0, 0), mask, np.broadcast_to(_muted(random), canvas.shape))


# The things -------------------------------------------------------------------------------------------------------


def _add_thing(canvas: Canvas, kind: Kind, random: np.random.Generator) -> None:
    """One thing of the kind: anywhere, turned, a little squeezed, in two colours."""
    height, width, _ = canvas.shape
    unit = width / UNIT_WIDTH
    radius = random.uniform(50, 125) * unit
    place = random.uniform(0.1, 0.9, 2) * (width, height)
    side = 2 * int(np.ceil(radius * 1.2))
    turned = OUTLINES[kind.outline]() @ _turn_and_squeeze(random) * radius + side / 2
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).polygon([tuple(point) for point in turned.tolist()], fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(unit))
    across, down = _coordinates((side, side))
    texture = TEXTURES[kind.texture](across / unit, down / unit, random)
    shade = 1 + random.uniform(-0.25, 0.25) * across[..., None] / radius
    light, dark = _hued(kind.hue, random, 0.7, 1.0), _hued(random.random(), random, 0.05, 0.4)
    corner = (int(place[0]) - side // 2, int(place[1]) - side // 2)
    _blend(canvas, corner, mask, _between(texture, dark, light) * shade)


def _turn_and_squeeze(random: np.random.Generator) -> NDArray[np.float64]:
    """A matrix (2, 2) for row vectors; nothing grows by it."""
    turn = random.uniform(0, 2 * math.pi)
    squeeze = np.diag([1.0, random.uniform(0.75, 1.0)])
    return squeeze @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])


def _polygon(corners: int, turn: float = 0.0) -> Points:
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + turn
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _radial(radius_at: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Points:
    angles = np.linspace(0, 2 * np.pi, 144, endpoint=False)
    return _polygon(144) * radius_at(angles)[:, None]


def _star() -> Points:
    return _polygon(10) * np.where(np.arange(10) % 2, 0.42, 1.0)[:, None]


def _crescent() -> Points:
    outer = np.linspace(0.2 * np.pi, 1.8 * np.pi, 60)
    inner = outer[::-1]
    return np.concatenate(
        [
            np.stack([np.cos(outer), np.sin(outer)], axis=1),
            np.stack([0.8 * np.cos(inner) + 0.4, 0.75 * np.sin(inner)], axis=1),
        ]
    )


def _heart() -> Points:
    angles = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    down = 13 * np.cos(angles) - 5 * np.cos(2 * angles) - 2 * np.cos(3 * angles) - np.cos(4 * angles)
    return np.stack([16 * np.sin(angles) ** 3, -down], axis=1) / 17


def _arrow() -> Points:
    half = [(1, 0), (0.2, 0.75), (0.2, 0.28), (-0.95, 0.28)]
    return np.array([*half, *[(x, -y) for x, y in half[:0:-1]]])


def _cross() -> Points:
    arm = np.array([(0.95, -0.28), (0.95, 0.28), (0.28, 0.28)])
    quarter_turn = np.array([[0, 1], [-1, 0]])
    return np.concatenate([arm @ np.linalg.matrix_power(quarter_turn, number) for number in range(4)])


OUTLINES: dict[str, Callable[[], Points]] = {
    "star": _star,
    "triangle": lambda: _polygon(3),
    "arrow": _arrow,
    "cross": _cross,
    "crescent": _crescent,
    "gear": lambda: _radial(lambda angles: np.where(np.floor(angles * 18 / np.pi) % 4 < 2, 1.0, 0.74)),
    "square": lambda: _polygon(4),
    "disc": lambda: _polygon(72),
    "hexagon": lambda: _polygon(6),
    "flower": lambda: _radial(lambda angles: 0.7 + 0.3 * np.cos(5 * angles)),
    "bar": lambda: _polygon(4, np.pi / 4) * (1.35, 0.4),
    "heart": _heart,
}

# Their textures, 0..1, from coordinates around the middle -----------------------------------------------------------


def _turned(across: Field, down: Field, random: np.random.Generator) -> tuple[Field, Field]:
    turn = random.uniform(0, 2 * math.pi)
    return across * math.cos(turn) + down * math.sin(turn), down * math.cos(turn) - across * math.sin(turn)


def _wave(field: Field, random: np.random.Generator) -> Field:
    """A sine of a random wavelength, in [0, 1]."""
    return np.sin(field * (2 * math.pi / random.uniform(14, 26)) + random.uniform(0, 2 * math.pi)) / 2 + 0.5


def _stripes(across: Field, down: Field, random: np.random.Generator) -> Field:
    return np.clip(3 * _wave(_turned(across, down, random)[0], random) - 1, 0, 1)


def _checks(across: Field, down: Field, random: np.random.Generator) -> Field:
    one, other = _turned(across, down, random)
    return np.abs((_wave(one, random) > 0.5) - 1.0 * (_wave(other, random) > 0.5))


def _dots(across: Field, down: Field, random: np.random.Generator) -> Field:
    one, other = _turned(across, down, random)
    return np.clip(6 * _wave(one, random) * _wave(other, random) - 2.5, 0, 1)


def _waves(across: Field, down: Field, random: np.random.Generator) -> Field:
    one, other = _turned(across, down, random)
    return _wave(one + 9 * np.sin(other / random.uniform(5, 9)), random)


def _grid(across: Field, down: Field, random: np.random.Generator) -> Field:
    one, other = _turned(across, down, random)
    return np.clip(8 * np.maximum(_wave(one, random), _wave(other, random)) - 6.8, 0, 1)


def _grain(across: Field, _: Field, random: np.random.Generator) -> Field:
    side = across.size
    cells = max(4, int(2 * across.max() / random.uniform(5, 9)))
    grains = random.uniform(-0.3, 1.3, (cells, cells)).astype(np.float32)
    return np.clip(np.asarray(Image.fromarray(grains).resize((side, side), Image.Resampling.BILINEAR)), 0, 1)


def _rings(across: Field, down: Field, random: np.random.Generator) -> Field:
    middle = random.uniform(-15, 15, 2)
    return _wave(np.hypot(across - middle[0], down - middle[1]), random)


TEXTURES: dict[str, Callable[[Field, Field, np.random.Generator], Field]] = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "waves": _waves,
    "grid": _grid,
    "grain": _grain,
    "rings": _rings,
}

# Pixels -------------------------------------------------------------------------------------------------------------


def _as_a_camera_sees_it(canvas: Canvas, random: np.random.Generator) -> NDArray[np.uint8]:
    """Less light, a darker rim, and the noise of a sensor."""
    height, width, _ = canvas.shape
    across, down = _coordinates((width, height))
    rim = 1 - random.uniform(0.1, 0.35) * ((across / width) ** 2 + (down / height) ** 2)
    canvas *= (rim * random.uniform(0.7, 1.1))[..., None]
    strength = np.float32(random.uniform(5, 11))
    for top in range(0, height, BLOCK_ROWS):
        rows = canvas[top : top + BLOCK_ROWS]
        rows += strength * random.standard_normal(rows.shape, np.float32)
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)


def _coordinates(size: tuple[int, int]) -> tuple[Field, Field]:
    """(1, width) from left to right and (height, 1) from top to bottom, 0 in the middle, in pixels."""
    width, height = size
    across = np.arange(width, dtype=np.float32) - np.float32(width / 2)
    down = np.arange(height, dtype=np.float32) - np.float32(height / 2)
    return across[None, :], down[:, None]


def _muted(random: np.random.Generator) -> Field:
    """Any colour, half way to a grey."""
    colour = random.uniform(30, 220, 3).astype(np.float32)
    return (colour + colour.mean()) / 2


def _hued(hue: float, random: np.random.Generator, low: float, high: float) -> Field:
    """A colour of about this hue, of a brightness between these two, 0..1."""
    turned = (hue + random.normal(0, HUE_SPREAD)) % 1
    bright = colorsys.hsv_to_rgb(turned, random.uniform(0.3, 0.9), random.uniform(low, high))
    return np.array(bright, np.float32) * 255


def _between(share: Field, first: Field, second: Field) -> Canvas:
    """From the first colour, where the share is 0, to the second."""
    return first + share[..., None].astype(np.float32) * (second - first)


def _blend(canvas: Canvas, corner: tuple[int, int], mask: Image.Image, colours: Canvas) -> None:
    """Lay colours over the canvas, with their upper left corner there, as far as the mask lets them."""
    height, width, _ = canvas.shape
    left, top = max(corner[0], 0), max(corner[1], 0)
    right, bottom = min(corner[0] + mask.width, width), min(corner[1] + mask.height, height)
    if right <= left or bottom <= top:
        return
    inside = np.s_[top - corner[1] : bottom - corner[1], left - corner[0] : right - corner[0]]
    share = np.asarray(mask)[inside][..., None].astype(np.float32) / 255
    under = canvas[top:bottom, left:right]
    under += share * (colours[inside] - under)
