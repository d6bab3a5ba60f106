"""From an image file to pixels: one recipe for training, validation and prediction.

A file of any mode, depth and orientation becomes 8-bit RGB, upright, its transparent parts white, stretched to the
requested size as `keras.utils.image_dataset_from_directory` does by default. A file that cannot be read raises an
`UnreadableImageError` with a reason, whatever Pillow raised. Everything here may run in many threads at once.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from autofit.input.numeric_images import grey_of_numbers, is_numeric
from autofit.printable import one_line
from autofit.storage.stutter import is_stutter

# 512 MiB when decoded, as Pillow takes 4 bytes a pixel: above any camera's photo of 100 million pixels, and below the
# 178,956,970 at which Pillow itself refuses by default.
MAX_PIXELS = 2**27

# Each scan of a progressive JPEG goes over all its pixels again, and needs only some 200 bytes if it changes none: a
# file of 4 MB can occupy a thread for 20 minutes. Cameras and editors write about ten scans. So many pixels take 6 s.
MAX_SCANNED_PIXELS = 64 * MAX_PIXELS

# A list of formats, so that no photo makes Pillow start Ghostscript (EPS) or another program. TGA has no signature, so
# it is tried last.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "PCX", "QOI"),
    "TGA",
)

RECIPE = 1
"""The version of the recipe: each change of the pixels of a valid file gives a new number, and old cache entries are
not used any more."""

MAX_REASON_LENGTH = 160

_ICON_SIGNATURE = b"\0\0\1\0"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIDES_END = 24  # in a PNG; in a bitmap they come before
_BITMAP_HEADER_BYTES = 40  # of Windows's own, BITMAPINFOHEADER, and all later ones
_START_OF_SCAN = b"\xff\xda"  # ITU-T T.81, table B.1; inside a scan a 0xff is followed by 0 or a restart marker

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

# Errors of the machine, not of the file: if they were taken for the file's, an epoch would lose good images.
_OF_THE_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


_last_paths: dict[int, str] = {}  # by thread; who waits for a drive that hangs can say which


class UnreadableImageError(Exception):
    """An image file that cannot be read; `str()` is a short reason in one line, without the path."""


class DriveError(UnreadableImageError):
    """An image file whose drive failed just now; it may be readable later."""


def decode_image(path: str | os.PathLike[str], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode one image.

    Args:
        path: The image file.
        size: (height, width) in pixels, at least 1 each.

    Returns:
        uint8 (height, width, 3), RGB, 0..255.

    Raises:
        DriveError: the drive failed, which may pass (`drive_patience.py`).
        UnreadableImageError: the file is missing, damaged, too large, or not an image.
        MemoryError: there is no memory for it.
        OSError: the machine is out of file handles or memory; every other OSError is reported as the file's.
    """
    out = np.empty((*size, 3), np.uint8)
    decode_into(path, out)
    return out


def decode_into(path: str | os.PathLike[str], out: NDArray[np.uint8]) -> None:
    """Decode one image into `out`, uint8 (height, width, 3), which stays as it is if that fails.

    Raises:
        UnreadableImageError, MemoryError, OSError: as `decode_image`.
    """
    height, width, _ = out.shape
    _last_paths[threading.get_ident()] = os.fspath(path)
    try:
        with _quiet_pillow():
            pixels = _pixels(path, (width, height))
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # on damaged files Pillow raises whatever its parsers run into
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise
        raise (DriveError if is_stutter(error) else UnreadableImageError)(_reason(error)) from error
    out[...] = pixels


def path_read_by(thread: int) -> str | None:
    """The path of the image that a thread, by its identifier, is decoding or has decoded last; None if none."""
    return _last_paths.get(thread)


