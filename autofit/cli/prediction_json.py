"""Predictions as JSON, written in parts, so that a folder of any size takes bounded memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from autofit.cli.output import say, terminal_safe
from autofit.errors import StorageError
from autofit.protocol.messages import writable_name
from autofit.storage.safe_files import file_of_user
from autofit.storage.system_errors import explained
from autofit.storage.user_path import user_path

if TYPE_CHECKING:
    from autofit.api.predictions import Predictions


SCHEMA = "autofit/predictions/1"


class JsonAnswer:
    """An object with `schema`, `classes` and `images`, each image on a line of its own, in a file or on stdout.

    Use it as a context manager. A file is complete or as it was before; on standard output, the JSON of a failed
    prediction lacks its end. Entering, `add` and leaving raise StorageError if it cannot be written.

    Args:
        target: the file; `-` is standard output.
        top: how many classes are written for each image.
    """

    def __init__(self, target: str, top: int) -> None:
        self._target, self._top = target, top
        self._open = ExitStack()
        self._has_images = False

    def __enter__(self) -> Self:
        self._write = self._open.enter_context(_lines_to(self._target))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            with self._open:
                self._write("]}")
        else:
            self._open.__exit__(kind, error, trace)

    def add(self, part: Predictions) -> None:
        """Write the images of a part."""
        lines = [terminal_safe(json.dumps(image)) for image in _images_of(part, self._top)]
        if not self._has_images:
            classes = terminal_safe(json.dumps(part.class_names))
            self._write(f'{{"schema": "{SCHEMA}", "classes": {classes}, "images": [')
        before = "," if self._has_images else ""
        self._write(before + ",\n".join(lines))
        self._has_images = True


@contextmanager
def _lines_to(target: str) -> Iterator[Callable[[str], None]]:
    """A function that writes a line, in ASCII, which every stream can encode."""
    if target == "-":
        yield say
        return
    path = user_path(target)
    try:
        with file_of_user(path) as stream:

            def write(text: str) -> None:
                stream.write(text.encode() + b"\n")

            yield write
    except OSError as error:
        raise StorageError(explained(error, f"{target} cannot be written")) from error


def _images_of(part: Predictions, top: int) -> Iterator[dict[str, Any]]:
    """The images of a part as JSON objects."""
    reasons = {image.path: image.reason for image in part.unreadable}
    for path, label, best in zip(part.paths, part.labels, part.top(top), strict=True):
        if best:
            yield {"path": path, "label": label, "top": [{"label": name, "probability": p} for name, p in best]}
        else:
            yield {"path": path, "label": None, "reason": reasons.get(writable_name(path), "")}
