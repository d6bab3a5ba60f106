"""Saves profiles; started several times at once by `test_store.py`.

profile_saver.py FOLDER REPORT MACHINE FIRST COUNT   save COUNT probes, of FIRST, FIRST + 1, … classes, and print each
                                                     warning. With a COUNT of 0, go on until killed; print "ready" first
"""

from __future__ import annotations

import itertools
import signal
import sys
from pathlib import Path

from autofit.machine.hardware import Hardware
from autofit.probing.records import ProbeReport
from autofit.profiles.store import ProfileStore


def main() -> None:
    folder, report_file, machine_file, first, count = sys.argv[1:]
    signal.alarm(60)  # should the test itself be killed
    report, machine = ProbeReport.load(Path(report_file)), Hardware.load(Path(machine_file))
    store = ProfileStore(Path(folder), None, print, lock_patience_seconds=30.0)
    numbers = itertools.count(int(first)) if count == "0" else range(int(first), int(first) + int(count))
    if count == "0":
        print("ready", flush=True)
    for number in numbers:
        workload = report.workload.model_copy(update={"num_classes": number})
        probed = report.model_copy(update={"workload": workload})
        store.save(probed, machine, float(number), limit_is_given=True)


if __name__ == "__main__":
    main()
