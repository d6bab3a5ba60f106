"""A training that waits at a batch to be killed: halting_run.py EPOCH:BATCH[:SECONDS] PHOTOS RUN_DIR OPTIONS.

OPTIONS are those of `autofit.run`, as JSON. Without PHOTOS (`-`) it resumes RUN_DIR.
"""

from __future__ import annotations

import json
import sys

from payloads import halting_at  # type: ignore[import-not-found]  # lies beside this script

import autofit

if __name__ == "__main__":
    moment, photos, run_dir, options = sys.argv[1:]
    if photos == "-":
        autofit.resume(run_dir, callbacks=[halting_at(moment)])
    else:
        autofit.run(photos, run_dir=run_dir, callbacks=[halting_at(moment)], **json.loads(options))
