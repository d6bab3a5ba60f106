"""The command line.

app.py       the commands put together; errors become exit codes
run.py       train, resume, report, demo
probe.py     probe, of one network or of several
profiles.py  profiles list, show, export, import, path
machine.py   doctor
flags.py     the flags that several of them share
output.py    where their words go
"""

from autofit.cli.app import run_command_line

__all__ = ["run_command_line"]
