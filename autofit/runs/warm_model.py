"""The worker that stays for further predictions: at most one in a process, and ended when its memory is needed.

It ends with the process that started it, however that ends, even by SIGKILL, since the control pipe then ends. It also
ends by itself when it has been idle for a while; `close()` ends it at once.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autofit.process.launch import Launcher
from autofit.process.monitor import View
from autofit.protocol.messages import BadImage
from autofit.runs.prediction import PredictionWorker, SavedModel, WorkerGoneError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Answer = tuple[NDArray[np.float32], list[BadImage]]

FOR_WORKERS = ("CUDA_", "TF_", "XLA_", "KERAS_", "NVIDIA_")
"""The beginnings of environment variables that a worker reads when it starts."""


class WarmModel:
    """Holds at most one worker with an open model, which answers one caller at a time."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        """Forget the worker without ending it: in a forked process it is the parent's."""
        self._lock = threading.RLock()
        self._worker: PredictionWorker | None = None
        self._key: Any = None
        self._path: Path | None = None
        self._pid: int | None = None

    def predict(
        self, key: Any, model: SavedModel, launcher: Launcher, paths: Sequence[str], view: View, **request: int
    ) -> Answer:
        """Predict with the current worker, or with a new one in its place; it stays afterwards, except after an error.

        Args:
            key: `_key_of(model)`.
            model: the saved model.
            launcher: starts the worker.
            paths: as in `PredictionWorker.predict`.
            view: shows the progress.
            **request: `views`, `done` and `total` as in `PredictionWorker.predict`.

        Raises:
            AutofitError: the prediction failed; the message says why.
        """
        self._leave_parents_worker()
        with self._lock:
            try:
                try:
                    return self._ready(key, model, launcher, view).predict(paths, view, **request)
                except WorkerGoneError:  # killed, or idle for too long
                    self.close()
                    return self._ready(key, model, launcher, view).predict(paths, view, **request)
            except BaseException:
                self.close()
                raise

    def _ready(self, key: Any, model: SavedModel, launcher: Launcher, view: View) -> PredictionWorker:
        """The current worker, if it has this model open and is alive; else a new one."""
        if self._worker is None or key != self._key or not self.is_warm:
            self.close()
            self._worker = PredictionWorker(model, launcher, view)
            if self._pid is None:
                atexit.register(self.close)
            self._key, self._path, self._pid = key, model.path, os.getpid()
        return self._worker

    def close(self, path: Path | None = None) -> None:
        """End the worker; with the path of a model, only if the worker has that model open."""
        self._leave_parents_worker()
        with self._lock:
            if self._worker is not None and path in {None, self._path}:
                worker, self._worker, self._key, self._path = self._worker, None, None, None
                worker.close()

    @property
    def is_warm(self) -> bool:
        """Whether a worker waits for the next request."""
        return self._pid == os.getpid() and self._worker is not None and self._worker.is_alive

    def _leave_parents_worker(self) -> None:
        if self._pid not in {None, os.getpid()}:
            _PARENTS.append(self._worker)
            self._reset()


_PARENTS: list[PredictionWorker | None] = []
"""In a forked process, the workers of its parent: they are neither used nor closed."""

WARM = WarmModel()


@contextmanager
def predicting(model: SavedModel, launcher: Launcher, view: View) -> Iterator[Callable[..., Answer]]:
    """A function that predicts as `PredictionWorker.predict` does; its worker stays after the block, if possible.

    It does not stay if it is a thread of this process, or has imported the user's own module, which may be edited.

    Raises:
        AutofitError: the worker cannot be started.
    """
    key = _key_of(model) if launcher.isolated else None
    if key is not None:
        yield partial(WARM.predict, key, model, launcher)
    else:
        with closing(PredictionWorker(model, launcher, view)) as worker:
            yield worker.predict


def _key_of(model: SavedModel) -> Any:
    """A key that has to be the same for a worker to be used again; None if it cannot be used again."""
    if model.code.module is not None:
        return None
    with suppress(OSError):
        found = model.path.stat()
        beside = model.path.with_name("labels.json")
        labels = beside.stat().st_mtime_ns if beside.exists() else None
        environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith(FOR_WORKERS)))
        return (
            (model.path, found.st_ino, found.st_size, found.st_mtime_ns, labels),
            (model.image_size, model.batch_size, model.flips, sorted(model.value_ranges.items())),
            (_digest(model.code.payload), tuple(model.code.import_paths), tuple(model.code.files)),
            environment,
        )
    return None


def _digest(payload: Any) -> object:
    """The hash of the user's objects, which a notebook cell may have changed; None if there are none.

    What can be imported counts by its name alone: `OwnCode.files` tells whether its module was edited.
    """
    if payload is None:
        return None
    import cloudpickle  # noqa: PLC0415 - only where something is sent

    try:
        return hashlib.sha256(cloudpickle.dumps(payload)).hexdigest()
    except Exception:  # noqa: BLE001 - whatever an object's own pickling raises; starting the worker reports it
        return object()  # equal to no other key
