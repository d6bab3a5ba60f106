"""The command line.

app.py       all commands together; the exit code of each error
training.py  train, resume, report, demo
prediction.py  predict, evaluate; prediction_json.py the JSON of predict, part by part
export.py    export
check.py     check
extract.py   extract
probe.py     probe, for one network or for several
estimate.py  estimate
profiles.py  profiles list, show, export, import, path
cache.py     cache list, clear, path
doctor.py    doctor
flags.py     the flags that follow from the options, and those that several commands share
output.py    progress on stderr, results on stdout or in files
"""

from autofit.cli.app import run_command_line

__all__ = ["run_command_line"]
