"""`autofit.run` or `autofit.resume` with a mirror, over the stub worker or the real one; started by `tests/mirror`.

mirrored_run.py WORKER PHOTOS RUN_DIR MIRROR

WORKER says how each attempt of `stub_worker.py` ends, or `keras`: the real worker with `survivor_network`, which with
`keras@EPOCH:BATCH` goes no further than that batch and waits there to be killed. Without PHOTOS (`-`) it resumes
RUN_DIR. The mirror is looked after more often than for a person. Prints each message, and last, as JSON, the status of
the run, or the kind and the words of the error.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from made_there import MadeThere  # type: ignore[import-not-found]  # lies beside this script

from autofit import api
from autofit.api import mirroring, workers
from autofit.errors import AutofitError
from autofit.mirror.mirror import PATIENCE, Mirror
from autofit.process.launch import ProcessLauncher
from autofit.report.progress import ProgressView

STUB_WORKER = Path(__file__).with_name("stub_worker.py")
STUB: dict[str, Any] = {"weights": None, "epochs": 2, "batch_size": 4, "checkpoint_every": 2, "validation": 0}
KERAS: dict[str, Any] = {
    "model": "survivor_network:network",
    "image_size": 32,
    "epochs": 2,
    "batch_size": 8,
    "checkpoint_every": 1,
}


def halting(moment: tuple[int, int]) -> Any:
    """A callback that lets nothing come after that batch of that epoch, which is never committed."""
    import keras  # noqa: PLC0415 - in the worker alone

    class Halting(keras.callbacks.Callback):  # type: ignore[misc]
        """Halts the training."""

        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            """Keep which one it is."""
            del logs
            self.epoch = epoch

        def on_train_batch_end(self, number: int, logs: Any = None) -> None:
            """Wait where it was asked for."""
            del logs
            while (self.epoch, number) == moment:
                time.sleep(1)

    return Halting()


class Told(ProgressView):
    """Prints messages alone."""

    def message(self, text: str) -> None:
        """Something to be told once."""
        print(text, flush=True)


def main(worker: str, photos: str, run_dir: str, mirror_dir: str) -> None:
    """Run to the end, or to an error."""
    vars(mirroring)["Mirror"] = functools.partial(Mirror, patience=replace(PATIENCE, look=0.02))
    view = Told(sys.stdout)
    if worker.startswith("keras"):
        epoch, batch = worker.removeprefix("keras@").split(":") if "@" in worker else (-1, -1)
        asked = {**KERAS, "callbacks": [MadeThere(halting, (int(epoch), int(batch)))]}
    else:
        command = [sys.executable, "-P", str(STUB_WORKER), worker]
        vars(workers)["ProcessLauncher"] = functools.partial(ProcessLauncher, command)
        asked = STUB
    try:
        if photos == "-":
            result = api.resume(run_dir, view=view)
        else:
            result = api.run(photos, run_dir=run_dir, mirror_dir=mirror_dir, audit=True, view=view, **asked)
        print(json.dumps([result.status, str(result.run_dir)]), flush=True)
    except AutofitError as error:
        print(json.dumps([type(error).__name__, str(error)]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
