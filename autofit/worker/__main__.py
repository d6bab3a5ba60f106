"""The worker process: `python -P -m autofit.worker ATTEMPT_DIR`.

The whole protocol:
  in    ATTEMPT_DIR/job.json           what to do (autofit/protocol/job.py)
        a pipe, AUTOFIT_CONTROL_FD     requests, a line of JSON each; its end means that the parent is gone
        a file, AUTOFIT_PAYLOAD_FD     optional: a cloudpickle of a model function and callbacks, from the living parent
        AUTOFIT_LATER_PATHS            optional: folders of PYTHONPATH in which modules are looked for last
        an open, locked file           held, never read: it keeps other writers out of the run directory
        signals                        SIGTERM, SIGHUP, SIGINT: commit and stop; SIGUSR1: commit and go on
  out   ATTEMPT_DIR/progress.jsonl     the heartbeat
        ATTEMPT_DIR/events.jsonl       out-of-memory events, unreadable images, trials, messages
        ATTEMPT_DIR/outcome.json       the verdict; it decides, the exit code only hints
        stdout                         what Python code printed, on either stream; passed on to the user
        stderr                         what native libraries printed; kept as a log
"""

from __future__ import annotations

import faulthandler
import os
import sys
from pathlib import Path

from autofit.machine.process_limits import end_by_a_signal_that_tells
from autofit.process.launch import CONTROL_FD, LATER_PATHS, PAYLOAD_FD
from autofit.protocol.payload import Payload


def main() -> int:
    """Run the attempt whose folder is the only argument."""
    faulthandler.enable()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.stderr = sys.stdout
    sys.path.extend(path for path in os.environ.pop(LATER_PATHS, "").split(os.pathsep) if path)
    _prefer_for_oom_kill()
    end_by_a_signal_that_tells()
    control = int(os.environ.pop(CONTROL_FD))

    from autofit.worker.jobs.dispatch import run_job  # noqa: PLC0415 - the streams are set first
    from autofit.worker.runtime.control_pipe import read_requests  # noqa: PLC0415
    from autofit.worker.runtime.signals import heed_signals  # noqa: PLC0415

    requests = read_requests(control)
    heed_signals(requests)
    return run_job(Path(sys.argv[1]), requests, _payload)


def _payload() -> Payload | None:
    """Unpickle what the living parent passed in a file without a name; nothing else is ever unpickled."""
    handle = os.environ.pop(PAYLOAD_FD, None)
    if handle is None:
        return None
    import cloudpickle  # noqa: PLC0415 - only where something was sent

    with os.fdopen(int(handle), "rb") as file:
        payload: Payload = cloudpickle.load(file)
    return payload


def _prefer_for_oom_kill() -> None:
    """Make the kernel's OOM killer choose the worker and not the notebook (Linux, proc(5), oom_score_adj)."""
    try:
        Path("/proc/self/oom_score_adj").write_text("900", encoding="ascii")
    except OSError:
        return


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # no native library's atexit may turn a finished attempt into a crash
