"""Mirrors a small checkpoint, then one that does not fit, then a small one; started by `tests/mirror/test_content.py`.

mirror_writer.py RUN_DIR MIRROR LIMIT

RUN_DIR has a run that has not committed. LIMIT is the largest file in bytes that may be written; 0 leaves that to the
drive. Prints for each checkpoint what failed, the generations in the mirror, and the newest good one, as JSON.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path

import numpy as np

from autofit.mirror.content import MirrorContent
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory


def main(run_dir: str, mirror_dir: str, limit: str) -> None:
    """Commit and mirror three times."""
    files, mirror = RunDirectory(Path(run_dir)), RunDirectory(Path(mirror_dir))
    store, content = CheckpointStore(files.checkpoints), MirrorContent(files, mirror, lambda: None)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    report = []
    for cursor, numbers in ((1, 1), (2, 2**20), (3, 1)):
        store.save({"model": {"a": np.full(numbers, cursor)}}, {"cursor": cursor})
        if int(limit):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
        failure = ""
        try:
            content.bring_up_to_date()
        except OSError as error:
            failure = error.strerror or str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        there = CheckpointStore(mirror.checkpoints).latest()
        names = sorted(path.name for path in mirror.checkpoints.iterdir())
        report.append([failure, ",".join(names), there and there.state["cursor"]])
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