def _pixels(path: str | os.PathLike[str], size: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 (height, width, 3) for `size` = (width, height), the order that Pillow counts in."""
    _require_content(path)
    # A stream, not a path: for a path Pillow maps plain bitmaps, and a file cut short meanwhile would be a SIGBUS.
    with _Content(path) as stream:
        _refuse_icon_bomb(stream)
        return _pixels_of(stream, size)


def _pixels_of(stream: BinaryIO, size: tuple[int, int]) -> NDArray[np.uint8]:
    with Image.open(stream, formats=FORMATS) as image:
        _refuse_bomb(image.width, image.height)
        _refuse_endless_scans(image, stream)
        # Square, since the photo may lie on its side, which is known for a PNG only after loading; None unless a JPEG.
        draft = image.draft("RGB", (2 * max(size), 2 * max(size)))
        image.load()
        turn = _turn(image)
        stretched = _as_rgb(image).resize(
            size[::-1] if turn in _SIDEWAYS else size,
            Image.Resampling.BILINEAR,
            box=draft and draft[1],
            reducing_gap=2.0,
        )
    return np.asarray(stretched if turn is None else stretched.transpose(turn))


def _require_content(path: str | os.PathLike[str]) -> None:
    """Refuse everything but a regular file that is not empty, before opening it: a named pipe would block for ever."""
    status = Path(path).stat()
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableImageError("it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImageError("it is not a regular file")
    if status.st_size == 0:
        raise UnreadableImageError("the file is empty")


class _Content(io.BufferedReader):
    """A file that never reads more bytes at once than it has.

    A damaged header may declare a part to be 2**63 bytes long. Python would allocate them first, and the MemoryError
    would look like one of the machine.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(io.FileIO(path))
        self._size_bytes = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, or fewer at the end of the file."""
        return super().read(size if size is None else min(size, self._size_bytes))


def _refuse_bomb(width: int, height: int) -> None:
    """Refuse an image that is too large to be decoded, by its header alone."""
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(f"{width} x {height} pixels; at most {MAX_PIXELS} are read")


def _refuse_icon_bomb(stream: BinaryIO) -> None:
    """Refuse an icon by the headers of its images: Pillow decodes one of them while it opens the file."""
    if stream.read(len(_ICON_SIGNATURE)) == _ICON_SIGNATURE:
        directory = stream.read(16 * int.from_bytes(stream.read(2), "little"))
        for entry in range(0, len(directory) - 15, 16):
            stream.seek(int.from_bytes(directory[entry + 12 : entry + 16], "little"))
            _refuse_bomb(*_sides_in_icon(stream.read(_SIDES_END)))
    stream.seek(0)


def _sides_in_icon(header: bytes) -> tuple[int, int]:
    """(width, height) of one image of an icon, a PNG or a bitmap; the height of a bitmap includes the mask."""
    if len(header) == _SIDES_END and header.startswith(_PNG_SIGNATURE):
        width, height = struct.unpack(">II", header[16:24])
        return width, height
    if len(header) == _SIDES_END and int.from_bytes(header[:4], "little") >= _BITMAP_HEADER_BYTES:
        width, height = struct.unpack("<ii", header[4:12])
        return abs(width), abs(height) // 2
    return 0, 0  # damaged, or of OS/2, whose bitmaps are small


def _refuse_endless_scans(image: Image.Image, stream: BinaryIO) -> None:
    """Refuse a JPEG with so many scans over its pixels that decoding takes minutes."""
    if not image.info.get("progressive"):
        return
    place = stream.tell()
    stream.seek(0)
    scans = stream.read().count(_START_OF_SCAN)
    stream.seek(place)
    if scans * image.width * image.height > MAX_SCANNED_PIXELS:
        raise UnreadableImageError(f"{image.width} x {image.height} pixels in {scans} scans: no photo has so many")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """The transposition that makes a loaded photo upright; None if it is upright.

    `ImageOps.exif_transpose` is not used: it turns the photo before it is small, and writes its EXIF block anew, which
    fails on some that cameras write. A photo with a damaged EXIF block is still a photo.
    """
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a damaged block raises whatever its parser runs into
        return None


def _as_rgb(image: Image.Image) -> Image.Image:
    """Convert the image to mode RGB, alpha over white."""
    if is_numeric(image):
        return grey_of_numbers(image).convert("RGB")
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


def _reason(error: Exception) -> str:
    """One short printable line for any exception of Pillow or the system."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, OSError | SyntaxError | Image.DecompressionBombError):
        text = getattr(error, "strerror", None) or str(error)
    else:
        text = f"damaged file ({type(error).__name__}: {error})"
    return one_line(text)[:MAX_REASON_LENGTH] or type(error).__name__


class _ThisThread(threading.local):
    decodes = False


_this_thread = _ThisThread()


class _WhileDecoding(type):
    """Makes `issubclass` say yes for every warning in a thread that decodes, and no in other threads."""

    def __subclasscheck__(cls, subclass: type) -> bool:
        return _this_thread.decodes


class _AnyWarningWhileDecoding(Warning, metaclass=_WhileDecoding):
    pass


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Ignore Pillow's warnings in this thread, such as those about large sizes and odd metadata.

    `warnings.catch_warnings` replaces the filters of all threads and restores them in the wrong order. So one filter
    is installed for good, put in front again if others were added, that matches only inside this block.
    """
    if not any(entry[2] is _AnyWarningWhileDecoding for entry in warnings.filters[:1]):
        warnings.simplefilter("ignore", _AnyWarningWhileDecoding)
    _this_thread.decodes = True
    try:
        yield
    finally:
        _this_thread.decodes = False
