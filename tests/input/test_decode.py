from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from autofit.input import decode, numeric_images
from autofit.input.decode import decode_image, decode_into, lack_their_end
from autofit.input.image_files import (
    FORMATS,
    MAX_PIXELS,
    MAX_SCANNED_PIXELS,
    ImageContent,
    UnreadableImageError,
)
from autofit.input.numeric_images import ValueRanges

WHITE = (255, 255, 255)
HALF_RED = (255, 127, 127)  # red of alpha 128 over white


def png(header: tuple[int, int, int, int], rows: bytes = b"", *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of (width, height, bits, colour type), filtered rows, and chunks that stand before the pixels."""
    listed = [
        (b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0)),
        *chunks,
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in listed
    )


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decoded(folder: Path, data: bytes, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    (folder / "image").write_bytes(data)
    return decode_image(folder / "image", size)


def plain(mode: str, color: object) -> Image.Image:
    return Image.new(mode, (6, 4), color)  # type: ignore[arg-type]


def palette_image(colors: bytes) -> Image.Image:
    """An image of mode P whose every pixel has the first of `colors`."""
    image = plain("P", 0)
    image.putpalette(colors)
    return image


def asymmetric(width: int, height: int) -> Image.Image:
    """Red, green, blue and yellow quarters: no two of the eight orientations look the same."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("green", (width // 2, 0, width, height // 2))
    image.paste("blue", (0, height // 2, width // 2, height))
    image.paste("yellow", (width // 2, height // 2, width, height))
    return image


def with_orientation(image: Image.Image, orientation: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(image, kind, exif=exif, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (plain("1", 1), "PNG", WHITE),
        (plain("1", 0), "BMP", (0, 0, 0)),
        (plain("L", 77), "PNG", (77, 77, 77)),
        (plain("L", 77), "JPEG", (77, 77, 77)),
        (plain("LA", (0, 0)), "PNG", WHITE),
        (plain("LA", (0, 128)), "PNG", (127, 127, 127)),
        (palette_image(bytes((10, 20, 30))), "PNG", (10, 20, 30)),
        (palette_image(bytes((10, 20, 30))), "GIF", (10, 20, 30)),
        (plain("PA", (0, 0)), "TIFF", WHITE),
        (plain("RGB", (1, 2, 3)), "PNG", (1, 2, 3)),
        (plain("RGB", (1, 2, 3)), "WEBP", None),
        (plain("RGB", (1, 2, 3)), "AVIF", None),
        (plain("RGB", (1, 2, 3)), "JPEG2000", (1, 2, 3)),
        (plain("RGB", (1, 2, 3)), "PPM", (1, 2, 3)),
        (plain("RGB", (1, 2, 3)), "BMP", (1, 2, 3)),
        (plain("RGB", (1, 2, 3)), "DIB", (1, 2, 3)),
        (plain("RGB", (1, 2, 3)), "TIFF", (1, 2, 3)),
        (plain("RGB", (1, 2, 3)), "TGA", (1, 2, 3)),
        (plain("RGB", (1, 2, 3)), "PCX", (1, 2, 3)),
        (plain("RGB", (1, 2, 3)), "QOI", (1, 2, 3)),
        (Image.new("RGB", (16, 16), (1, 2, 3)), "ICO", (1, 2, 3)),
        (plain("RGBA", (255, 0, 0, 128)), "PNG", HALF_RED),
        (plain("RGBA", (255, 0, 0, 0)), "PNG", WHITE),
        (plain("RGBX", (1, 2, 3, 0)), "TIFF", (1, 2, 3)),
        (plain("CMYK", (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
        (plain("CMYK", (0, 0, 0, 255)), "TIFF", (0, 0, 0)),
        (plain("LAB", (255, 128, 128)), "TIFF", (254, 255, 254)),
        (plain("I;16", 0x8012), "PNG", (128, 128, 128)),
        (plain("I;16", 65535), "TIFF", WHITE),
        (plain("I;16B", 0x4000), "TIFF", (64, 64, 64)),
        (plain("I;16", 65535), "PPM", WHITE),
        (plain("I", 200), "TIFF", (200, 200, 200)),
        (plain("I", 65535), "TIFF", WHITE),
        (plain("F", 0.2), "TIFF", (51, 51, 51)),
        (plain("F", 51.0), "TIFF", (51, 51, 51)),
        (plain("F", 65535.0), "TIFF", WHITE),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_every_mode_and_format_becomes_rgb(
    tmp_path: Path, image: Image.Image, kind: str, expected: tuple[int, int, int] | None
) -> None:
    """A valid photo of an unusual kind would be clipped, tinted, or left out of the training."""
    pixels = decoded(tmp_path, encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})), (4, 6))
    assert pixels.shape == (4, 6, 3)
    assert pixels.dtype == np.uint8
    tolerance = 0 if expected else 3  # AVIF loses a little
    assert np.abs(pixels.astype(int) - (expected or (1, 2, 3))).max() <= tolerance


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (plain("La", (64, 128)), (191, 191, 191)),
        (plain("RGBa", (128, 0, 0, 128)), HALF_RED),
        (plain("RGBX", (1, 2, 3, 9)), (1, 2, 3)),
        (plain("HSV", (0, 255, 255)), (255, 0, 0)),
        (plain("YCbCr", (255, 128, 128)), WHITE),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_modes_that_no_file_here_has_become_rgb(image: Image.Image, expected: tuple[int, int, int]) -> None:
    """A mode that a later Pillow gives for some file would raise, or show premultiplied colours."""
    assert decode._as_rgb(image).getpixel((0, 0)) == expected


def test_adobe_cmyk_jpegs_are_not_negatives(tmp_path: Path) -> None:
    """Photoshop stores CMYK inverted: the photo would be trained on as its negative."""
    pixels = decoded(tmp_path, encoded(plain("CMYK", (0, 255, 255, 0)), "JPEG", quality=100), (4, 6))
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize(
    "data",
    [
        encoded(palette_image(bytes((10, 20, 30))), "PNG", transparency=0),
        encoded(palette_image(bytes((10, 20, 30))), "PNG", transparency=b"\0"),
        encoded(palette_image(bytes((10, 20, 30))), "GIF", transparency=0),
        encoded(plain("RGB", (10, 20, 30)), "PNG", transparency=(10, 20, 30)),
        encoded(plain("L", 10), "PNG", transparency=10),
        encoded(plain("1", 0), "PNG", transparency=0),
        png((1, 1, 16, 0), b"\0\x12\x34", (b"tRNS", b"\x12\x34")),
    ],
    ids=["P", "P with bytes", "GIF", "RGB", "L", "1", "16 bit"],
)
def test_a_transparent_color_becomes_white(tmp_path: Path, data: bytes) -> None:
    """What the author made invisible would be trained on in whatever colour it happens to have."""
    assert (decoded(tmp_path, data, (2, 2)) == 255).all()


def test_16_bit_color_with_a_transparent_color_is_read(tmp_path: Path) -> None:
    """The 16-bit transparent colour would not fit into the 8-bit pixels, and a valid image would be left out."""
    data = png((1, 1, 16, 2), b"\0\xff\xff\0\0\0\0", (b"tRNS", b"\0\x01\0\x02\0\x03"))
    assert decoded(tmp_path, data, (1, 1)).tolist() == [[[255, 0, 0]]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[-1.0, 0.0, 1.0]], [0, 128, 255]),
        ([[0.0, 50_000.0, 100_000.0]], [0, 128, 255]),
        ([[np.nan, 0.0, np.inf]], [0, 0, 255]),
        ([[np.nan, np.nan, np.nan]], [0, 0, 0]),
        ([[-5.0, -5.0, -5.0]], [0, 0, 0]),
    ],
    ids=["negative", "large", "not finite", "nothing finite", "constant"],
)
def test_numbers_beyond_the_usual_ranges_are_scaled(
    tmp_path: Path, values: list[list[float]], expected: list[int]
) -> None:
    """Measured values outside 0..255 would be clipped to black and white, or divide by zero."""
    data = encoded(Image.fromarray(np.array(values, np.float32)), "TIFF")
    assert decoded(tmp_path, data, (1, 3))[0, :, 0].tolist() == expected


def test_an_animation_shows_its_first_frame(tmp_path: Path) -> None:
    """An animated image would be refused, or show a frame that depends on the decoder."""
    frames = [plain("RGB", color) for color in ("red", "blue", "green")]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert decoded(tmp_path, data, (4, 6))[0, 0].tolist() == [255, 0, 0], kind


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_photos_stand_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    """Photos of a phone held sideways would be trained on lying on their side, or stretched the wrong way."""
    stored = asymmetric(32, 16)
    data = with_orientation(stored, orientation, kind)
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    pixels = decoded(tmp_path, data, (upright.height, upright.width))
    assert pixels.tolist() == np.asarray(upright).tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright_when_the_jpeg_is_decoded_smaller(tmp_path: Path, orientation: int) -> None:
    """The size that the decoder aims at would be that of the unturned photo, or the turn would come twice."""
    upright = np.asarray(asymmetric(16, 8)).astype(int)
    turn = decode._TURNS.get(orientation)
    big = asymmetric(512, 256)
    inverse = {
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    }
    stored = big if turn is None else big.transpose(inverse.get(turn, turn))
    pixels = decoded(tmp_path, with_orientation(stored, orientation, "JPEG"), (8, 16)).astype(int)
    for row, column in ((1, 2), (1, 13), (6, 2), (6, 13)):  # off the borders of the quarters
        assert np.abs(pixels[row, column] - upright[row, column]).max() <= 4, (row, column)


@pytest.fixture
def loaded_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The (width, height) that the images decoded in this test had before they were resized."""
    sizes = []

    def record(image: Image.Image, _: ValueRanges) -> Image.Image:
        sizes.append(image.size)
        return image

    monkeypatch.setattr(decode, "_as_rgb", record)
    return sizes


def test_a_large_jpeg_is_decoded_smaller(tmp_path: Path, loaded_sizes: list[tuple[int, int]]) -> None:
    """Every photo would be decoded at its full size: several times slower."""
    decoded(tmp_path, encoded(asymmetric(640, 480), "JPEG"), (60, 40))
    assert loaded_sizes == [(160, 120)]  # a quarter: at least twice the longer side of the target


def test_a_large_jpeg_on_its_side_is_decoded_large_enough(tmp_path: Path, loaded_sizes: list[tuple[int, int]]) -> None:
    """The decoder would aim at the size of the photo lying down: upright it would be blurred in one direction."""
    decoded(tmp_path, with_orientation(asymmetric(640, 480), 6, "JPEG"), (100, 160))
    assert loaded_sizes == [(640, 480)]  # half would be 240 high, and its height becomes the 160: less than twice


def test_the_border_of_a_jpeg_decoded_smaller_keeps_its_width(tmp_path: Path) -> None:
    """The last column, which covers a part of eight, would count as eight: everything shifts a little."""
    stored = Image.new("L", (129, 128), 0)
    stored.paste(255, (128, 0, 129, 128))  # one white column, at the right
    white = decoded(tmp_path, encoded(stored, "JPEG", quality=100), (8, 8))[:, -1, 0]
    assert white.max() <= 50  # 10 at full size, 40 here; 101 if the column were as wide as the others


def test_photos_are_stretched_as_keras_does(tmp_path: Path) -> None:
    """Proportions would differ from the default of `image_dataset_from_directory`, or borders be cropped."""
    pixels = decoded(tmp_path, encoded(asymmetric(64, 16), "PNG"), (8, 8))
    assert pixels[1, 1].tolist() == [255, 0, 0]
    assert pixels[1, 6].tolist() == [0, 128, 0]
    assert pixels[6, 1].tolist() == [0, 0, 255]
    assert pixels[6, 6].tolist() == [255, 255, 0]


def test_a_damaged_exif_block_does_not_cost_the_photo(tmp_path: Path) -> None:
    """Photos with metadata that some editor broke would be left out, though every pixel is there."""
    data = encoded(plain("RGB", (9, 9, 9)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decoded(tmp_path, data, (4, 6))[0, 0].tolist() == [9, 9, 9]


def bomb_bmp() -> bytes:
    return struct.pack("<2sIIIIiiHHIIiiII", b"BM", 54, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "data",
    [png((12_000, 12_000, 8, 2)), png((60_000, 60_000, 8, 2)), png((2**31 - 1, 2**31 - 1, 1, 0)), bomb_bmp()],
    ids=["that Pillow only warns of", "that Pillow refuses", "of the largest size", "BMP"],
)
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, data: bytes) -> None:
    """A file of a few bytes would take gigabytes, and the run would end for lack of memory."""
    with pytest.raises(UnreadableImageError, match="pixels"):
        decoded(tmp_path, data, (4, 4))


def icon(picture: bytes, bits: int = 32) -> bytes:
    """An ICO of one picture, of 256 x 256 pixels as its directory says."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, bits, len(picture), 22) + picture


@pytest.mark.parametrize(
    "picture",
    [png((13_000, 13_000, 1, 0), bytes(13_000 * 1626)), bomb_bmp()[14:]],  # the first is under what Pillow refuses
    ids=["PNG", "bitmap"],
)
def test_an_icon_is_refused_before_pillow_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: bytes
) -> None:
    """Pillow decodes an icon while it opens it: half a gigabyte would be taken before its size is looked at."""
    monkeypatch.setattr(Image, "open", raising(AssertionError("opened")))
    with pytest.raises(UnreadableImageError, match="pixels; at most"):
        decoded(tmp_path, icon(picture), (4, 4))


def test_an_icon_of_any_picture_is_read(tmp_path: Path) -> None:
    """The look at an icon's headers would refuse good ones, or leave Pillow in the middle of the file."""
    icons = [
        encoded(Image.new("RGBA", (32, 32), (1, 2, 3, 255)), "ICO", **options)
        for options in ({}, {"bitmap_format": "bmp"}, {"sizes": [(16, 16), (32, 32)]})
    ]
    of_os2 = struct.pack("<IHHHH", 12, 32, 64, 1, 24) + bytes((3, 2, 1)) * 1024 + bytes(128)
    for data in [*icons, icon(of_os2, bits=24)]:
        assert decoded(tmp_path, data, (4, 6))[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("data", [b"\0\0\1\0", b"\0\0\1\0\xff", icon(b"")[:20], icon(b""), icon(b"\x89PNG\r\n\x1a\n")])
def test_a_damaged_icon_has_a_reason(tmp_path: Path, data: bytes) -> None:
    """A few bytes that begin like an icon would end the run where their headers are looked for."""
    with pytest.raises(UnreadableImageError, match="not an image of a known format"):
        decoded(tmp_path, data, (4, 4))


def of_many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG of side x side pixels whose last scan comes again and again."""
    data = encoded(Image.new("L", (side, side), 99), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (scans - data.count(b"\xff\xda")) + data[-2:]


def test_a_jpeg_that_would_take_minutes_is_refused(tmp_path: Path) -> None:
    """A file of some kilobytes would hold up a thread of the loader, and with it the training."""
    pixels_read = 2000 * 2000
    scans = MAX_SCANNED_PIXELS // pixels_read
    data = of_many_scans(2000, scans + 1)
    assert len(data) < 10**6
    with pytest.raises(UnreadableImageError, match=f"2000 x 2000 pixels in {scans + 1} scans: no photo has so many"):
        decoded(tmp_path, data, (4, 4))


def test_a_jpeg_of_many_scans_is_read(tmp_path: Path) -> None:
    """Progressive photos would be refused."""
    assert (np.abs(decoded(tmp_path, of_many_scans(200, 500), (4, 4)).astype(int) - 99) <= 2).all()


def test_a_part_said_to_be_endless_is_no_lack_of_memory(tmp_path: Path) -> None:
    """One flipped bit in a photo would end the run as if the machine's memory had run out."""
    data = encoded(plain("RGB", (1, 2, 3)), "JPEG2000")
    place = data.index(b"jp2h") - 4
    lying = data[:place] + struct.pack(">I4sQ", 1, b"jp2h", 2**60) + data[place + 8 :]
    with pytest.raises(UnreadableImageError, match="Expected to read"):
        decoded(tmp_path, lying, (4, 4))


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_numbers_are_converted_strip_by_strip_as_they_are_at_once(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Each strip would have a range of its own, or one be lost: bands in every large image."""
    steps = np.arange(35 * 9).reshape(35, 9) * 97
    image = Image.fromarray(steps.astype({"I": np.int32, "F": np.float32, "I;16": np.uint16}[mode]))
    assert image.mode == mode
    at_once = decode._as_rgb(image)
    monkeypatch.setattr(numeric_images, "_STRIP_PIXELS", 40)  # four rows; the last strip has three
    assert decode._as_rgb(image).tobytes() == at_once.tobytes()
    darkest, brightest = at_once.convert("L").getextrema()
    assert (darkest, brightest) in {(0, 118), (0, 119)}  # the high byte, or rounded


@pytest.mark.slow
def test_the_limit_is_the_files_not_pillows(tmp_path: Path) -> None:
    """Pillow's own limit would have been changed for the user's code, or a size that it warns of would be refused."""
    limit_before = Image.MAX_IMAGE_PIXELS
    width = 50_000
    height = 2_000  # 100 million pixels: Pillow warns, autofit reads
    assert limit_before is not None
    assert limit_before < width * height < MAX_PIXELS
    data = png((width, height, 1, 0), (b"\0" + b"\xff" * (width // 8)) * height)
    assert (decoded(tmp_path, data, (50, 500)) == 255).all()
    assert limit_before == Image.MAX_IMAGE_PIXELS


def odd_png() -> bytes:
    """A readable PNG that Pillow warns of: an animation of no frames."""
    return png((1, 1, 8, 0), b"\0\7", (b"acTL", bytes(8)))


def test_pillow_does_warn_of_the_odd_image() -> None:
    """The tests of silence below would pass with nothing to be silent about."""
    with pytest.warns(UserWarning, match="Invalid APNG"), Image.open(io.BytesIO(odd_png())) as image:
        image.load()


def test_no_warning_leaks_from_any_thread(tmp_path: Path) -> None:
    """Every odd photo would print warnings; turned into errors, they would leave the photo out."""
    (tmp_path / "odd").write_bytes(odd_png())
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                assert (decode_image(tmp_path / "odd", (2, 2)) == 7).all()
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert seen == []


def test_others_are_still_warned(tmp_path: Path) -> None:
    """The silence would swallow the warnings of the user's own code, after a decode or beside one."""
    decoded(tmp_path, odd_png(), (2, 2))
    with decode._quiet_pillow():
        seen: list[str] = []
        other = threading.Thread(target=lambda: seen.append(caught_warning()))
        other.start()
        other.join()
    assert [*seen, caught_warning()] == ["heard", "heard"]


def caught_warning() -> str:
    try:
        warnings.warn("heard", RuntimeWarning, stacklevel=1)
    except RuntimeWarning as warning:  # pytest is set to make errors of them
        return str(warning)
    return "nothing"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF"])
def test_a_truncated_file_is_unreadable(tmp_path: Path, kind: str) -> None:
    """A download that stopped halfway would be trained on as a half grey image, or end the run."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    for length in (1, 20, len(data) // 2):
        with pytest.raises(UnreadableImageError) as caught:
            decoded(tmp_path, data[:length], (8, 8))
        reason = str(caught.value)
        assert reason
        assert "\n" not in reason
        assert str(tmp_path) not in reason


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (
            lambda path: path.write_text("not a photo, but a few words about one\n" * 9),
            "not an image of a known format",
        ),
        (lambda path: path.mkdir(), "it is a folder"),
        (lambda _: None, "No such file or directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (os.mkfifo, "it is not a regular file"),
        (
            lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"),
            "not an image of a known format",
        ),
    ],
    ids=["empty", "text", "folder", "missing", "symlink loop", "named pipe", "PostScript"],
)
def test_what_is_no_image_has_a_reason(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    """The run would end, wait for ever, start Ghostscript on an untrusted program, or not say what is wrong."""
    make(tmp_path / "photo.jpg")
    with pytest.raises(UnreadableImageError) as caught:
        decode_image(tmp_path / "photo.jpg", (4, 4))
    assert str(caught.value) == reason


def raising(error: Exception) -> Callable[..., None]:
    def opened(*_: object, **__: object) -> None:
        raise error

    return opened


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/photos/a.jpg"), "Permission denied"),
        (SyntaxError("broken\nheader \x1b[31m"), r"broken header \x1b[31m"),
        (struct.error("short"), "damaged file (error: short)"),
        (KeyError("x"), "damaged file (KeyError: 'x')"),
        (ZeroDivisionError("by zero"), "damaged file (ZeroDivisionError: by zero)"),
        (OSError(), "OSError"),
        (OSError("x" * 999), "x" * 160),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_whatever_pillow_raises_is_one_short_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """A file that somebody mutated would end the run, or write control characters to the terminal."""
    monkeypatch.setattr(Image, "open", raising(error))
    with pytest.raises(UnreadableImageError) as caught:
        decoded(tmp_path, b"data", (4, 4))
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.EMFILE, "Too many open files")], ids=["memory", "handles"]
)
def test_what_the_machine_lacks_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A moment without memory or file handles would drop good images from the epoch."""
    monkeypatch.setattr(Image, "open", raising(error))
    with pytest.raises(type(error)):
        decoded(tmp_path, b"data", (4, 4))


def test_decoding_into_a_row_leaves_its_neighbours(tmp_path: Path) -> None:
    """An image would spill into the images beside it, or a failed one leave half of itself in its row."""
    batch = np.full((3, 4, 6, 3), 5, np.uint8)
    (tmp_path / "good").write_bytes(encoded(plain("RGB", (1, 2, 3)), "PNG"))
    (tmp_path / "bad").write_bytes(encoded(asymmetric(64, 64), "PNG")[:-40])
    decode_into(tmp_path / "good", batch[1])
    with pytest.raises(UnreadableImageError):
        decode_into(tmp_path / "bad", batch[2])
    assert (batch[1] == (1, 2, 3)).all()
    assert (batch[[0, 2]] == 5).all()


def test_every_format_is_one_that_pillow_reads() -> None:
    """Pillow raises KeyError for a format that it does not know: every file of no earlier format would be misjudged."""
    Image.init()
    assert set(FORMATS) <= set(Image.OPEN)


SEEDS = [
    encoded(asymmetric(40, 30), kind, **({"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"} if kind in {"JPEG", "PNG"} else {}))
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA")
]


@pytest.mark.slow
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_mutated_files_are_read_or_named(tmp_path: Path, seed: bytes, changes: list[tuple[int, int]]) -> None:
    """One damaged file among thousands would end the run with a traceback from inside Pillow."""
    data = bytearray(seed)
    for place, value in changes:
        data[place % len(data)] = value
    with contextlib.suppress(UnreadableImageError):
        assert decoded(tmp_path, bytes(data), (5, 7)).shape == (5, 7, 3)


def noisy_jpeg(*, progressive: bool = False) -> bytes:
    """A JPEG of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (160, 64, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG", progressive=progressive)
    return stream.getvalue()


def half_plain_jpeg(level: int, *, progressive: bool = False) -> bytes:
    """A JPEG of noise, whose lower half is of one grey."""
    pixels = np.random.default_rng(0).integers(0, 256, (160, 64, 3), dtype=np.uint8)
    pixels[80:] = level
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", progressive=progressive)
    return stream.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("missing", [2, 30, 300])
def test_a_jpeg_that_only_lacks_its_end_is_used_and_counted(
    tmp_path: Path, missing: int, options: dict[str, bool]
) -> None:
    """Photos of a card that was pulled out too early would be lost, or used without a word."""
    whole = noisy_jpeg(**options)
    (tmp_path / "photo").write_bytes(whole[:-missing])
    cut_off = decode_image(tmp_path / "photo", (160, 64)).astype(int)
    assert str(tmp_path / "photo") in lack_their_end()
    entire = decoded(tmp_path, whole, (160, 64)).astype(int)
    assert np.abs(cut_off - entire)[:120].mean() < (8 if options else 1)


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("level", [0, 128, 200])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_with_a_plain_lower_half_that_only_lacks_its_end_is_used(
    tmp_path: Path, missing: int, level: int, options: dict[str, bool]
) -> None:
    """A cup on a white table would be said to be cut off in the middle, and be left out."""
    whole = half_plain_jpeg(level, **options)
    (tmp_path / "cup").write_bytes(whole[:-missing])
    used = decode_image(tmp_path / "cup", (160, 64)).astype(int)
    assert str(tmp_path / "cup") in lack_their_end()
    assert np.array_equal(used, decoded(tmp_path, whole, (160, 64)))


def test_a_jpeg_cut_off_before_its_plain_lower_half_is_refused(tmp_path: Path) -> None:
    """What is missing would be taken for the white table."""
    whole = half_plain_jpeg(200)
    with pytest.raises(UnreadableImageError, match=r"^cut off: [34]\d% of it is there$"):
        decoded(tmp_path, whole[: len(whole) * 8 // 10], (8, 8))


def test_a_whole_jpeg_is_not_counted(tmp_path: Path) -> None:
    """A good data set would be called damaged."""
    (tmp_path / "good").write_bytes(noisy_jpeg())
    decode_image(tmp_path / "good", (8, 8))
    assert str(tmp_path / "good") not in lack_their_end()


def test_a_jpeg_that_was_mended_is_not_counted_any_more(tmp_path: Path) -> None:
    """In a notebook a second check would still name a file that has been put right since the first."""
    path, whole = tmp_path / "mended", noisy_jpeg()
    path.write_bytes(whole[:-30])
    decode_image(path, (8, 8))
    assert str(path) in lack_their_end()
    path.write_bytes(whole)
    decode_image(path, (8, 8))
    assert str(path) not in lack_their_end()


def test_a_jpeg_that_lacks_more_than_its_end_says_how_much(tmp_path: Path) -> None:
    """A download that stopped halfway would be trained on as a half grey image."""
    whole = noisy_jpeg()
    with pytest.raises(UnreadableImageError, match=r"^cut off: [456]\d% of it is there$"):
        decoded(tmp_path, whole[: len(whole) * 55 // 100], (8, 8))


def test_a_large_jpeg_is_judged_by_what_decoding_costs(tmp_path: Path) -> None:
    """A panorama of 200 megapixels would be left out, though at an eighth it costs no more than a photo."""
    stream = io.BytesIO()
    Image.new("L", (16_000, 12_600), 200).save(stream, "JPEG", quality=10)
    pixels = decoded(tmp_path, stream.getvalue(), (32, 32))
    assert np.abs(pixels.astype(int) - 200).max() <= 2


def test_a_large_progressive_jpeg_is_refused(tmp_path: Path) -> None:
    """It is held whole at any size: with two threads the worker would be killed."""
    stream = io.BytesIO()
    Image.new("L", (16, 16)).save(stream, "JPEG", progressive=True)
    data = bytearray(stream.getvalue())
    place = data.index(b"\xff\xc2") + 5
    data[place : place + 4] = struct.pack(">HH", 12_600, 16_000)
    with pytest.raises(UnreadableImageError, match="16000 x 12600 pixels; at most"):
        decoded(tmp_path, bytes(data), (32, 32))


@pytest.mark.parametrize(
    ("brightest", "level"), [(255, 255), (4095, 255), (65535, 255), (200, 200), (2048, 128), (32768, 128)]
)
def test_16_bits_that_are_not_all_used_are_not_black(tmp_path: Path, brightest: int, level: int) -> None:
    """Images of 8 or 12 bits in files of 16 would all be black, and the training learn nothing."""
    pixels = decoded(tmp_path, encoded(plain("I;16", brightest), "PNG"), (4, 4))
    assert abs(int(pixels.max()) - level) <= 1


def test_a_range_of_the_data_set_holds_for_each_image(tmp_path: Path) -> None:
    """A dark image would be as bright as a bright one; numbers beyond the range would wrap around."""
    for value, level in ((100, 6), (4095, 255), (60_000, 255)):
        (tmp_path / "grey.png").write_bytes(encoded(plain("I;16", value), "PNG"))
        assert decode_image(tmp_path / "grey.png", (4, 4), {"I;16": (0, 4095)})[0, 0].tolist() == [level] * 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a Git LFS pointer: 'git lfs pull'"),
        (b"\n<!DOCTYPE html><html>404", "a web page, not an image"),
        (b"", "the file is empty"),
        (b"plain text", "not an image of a known format"),
    ],
    ids=["pointer", "page", "empty", "text"],
)
def test_what_a_file_is_instead_is_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    """The user would look for a damaged photo."""
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UnreadableImageError, match=f"^{re.escape(reason)}"):
        decode_image(tmp_path / "a.jpg", (8, 8))


def test_a_file_whose_size_cannot_be_asked_for_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million photos on a failing drive each would keep a file open, until no more can be opened."""
    path = tmp_path / "a.png"
    path.write_bytes(encoded(plain("L", 0), "PNG"))
    asked: list[int] = []

    def failing(handle: int) -> os.stat_result:
        asked.append(handle)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as while_failing:
        while_failing.setattr(os, "fstat", failing)
        with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
            ImageContent(path)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(asked[-1])
