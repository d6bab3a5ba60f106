"""Opens image files: pipes are refused, and files that cost too much to decode are refused by their headers."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
from pathlib import Path
from typing import BinaryIO

from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from autofit.dataset.folder import HEIF_REMEDY

# 512 MiB when decoded, as Pillow takes 4 bytes a pixel: above any camera's photo of 100 million pixels, and below the
# 178,956,970 at which Pillow itself refuses by default.
MAX_PIXELS = 2**27

# Each scan of a progressive JPEG goes over all its pixels again, and needs only some 200 bytes if it changes none: a
# file of 4 MB can occupy a thread for 20 minutes. Cameras and editors write about ten scans. This many pixels take 6 s.
MAX_SCANNED_PIXELS = 64 * MAX_PIXELS

# The allowed formats, so that no file makes Pillow start Ghostscript (EPS) or another program. TGA has no signature, so
# it is tried last.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "PCX", "QOI"),
    "TGA",
)

# A baseline JPEG may be larger: it is decoded line by line and scaled down to an eighth, so it is never held whole.
MAX_JPEG_PIXELS = 2**30

JPEG_SIGNATURE, END_OF_JPEG = b"\xff\xd8\xff", b"\xff\xd9"  # ITU-T T.81, table B.1
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_ICON_SIGNATURE = b"\0\0\1\0"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIDES_END = 24  # in a PNG; in a bitmap they come before
_BITMAP_HEADER_BYTES = 40  # of Windows's own, BITMAPINFOHEADER, and all later ones
_START_OF_SCAN = b"\xff\xda"  # ITU-T T.81, table B.1; inside a scan a 0xff is followed by 0 or a restart marker


class UnreadableImageError(Exception):
    """An image file that cannot be read; `str()` is a short reason in one line, without the path."""


class DriveError(UnreadableImageError):
    """An image file whose drive failed just now; it may be readable later."""


def require_content(path: str | os.PathLike[str]) -> None:
    """Refuse everything but a regular file that is not empty, before opening it: a named pipe would block for ever."""
    status = Path(path).stat()
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableImageError("it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImageError("it is not a regular file")
    if status.st_size == 0:
        raise UnreadableImageError("the file is empty")


class ImageContent(io.BufferedReader):
    """A file that is never asked for more bytes than it has.

    A damaged header may declare a part to be 2**63 bytes long. Python would allocate that first, and the MemoryError
    would look as if the machine had run out of memory.

    Attributes:
        status: what was said of the file when it was opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(io.FileIO(path))
        with contextlib.ExitStack() as unless_known:
            unless_known.callback(self.close)
            self.status = os.fstat(self.fileno())
            unless_known.pop_all()

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, or fewer at the end of the file."""
        return super().read(size if size is None else min(size, self.status.st_size))


def refuse_bomb(width: int, height: int, most: int = MAX_PIXELS) -> None:
    """Refuse an image that is too large to be decoded, by its sides alone."""
    if width * height > most:
        raise UnreadableImageError(f"{width} x {height} pixels; at most {most} are read")


def refuse_icon_bomb(stream: BinaryIO) -> None:
    """Refuse an icon by the headers of its images, since Pillow decodes one of them as soon as it opens the file."""
    if stream.read(len(_ICON_SIGNATURE)) == _ICON_SIGNATURE:
        directory = stream.read(16 * int.from_bytes(stream.read(2), "little"))
        for entry in range(0, len(directory) - 15, 16):
            stream.seek(int.from_bytes(directory[entry + 12 : entry + 16], "little"))
            refuse_bomb(*_sides_in_icon(stream.read(_SIDES_END)))
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


def refuse_endless_scans(image: Image.Image, stream: BinaryIO) -> None:
    """Refuse a JPEG with so many scans over its pixels that decoding takes minutes."""
    if not image.info.get("progressive"):
        return
    place = stream.tell()
    stream.seek(0)
    scans = stream.read().count(_START_OF_SCAN)
    stream.seek(place)
    if scans * image.width * image.height > MAX_SCANNED_PIXELS:
        raise UnreadableImageError(f"{image.width} x {image.height} pixels in {scans} scans: no photo has so many")


def opened(stream: BinaryIO) -> Image.Image:
    """Open an image. A JPEG that is larger than Pillow allows is opened too: `refused_or_draft` decides about it."""
    try:
        return Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError:
        if not _is_heif(stream):
            raise
        return _opened_heif(stream)
    except Image.DecompressionBombError:
        stream.seek(0)
        if stream.read(3) != JPEG_SIGNATURE:
            raise
        stream.seek(0)
        return JpegImagePlugin.JpegImageFile(stream)


def _is_heif(stream: BinaryIO) -> bool:
    """Whether it is a photo in HEIF, as of iPhones, by its brand (ISO/IEC 23008-12). AVIF is read by Pillow itself."""
    stream.seek(0)
    start = stream.read(12)
    stream.seek(0)
    return start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS


def _opened_heif(stream: BinaryIO) -> Image.Image:
    try:
        import pillow_heif  # noqa: PLC0415 - optional, and only a photo of this kind needs it
    except ImportError:
        raise UnreadableImageError(f"a HEIC photo: {HEIF_REMEDY}") from None
    pillow_heif.register_heif_opener()
    return Image.open(stream, formats=("HEIF",))


def refused_or_draft(image: Image.Image, side: int) -> tuple[str, tuple[int, int, float, float]] | None:
    """Let a JPEG be decoded at a smaller scale, with at least `side` pixels a side, and refuse what is still too large.

    A progressive JPEG is held in memory whole, at any scale.
    """
    width, height = image.size
    draft = image.draft("RGB", (side, side))
    if draft is None or image.info.get("progressive"):
        refuse_bomb(width, height)
    refuse_bomb(*image.size)
    refuse_bomb(width, height, MAX_JPEG_PIXELS)
    return draft
