"""`run()`, `resume()`, `probe()`, `sweep()` and `report()`: the one place where the rooms are joined.

The way of the data: options -> images and machine -> probe -> plan -> supervisor -> workers -> checkpoints -> result ->
report. No step reads back up.

    training.py      run and resume: the stages of a training, one after the other
    probes.py        probe and sweep: what fits, without any images
    page.py          report: the page to look at, also written anew
    directories.py   where a run is kept, and which names cannot be
    existing_run.py  what a run directory holds already, and whether it is what is asked for
    resuming.py      what going on with a run takes
    new_run.py       what a run that begins is told, probed, planned and written down
    mirroring.py     the mirror's part
    workers.py       what starting a worker takes
    supervision.py   the attempts, from the first to the result or the reason why there is none
    view.py          who shows the progress
"""

from __future__ import annotations

from autofit.api.probes import does_not_fit, probe, sweep
from autofit.api.supervision import report
from autofit.api.training import resume, run

__all__ = ["does_not_fit", "probe", "report", "resume", "run", "sweep"]
