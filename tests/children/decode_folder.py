"""Decodes each file of a folder; started by `tests/faults/test_images.py`.

decode_folder.py GOOD FOLDER   prints, as JSON, why each file of FOLDER cannot be read (`reasons`, null for those that
                               can), how long the slowest took (`seconds`), and by how much they raised the peak of
                               this process's memory (`grown_bytes`), after the image GOOD has been decoded
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from autofit.input.decode import decode_image
from autofit.input.image_files import UnreadableImageError

IMAGE_SIZE = (24, 32)


def reason(path: Path) -> str | None:
    try:
        decode_image(path, IMAGE_SIZE)
    except UnreadableImageError as error:
        return str(error)
    return None


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    good, folder = map(Path, sys.argv[1:])
    decode_image(good, IMAGE_SIZE)
    before, reasons, slowest = peak_bytes(), {}, 0.0
    for path in sorted(folder.iterdir()):
        began = time.monotonic()
        reasons[path.name] = reason(path)
        slowest = max(slowest, time.monotonic() - began)
    print(json.dumps({"reasons": reasons, "seconds": slowest, "grown_bytes": peak_bytes() - before}))


if __name__ == "__main__":
    main()
