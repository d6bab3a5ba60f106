"""`autofit.run` or `autofit.resume` with a mirror, over the stub worker or the real one; started by `tests/mirror`.

mirrored_run.py WORKER PHOTOS RUN_DIR MIRROR

WORKER says how each attempt of `stub_worker.py` ends, or `keras`: the real worker with `survivor_network`, which with
`keras@EPOCH:BATCH` waits at that batch to be killed. Without PHOTOS (`-`) it resumes RUN_DIR. The mirror is looked
after more often than for a person. Prints each message, and last, as JSON, the status of the run, or the kind and the
words of the error.
"""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from payloads import halting_at  # type: ignore[import-not-found]  # lies beside this script

from autofit import api
from autofit.api import mirroring, workers
from autofit.errors import AutofitError
from autofit.mirror.mirror import Mirror
from autofit.mirror.patience import PATIENCE
from autofit.process.launch import ProcessLauncher
from autofit.report.views import ProgressView

STUB_WORKER = Path(__file__).with_name("stub_worker.py")
STUB: dict[str, Any] = {"weights": None, "epochs": 2, "batch_size": 4, "checkpoint_every": 2, "validation": 0}
KERAS: dict[str, Any] = {
    "model": "survivor_network:network",
    "image_size": 32,
    "epochs": 2,
    "batch_size": 8,
    "checkpoint_every": 1,
}


NEVER = "99:0"


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
        _, _, moment = worker.partition("@")
        asked = {**KERAS, "callbacks": [halting_at(moment or NEVER)]}  # always: without it, it is another request
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
