"""Writes small files whose headers say that they are huge; started by `tests/faults/test_images.py`.

lying_images.py SEEDS FOLDER   FOLDER/oversized gets images whose own size is more than what is read, FOLDER/inside
                               those of a modest size in which a frame, a tile, a strip, a table or a length is not
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

SIDES = (97, 61)
"""(width, height) of every seed."""

HUGE = 60_000
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

Files = Iterator[tuple[str, bytes]]
Seeds = Mapping[str, bytes]


def resized(data: bytes, form: str, *sides: int, swapped: bool = False) -> bytes:
    """The file with another size wherever it contains the old one in this form."""
    old = struct.pack(form, *(SIDES[::-1] if swapped else SIDES))
    assert old in data
    return data.replace(old, struct.pack(form, *sides))


def after(data: bytes, mark: bytes, skipped: int, new: bytes) -> bytes:
    """The file with other bytes at this distance after the first mark."""
    place = data.index(mark) + len(mark) + skipped
    return data[:place] + new + data[place + len(new) :]


def with_tags(tiff: bytes, values: Mapping[int, int], count: int = 1) -> bytes:
    """A TIFF whose first directory has these values (TIFF 6.0, section 2)."""
    order = "<" if tiff.startswith(b"II") else ">"
    (place,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, place)
    data = bytearray(tiff)
    for entry in range(place + 2, place + 2 + 12 * entries, 12):
        (tag,) = struct.unpack_from(order + "H", tiff, entry)
        if tag in values:
            struct.pack_into(order + "HHII", data, entry, tag, 4, count, values[tag])
    assert bytes(data) != tiff
    return bytes(data)


def png(width: int, height: int, *chunks: tuple[bytes, bytes], rows: bytes = b"") -> bytes:
    """A PNG in RGBA with these chunks before its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    listed = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in listed
    )


def icon(image: bytes, *, entries: int = 1) -> bytes:
    """An ICO of one image, with 256 x 256 pixels in its directory."""
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(image), 6 + 16 * entries)
    return struct.pack("<HHH", 0, 1, entries) + entry * entries + image


def bitmap(width: int, height: int) -> bytes:
    """The header of a Windows bitmap of 32 bits a pixel, without its pixels."""
    return struct.pack("<IiiHHIIiiII", 40, width, height, 1, 32, 0, 0, 0, 0, 0, 0) + bytes(99)


