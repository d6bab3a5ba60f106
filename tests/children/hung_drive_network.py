"""A network whose images lie on a drive that hangs after so many of them were opened: all that follow are a named pipe.

HUNG_PIPE names the pipe, which nobody writes: opening it blocks in the kernel, as a file of a network drive that has
come off does.
"""

from __future__ import annotations

import os
from typing import Any

from survivor_network import network as small  # type: ignore[import-not-found]  # lies beside this script

from autofit.input import decode
from autofit.input.image_files import ImageContent

HANGS_AFTER = 200


def network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """The small network; the worker that builds it has its images on that drive."""
    whole: Any = ImageContent
    opened: list[str] = []

    class OnDrive(whole):  # type: ignore[misc]
        def __init__(self, path: str) -> None:
            opened.append(path)
            super().__init__(os.environ["HUNG_PIPE"] if len(opened) > HANGS_AFTER else path)

    setattr(decode, "ImageContent", OnDrive)  # noqa: B010 - the lowest layer of reading an image
    return small(input_shape, num_classes)
