"""From an image file to pixels: one recipe for training, validation and prediction.

A file of any mode, depth and orientation becomes 8-bit RGB, upright, its transparent parts white, stretched to the
requested size as `keras.utils.image_dataset_from_directory` does by default. A file that cannot be read raises an
`UnreadableImageError` with a reason, whatever Pillow raised. Everything here may run in many threads at once.
"""

from __future__ import annotations

import errno
import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from autofit.dataset.contents import OF_ONE, what_instead
from autofit.input.image_files import (
    END_OF_JPEG,
    JPEG_SIGNATURE,
    DriveError,
    ImageContent,
    UnreadableImageError,
    opened,
    refuse_bomb,
    refuse_endless_scans,
    refuse_icon_bomb,
    refused_or_draft,
    require_content,
)
from autofit.input.numeric_images import NO_RANGES, ValueRanges, grey_of_numbers, kind_of
from autofit.printable import one_line
from autofit.storage.stutter import is_stutter

RECIPE = 2
"""The version of the recipe: each change that gives a valid file other pixels gets a new number, so that old cache
entries are no longer used."""

MAX_REASON_LENGTH = 160

_STRAIGHT_ALPHA = {"La": "LA", "RGBa": "RGBA"}  # the only conversion that Pillow has for premultiplied alpha

# EXIF 2.32, tag 0x0112, as in PIL.ImageOps.exif_transpose
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset(_TURNS[orientation] for orientation in (5, 6, 7, 8))

# Errors of the machine, not of the file: if they were blamed on the file, an epoch would lose good images.
_OF_THE_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

LEAST_SHARE = 0.75
"""A JPEG without its end is used if at least this share of its height is there."""

_FLAT_LEVELS = 2  # the missing part of a JPEG is decoded as one colour, up to rounding
_NOISE = bytes((31 + 97 * place) % 255 for place in range(256))  # no 0xff, with which a marker begins

_without_end: set[str] = set()
_last_paths: dict[int, str] = {}  # by thread, so that a message can name the drive that a thread waits for
_last_status: dict[int, os.stat_result] = {}  # by thread, of the file that it has decoded last


def decode_image(
    path: str | os.PathLike[str], size: tuple[int, int], ranges: ValueRanges = NO_RANGES
) -> NDArray[np.uint8]:
    """Decode one image.

    Args:
        path: The image file.
        size: (height, width) in pixels, at least 1 each.
        ranges: the numbers that are black and white in images of more than 8 bits.

    Returns:
        uint8 (height, width, 3), RGB, 0..255.

    Raises:
        DriveError: the drive failed, which may pass (`drive_patience.py`).
        UnreadableImageError: the file is missing, damaged, too large, or not an image.
        MemoryError: there is no memory for it.
        OSError: the machine is out of file handles or memory; every other OSError is reported as the file's.
    """
    out = np.empty((*size, 3), np.uint8)
    decode_into(path, out, ranges)
    return out


def lack_their_end() -> frozenset[str]:
    """The paths of the JPEGs whose end was missing when this process last decoded them, or read them from the cache."""
    return frozenset(_without_end)


def lacks_its_end(path: str) -> bool:
    """Whether the end of this JPEG was missing when this process last decoded it, or read it from the cache."""
    return path in _without_end


def note_cut_off(path: str) -> None:
    """Note that what was read from the cache was made of a JPEG that lacks its end."""
    _without_end.add(path)


def decode_into(path: str | os.PathLike[str], out: NDArray[np.uint8], ranges: ValueRanges = NO_RANGES) -> None:
    """Decode one image into `out`, uint8 (height, width, 3), which stays as it is if that fails.

    Raises:
        UnreadableImageError, MemoryError, OSError: as `decode_image`.
    """
    height, width, _ = out.shape
    _last_paths[threading.get_ident()] = os.fspath(path)
    _last_status.pop(threading.get_ident(), None)
    try:
        with _quiet_pillow():
            pixels = _pixels(path, (width, height), ranges)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # on damaged files Pillow raises whatever its parsers run into
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise
        raise (DriveError if is_stutter(error) else UnreadableImageError)(_reason(error, path)) from error
    out[...] = pixels


@contextmanager
def image_of(path: str) -> Iterator[Image.Image | None]:
    """The image, opened within this context, with only its header read; None if it cannot be opened."""
    with ExitStack() as files, _quiet_pillow():
        image = None
        with suppress(Exception):  # on damaged files Pillow raises whatever its parsers run into
            require_content(path)
            stream = files.enter_context(ImageContent(path))
            refuse_icon_bomb(stream)
            image = files.enter_context(opened(stream))
            refuse_bomb(*image.size)
        yield image


def path_read_by(thread: int) -> str | None:
    """The path of the image that a thread is decoding or decoded last; None if it has decoded none."""
    return _last_paths.get(thread)


def last_status(path: str) -> os.stat_result | None:
    """What was said of the file that this thread has decoded last; None if that is another path."""
    thread = threading.get_ident()
    return _last_status.get(thread) if _last_paths.get(thread) == path else None


def is_sideways(image: Image.Image) -> bool:
    """Whether width and height of an upright photo are those of the file exchanged."""
    return _turn(image) in _SIDEWAYS