def oversized(seeds: Seeds) -> Files:
    """For each format whose header can declare it: an image of more pixels than autofit reads."""
    for name in ("baseline.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "two-pictures.mpo"):
        yield name, resized(seeds[name], ">HH", 65_535, 65_535, swapped=True)
    yield "rgba.png", png(HUGE, HUGE)
    for name in ("rgb.bmp", "palette.bmp", "rgb.dib"):
        yield name, resized(seeds[name], "<ii", HUGE, HUGE)
        yield f"largest-{name}", resized(seeds[name], "<ii", 2**31 - 1, 2**31 - 1)
    for name in ("palette.gif", "animated.gif"):
        yield name, resized(seeds[name], "<HH", 65_535, 65_535)
    yield "frame.gif", after(seeds["animated.gif"], b"\x2c\0\0\0\0", 0, b"\xff" * 4)  # larger than its screen
    yield "lossy.webp", resized(seeds["lossy.webp"], "<HH", 16_383, 16_383)
    yield "lossless.webp", after(seeds["lossless.webp"], b"VP8L", 5, b"\xff\xff\xff\x0f")
    yield "animated.webp", after(seeds["animated.webp"], b"VP8X", 8, b"\xff\x3f\0\xff\x3f\0")
    for name in ("raw.tiff", "tiff_lzw.tiff", "jpeg.tiff", "float.tiff", "tiles-raw.tiff", "tiles-deflate.tiff"):
        yield name, with_tags(seeds[name], {256: HUGE, 257: HUGE})
    if "rgb.avif" in seeds:
        yield "rgb.avif", after(seeds["rgb.avif"], b"ispe", 4, struct.pack(">II", 16_000, 16_000))
    yield "rgb.jp2", after(seeds["rgb.jp2"], b"ihdr", 0, struct.pack(">II", HUGE, HUGE))
    yield "tiled.j2k", after(seeds["tiled.j2k"], b"\xff\x51", 4, struct.pack(">II", 2**31 - 1, 2**31 - 1))
    for name, header in (
        ("rgb.ppm", "P6 {0} {0} 255\n"),
        ("ascii.pgm", "P2 {0} {0} 255\n"),
        ("f.pfm", "Pf {0} {0} 1\n"),
    ):
        yield name, header.format(HUGE).encode() + bytes(99)
    yield "bilevel.pbm", b"P4 99999999 99999999\n" + bytes(99)
    yield "rgb.pcx", seeds["rgb.pcx"][:8] + struct.pack("<HH", 65_534, 65_534) + seeds["rgb.pcx"][12:]
    yield "rgb.qoi", b"qoif" + struct.pack(">IIBB", HUGE, HUGE, 3, 0) + bytes(99)
    yield "rgb.tga", seeds["rgb.tga"][:12] + b"\xff" * 4 + seeds["rgb.tga"][16:]
    yield "png.ico", icon(png(13_000, 13_000, rows=(b"\0" + bytes(4 * 13_000)) * 1_000))  # under what Pillow refuses
    yield "bitmap.ico", icon(bitmap(13_000, 2 * 13_000))


def inside(seeds: Seeds) -> Files:
    """Files whose image is small but whose other parts claim to be huge."""
    yield "frame.webp", after(seeds["animated.webp"], b"ANMF", 10, b"\xff\x3f\0\xff\x3f\0")
    for side in (2**15, 2**20, 2**31 - 16):
        for name in ("tiles-raw.tiff", "tiles-deflate.tiff"):
            yield f"{side}-{name}", with_tags(seeds[name], {322: side, 323: side})
    for name in ("raw.tiff", "tiff_lzw.tiff", "tiff_adobe_deflate.tiff", "lzma.tiff", "jpeg.tiff", "fax.tiff"):
        yield f"rows-{name}", with_tags(seeds[name], {278: 2**32 - 1})
        yield f"strips-{name}", with_tags(seeds[name], {273: 8, 279: 8}, count=2**32 - 1)
        yield f"bytes-{name}", with_tags(seeds[name], {279: 2**32 - 1})
    for name in ("rgb.jp2", "tiled.j2k"):
        yield f"tile-{name}", after(seeds[name], b"\xff\x51", 20, struct.pack(">II", 2**31 - 1, 2**31 - 1))
    for side in (16_000, 2**31 - 1):
        yield f"{side}-stream.jp2", after(seeds["rgb.jp2"], b"\xff\x51", 4, struct.pack(">II", side, side))
    yield "box.jp2", box_of(seeds["rgb.jp2"], 2**60)
    for side in (2**15, 2**16 - 1, 2**31 - 1):
        if "rgb.avif" in seeds:
            yield f"{side}.avif", after(seeds["rgb.avif"], b"ispe", 4, struct.pack(">II", side, side))
    bomb = zlib.compress(bytes(2**27), 1)
    yield "text.png", png(2, 2, (b"zTXt", b"Comment\0\0" + bomb), rows=(b"\0" + bytes(8)) * 2)
    yield "profile.png", png(2, 2, (b"iCCP", b"Profile\0\0" + bomb), rows=(b"\0" + bytes(8)) * 2)
    yield "pixels.png", png(2, 2, rows=bytes(2**27))
    yield "length.png", after(png(2, 2), b"IEND", -8, b"\x7f\xff\xff\xff")
    yield "palette.bmp", after(seeds["palette.bmp"], b"BM", 44, b"\xff" * 4)
    yield "header.bmp", after(seeds["rgb.bmp"], b"BM", 12, b"\xff\xff\xff\x7f")
    yield "entries.ico", icon(png(2, 2, rows=(b"\0" + bytes(8)) * 2), entries=65_535)
    yield "offset.ico", after(icon(png(2, 2)), b"\0\0\1\0", 14, b"\xff" * 8)
    yield "map.tga", after(seeds["palette.tga"], seeds["palette.tga"][:1], 2, b"\xff\xff\xff\xff")


def box_of(jp2: bytes, length: int) -> bytes:
    """A JPEG 2000 file whose header box declares this length (ITU-T T.800, I.4)."""
    place = jp2.index(b"jp2h") - 4
    return jp2[:place] + struct.pack(">I4sQ", 1, b"jp2h", length) + jp2[place + 8 :]


def main() -> None:
    seeds_folder, folder = map(Path, sys.argv[1:])
    seeds = {path.name: path.read_bytes() for path in seeds_folder.iterdir()}
    for name, files in (("oversized", oversized(seeds)), ("inside", inside(seeds))):
        (folder / name).mkdir(parents=True)
        for file, data in files:
            (folder / name / file).write_bytes(data)


if __name__ == "__main__":
    main()
