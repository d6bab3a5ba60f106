"""`stub_parent.py` with a worker that holds memory for its images, and a look at what neighbours take.

squeezed_parent.py RUN_DIR; the run directory holds the `probe.json` of such a worker.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import stub_parent  # type: ignore[import-not-found]  # lies beside this script

from autofit.api.squeezed import squeeze_reader
from autofit.machine.hardware import detect
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock

stub_parent.STUB_WORKER = Path(__file__).with_name("leaking_worker.py")

if __name__ == "__main__":
    files = RunDirectory(Path(sys.argv[1]))
    with RunLock(files).acquire(5) as lock:
        error = stub_parent.supervisor(
            files,
            "hold",
            view=stub_parent.PrintedView(),
            lock_fd=lock.fileno(),
            squeezed=squeeze_reader(files, detect(), detect, 10**12),
        ).run()
    print(json.dumps([type(error).__name__, str(error)]), flush=True)