def _pixels(path: str | os.PathLike[str], size: tuple[int, int], ranges: ValueRanges) -> NDArray[np.uint8]:
    """The pixels, uint8 (height, width, 3), for `size` = (width, height), which is Pillow's order."""
    _without_end.discard(os.fspath(path))  # the file may have been repaired since
    require_content(path)
    # A stream, not a path: for a path Pillow maps plain bitmaps, and a file cut short meanwhile would be a SIGBUS.
    with ImageContent(path) as stream:
        _last_status[threading.get_ident()] = stream.status
        refuse_icon_bomb(stream)
        try:
            return _pixels_of(stream, size, ranges)
        except OSError as error:
            stream.seek(0)
            if not str(error).startswith("image file is truncated") or stream.read(3) != JPEG_SIGNATURE:
                raise
            stream.seek(0)
            there = stream.read()
            pixels = _pixels_of(io.BytesIO(there + END_OF_JPEG), size, ranges, there)
    _without_end.add(os.fspath(path))
    return pixels


def _pixels_of(
    stream: BinaryIO, size: tuple[int, int], ranges: ValueRanges, there: bytes | None = None
) -> NDArray[np.uint8]:
    """The pixels of an open image; of a JPEG that lacks its end, `there` is what the file holds."""
    with opened(stream) as image:
        refuse_endless_scans(image, stream)
        # Square, since the photo may lie on its side, which is known for a PNG only after loading; None unless a JPEG.
        draft = refused_or_draft(image, 2 * max(size))
        image.load()
        if there is not None:
            _require_most_of(image, there, 2 * max(size))
        turn = _turn(image)
        stretched = _as_rgb(image, ranges).resize(
            size[::-1] if turn in _SIDEWAYS else size,
            Image.Resampling.BILINEAR,
            box=draft and draft[1],
            reducing_gap=2.0,
        )
    return np.asarray(stretched if turn is None else stretched.transpose(turn))


def _require_most_of(image: Image.Image, there: bytes, side: int) -> None:
    """Refuse a JPEG without its end if too much is missing: the missing lines are decoded as one colour.

    So may lines be that are there, such as those of a plain table below a cup.
    """
    lines = np.asarray(image.convert("RGB"))
    flat = (np.ptp(lines, axis=1) <= _FLAT_LEVELS).all(axis=1)
    present = len(flat) - int(np.argmin(flat[::-1])) if not flat.all() else 0
    if present < LEAST_SHARE * len(flat):
        present = max(present, _lines_there(lines, there, side))
    if present < LEAST_SHARE * len(flat):
        raise UnreadableImageError(f"cut off: {present / len(flat):.0%} of it is there")


def _lines_there(lines: NDArray[np.uint8], there: bytes, side: int) -> int:
    """How many lines of a JPEG are there for certain: those that stay as they are with noise behind the file's bytes.

    Where lines are missing, the first of them is decoded from the noise; if none is, the noise is passed over.
    """
    with suppress(OSError), opened(io.BytesIO(there.rstrip(b"\xff") + _NOISE + END_OF_JPEG)) as image:
        refused_or_draft(image, side)
        image.load()
        changed = (np.asarray(image.convert("RGB")) != lines).any(axis=(1, 2))
        return int(np.argmax(changed)) if changed.any() else len(changed)
    return 0


def _turn(image: Image.Image) -> Image.Transpose | None:
    """The transposition that makes a loaded photo upright; None if it is upright.

    `ImageOps.exif_transpose` is not used: it turns the photo before it is made smaller, and rewrites its EXIF block,
    which fails for some cameras' blocks. A photo with a damaged EXIF block is used nevertheless.
    """
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a damaged block raises whatever its parser runs into
        return None


def _as_rgb(image: Image.Image, ranges: ValueRanges = NO_RANGES) -> Image.Image:
    """Convert the image to mode RGB, alpha over white."""
    if kind_of(image):
        return grey_of_numbers(image, ranges).convert("RGB")
    if image.mode in _STRAIGHT_ALPHA:
        image = image.convert(_STRAIGHT_ALPHA[image.mode])
    if image.has_transparency_data:
        return _over_white(image if image.mode == "RGBA" else image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    """Put an image of mode RGBA on a white background."""
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(image, mask=image)
    return canvas


def _reason(error: Exception, path: str | os.PathLike[str]) -> str:
    """One short printable line for any exception of Pillow or the system."""
    if isinstance(error, UnidentifiedImageError):
        return OF_ONE.get(what_instead(path) or "", "not an image of a known format")
    if isinstance(error, OSError | SyntaxError | Image.DecompressionBombError):
        text = getattr(error, "strerror", None) or str(error)
    else:
        text = f"damaged file ({type(error).__name__}: {error})"
    return one_line(text)[:MAX_REASON_LENGTH] or type(error).__name__


class _ThisThread(threading.local):
    decodes = False


_this_thread = _ThisThread()


class _WhileDecoding(type):
    """Makes `issubclass` return True for every warning in a thread that is decoding, and False in other threads."""

    def __subclasscheck__(cls, subclass: type) -> bool:
        return _this_thread.decodes


class _AnyWarningWhileDecoding(Warning, metaclass=_WhileDecoding):
    pass


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Ignore Pillow's warnings in this thread, such as those about large sizes and odd metadata.

    `warnings.catch_warnings` replaces the filters of all threads and restores them in the wrong order. Instead one
    permanent filter is installed that matches only inside this context; it is moved to the front if others were added.
    """
    if not any(entry[2] is _AnyWarningWhileDecoding for entry in warnings.filters[:1]):
        warnings.simplefilter("ignore", _AnyWarningWhileDecoding)
    _this_thread.decodes = True
    try:
        yield
    finally:
        _this_thread.decodes = False
