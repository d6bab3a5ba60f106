"""Writes a good image file of every mode and format that Pillow can write; started by `tests/faults/test_images.py`.

seed_images.py FOLDER   FOLDER/files gets the files, FOLDER/colors.json what colours each must be decoded to: those of
                        its four quarters, in reading order, and how far off they may be

All show the same image, `SIDES` wide and high, as far as their mode allows.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

SIDES = (97, 61)
RED, GREEN, BLUE, YELLOW = (220, 30, 40), (30, 190, 60), (40, 60, 210), (240, 220, 30)
WHITE = (255, 255, 255)
QUARTERS = (RED, GREEN, BLUE, YELLOW)
LOSSLESS, LOSSY = 10, 24
"""The tolerance of a colour: the texture of the image, and the loss of compression."""

Color = tuple[int, ...]


@dataclass(frozen=True)
class Seed:
    """How to make one file, and the colours of its quarters."""

    name: str
    kind: str
    image: Image.Image
    options: dict[str, Any] = field(default_factory=dict)
    quarters: tuple[Color, ...] = QUARTERS
    tolerance: int = LOSSLESS

    def encoded(self) -> bytes:
        """The content of the file."""
        stream = io.BytesIO()
        self.image.copy().save(stream, self.kind, **self.options)  # a JPEG leaves its settings behind in its image
        return stream.getvalue()


def image() -> Image.Image:
    """An RGB image of four quarters of one colour each, with some texture: no two orientations look the same."""
    width, height = SIDES
    pixels = np.empty((height, width, 3), np.int16)
    halves = slice(None, height // 2), slice(height // 2, None), slice(None, width // 2), slice(width // 2, None)
    for number, color in enumerate(QUARTERS):
        pixels[halves[number // 2], halves[2 + number % 2]] = color
    pixels += np.random.default_rng(0).integers(-8, 9, pixels.shape, np.int16)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def luminance(color: Color) -> Color:
    """Grey as Pillow converts it (ITU-R 601-2)."""
    return (round(0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]),) * 3


RGB = image()
GREY = RGB.convert("L")
GREYS = tuple(luminance(color) for color in QUARTERS)
SEE_THROUGH = (RED, GREEN, BLUE, WHITE)
GREY_SEE_THROUGH = (*GREYS[:3], WHITE)
LEVELS = np.asarray(GREY).astype(np.uint16) * 257
TURNED = Image.Exif()
TURNED[ExifTags.Base.Orientation] = 3  # upside down


def with_a_clear_quarter(image: Image.Image) -> Image.Image:
    """The image with a transparent last quarter."""
    clear = image.copy()
    alpha = Image.new("L", SIDES, 255)
    alpha.paste(0, (SIDES[0] // 2, SIDES[1] // 2, *SIDES))
    clear.putalpha(alpha)
    return clear


RGBA, LA = with_a_clear_quarter(RGB), with_a_clear_quarter(GREY)
PALETTE = RGB.quantize(32)
CLEAR_PALETTE = Image.fromarray(
    np.repeat(np.repeat(np.arange(4, dtype=np.uint8).reshape(2, 2), 31, 0), 49, 1)[:61, :97]
)
CLEAR_PALETTE = CLEAR_PALETTE.convert("L")
CLEAR_PALETTE.putpalette([value for color in QUARTERS for value in color])
BILEVEL = GREY.point(lambda level: 255 * (level > 100), mode="1")
BLACK_AND_WHITE = tuple((255 * (grey[0] > 100),) * 3 for grey in GREYS)
CMYK = RGB.convert("CMYK")


def frames() -> dict[str, Any]:
    """Options that save three frames or pages of an image, the others upside down."""
    return {"save_all": True, "append_images": [RGB.transpose(Image.Transpose.ROTATE_180) for _ in range(2)]}


def seeds() -> Iterator[Seed]:
    """All seeds, whether this Pillow can write them or not."""
    yield from jpegs()
    yield from pngs()
    yield from on_the_web()
    yield from tiffs()
    yield from older()


def jpegs() -> Iterator[Seed]:
    """JPEG and JPEG 2000."""
    yield Seed("baseline.jpg", "JPEG", RGB, {"quality": 90}, tolerance=LOSSY)
    yield Seed("full-color.jpg", "JPEG", RGB, {"quality": 95, "subsampling": 0}, tolerance=LOSSY)
    yield Seed("progressive.jpg", "JPEG", RGB, {"progressive": True, "quality": 85}, tolerance=LOSSY)
    yield Seed("restart.jpg", "JPEG", RGB, {"restart_marker_blocks": 3}, tolerance=LOSSY)
    yield Seed("grey.jpg", "JPEG", GREY, quarters=GREYS, tolerance=LOSSY)
    yield Seed("cmyk.jpg", "JPEG", CMYK, {"quality": 90}, tolerance=LOSSY)
    yield Seed("plain-rgb.jpg", "JPEG", RGB, {"keep_rgb": True}, tolerance=LOSSY)
    yield Seed("turned.jpg", "JPEG", RGB, {"exif": TURNED}, QUARTERS[::-1], LOSSY)
    yield Seed("two-pictures.mpo", "MPO", RGB, frames(), tolerance=LOSSY)
    yield Seed("rgb.jp2", "JPEG2000", RGB)
    yield Seed("rgba.jp2", "JPEG2000", RGBA, quarters=SEE_THROUGH)
    yield Seed("lossy.jp2", "JPEG2000", RGB, {"quality_layers": [8], "irreversible": True}, tolerance=LOSSY)
    yield Seed("16-bit.jp2", "JPEG2000", Image.fromarray(LEVELS), quarters=GREYS)
    yield Seed("tiled.j2k", "JPEG2000", RGB, {"no_jp2": True, "tile_size": (32, 32)})


def pngs() -> Iterator[Seed]:
    """PNG."""
    yield Seed("rgb.png", "PNG", RGB)
    yield Seed("rgba.png", "PNG", RGBA, quarters=SEE_THROUGH)
    yield Seed("grey.png", "PNG", GREY, quarters=GREYS)
    yield Seed("grey-alpha.png", "PNG", LA, quarters=GREY_SEE_THROUGH)
    yield Seed("palette.png", "PNG", PALETTE, tolerance=LOSSY)
    yield Seed("palette-clear.png", "PNG", CLEAR_PALETTE, {"transparency": 3}, SEE_THROUGH)
    yield Seed("bilevel.png", "PNG", BILEVEL, quarters=BLACK_AND_WHITE)
    yield Seed("16-bit.png", "PNG", Image.fromarray(LEVELS), quarters=GREYS)
    yield Seed("animated.png", "PNG", RGB, frames())
    yield Seed("turned.png", "PNG", RGB, {"exif": TURNED}, QUARTERS[::-1])


def on_the_web() -> Iterator[Seed]:
    """WebP, GIF, AVIF."""
    yield Seed("lossy.webp", "WEBP", RGB, {"quality": 90}, tolerance=LOSSY)
    yield Seed("lossless.webp", "WEBP", RGBA, {"lossless": True}, SEE_THROUGH)
    yield Seed("alpha.webp", "WEBP", RGBA, {"quality": 90}, SEE_THROUGH, LOSSY)
    yield Seed("animated.webp", "WEBP", RGB, {**frames(), "lossless": True})
    yield Seed("palette.gif", "GIF", PALETTE, tolerance=LOSSY)
    yield Seed("clear.gif", "GIF", CLEAR_PALETTE, {"transparency": 3}, SEE_THROUGH)
    yield Seed("animated.gif", "GIF", RGB, frames(), tolerance=LOSSY)
    yield Seed("rgb.avif", "AVIF", RGB, {"quality": 90}, tolerance=LOSSY)
    yield Seed("alpha.avif", "AVIF", RGBA, {"quality": 90}, SEE_THROUGH, LOSSY)
    yield Seed("animated.avif", "AVIF", RGB, {**frames(), "quality": 90}, tolerance=LOSSY)


def older() -> Iterator[Seed]:
    """Bitmaps, icons and formats older than the web."""
    yield Seed("rgb.bmp", "BMP", RGB)
    yield Seed("palette.bmp", "BMP", PALETTE, tolerance=LOSSY)
    yield Seed("bilevel.bmp", "BMP", BILEVEL, quarters=BLACK_AND_WHITE)
    yield Seed("unused-alpha.bmp", "BMP", RGBA)  # such a bitmap's fourth byte has no meaning
    yield Seed("rgb.dib", "DIB", RGB)
    yield Seed("rgb.ppm", "PPM", RGB)
    yield Seed("grey.pgm", "PPM", GREY, quarters=GREYS)
    yield Seed("16-bit.pgm", "PPM", Image.fromarray(LEVELS), quarters=GREYS)
    yield Seed("bilevel.pbm", "PPM", BILEVEL, quarters=BLACK_AND_WHITE)
    yield Seed("float.pnm", "PPM", Image.fromarray(LEVELS.astype(np.float32) / 65535), quarters=GREYS)
    yield Seed("png.ico", "ICO", RGBA, {"sizes": [SIDES]}, SEE_THROUGH)
    yield Seed("bitmap.ico", "ICO", RGBA, {"sizes": [SIDES], "bitmap_format": "bmp"}, SEE_THROUGH)
    yield Seed("rgb.pcx", "PCX", RGB)
    yield Seed("palette.pcx", "PCX", PALETTE, tolerance=LOSSY)
    yield Seed("bilevel.pcx", "PCX", BILEVEL, quarters=BLACK_AND_WHITE)
    yield Seed("rgb.qoi", "QOI", RGB)
    yield Seed("rgba.qoi", "QOI", RGBA, quarters=SEE_THROUGH)
    yield Seed("rgb.tga", "TGA", RGB, {"compression": "tga_rle"})
    yield Seed("palette.tga", "TGA", PALETTE, tolerance=LOSSY)
    yield Seed("grey-alpha.tga", "TGA", LA, quarters=GREY_SEE_THROUGH)


def tiffs() -> Iterator[Seed]:
    """The modes that only TIFF can hold, and its compressions."""
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma"):
        yield Seed(f"{compression}.tiff", "TIFF", RGB, {"compression": compression})
    yield Seed("jpeg.tiff", "TIFF", RGB, {"compression": "jpeg", "quality": 90}, tolerance=LOSSY)
    yield Seed("fax.tiff", "TIFF", BILEVEL, {"compression": "group4"}, BLACK_AND_WHITE)
    yield Seed("rgba.tiff", "TIFF", RGBA, {"compression": "tiff_lzw"}, SEE_THROUGH)
    yield Seed("cmyk.tiff", "TIFF", CMYK, {"compression": "tiff_lzw"})
    yield Seed("lab.tiff", "TIFF", Image.new("LAB", SIDES, (255, 128, 128)), quarters=(WHITE,) * 4)
    yield Seed("palette.tiff", "TIFF", PALETTE, tolerance=LOSSY)
    yield Seed("16-bit.tiff", "TIFF", Image.fromarray(LEVELS), {"compression": "tiff_adobe_deflate"}, GREYS)
    yield Seed("32-bit.tiff", "TIFF", Image.fromarray(LEVELS.astype(np.int32)), quarters=GREYS)
    yield Seed("float.tiff", "TIFF", Image.fromarray(LEVELS.astype(np.float32) / 65535), quarters=GREYS)
    yield Seed("pages.tiff", "TIFF", RGB, {**frames(), "compression": "tiff_lzw"})
    yield Seed("big.tiff", "TIFF", RGB, {"big_tiff": True, "compression": "tiff_lzw"})


def tiled_tiff(*, compressed: bool) -> bytes:
    """A TIFF in tiles of 32 x 32 pixels, which Pillow reads and does not write (TIFF 6.0, section 15)."""
    width, height = SIDES
    columns, rows = -(-width // 32), -(-height // 32)
    padded = np.zeros((rows * 32, columns * 32, 3), np.uint8)
    padded[:height, :width] = np.asarray(RGB)
    tiles = [
        padded[row * 32 : row * 32 + 32, column * 32 : column * 32 + 32].tobytes()
        for row in range(rows)
        for column in range(columns)
    ]
    if compressed:
        tiles = [zlib.compress(tile) for tile in tiles]
    starts = [8 + sum(map(len, tiles[:number])) for number in range(len(tiles))]
    after = 8 + sum(map(len, tiles))
    lists = struct.pack(f"<{2 * len(tiles)}I", *starts, *map(len, tiles)) + struct.pack("<3H", 8, 8, 8)
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, after + 8 * len(tiles)),
        (259, 3, 1, 8 if compressed else 1),
        (262, 3, 1, 2),
        (277, 3, 1, 3),
        (284, 3, 1, 1),
        (322, 3, 1, 32),
        (323, 3, 1, 32),
        (324, 4, len(tiles), after),
        (325, 4, len(tiles), after + 4 * len(tiles)),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, after + len(lists)) + b"".join(tiles) + lists + directory


def main() -> None:
    folder = Path(sys.argv[1])
    files = folder / "files"
    files.mkdir(parents=True)
    Image.init()
    colors = {}
    for seed in seeds():
        if seed.kind in Image.SAVE:
            (files / seed.name).write_bytes(seed.encoded())
            colors[seed.name] = {"quarters": seed.quarters, "tolerance": seed.tolerance}
    for compressed in (False, True):
        name = f"tiles-{'deflate' if compressed else 'raw'}.tiff"
        (files / name).write_bytes(tiled_tiff(compressed=compressed))
        colors[name] = {"quarters": QUARTERS, "tolerance": LOSSLESS}
    (folder / "colors.json").write_text(json.dumps(colors), encoding="utf-8")


if __name__ == "__main__":
    main()
