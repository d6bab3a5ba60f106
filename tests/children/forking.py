"""Runs a program whose workers are forked (`fork_server.py`): forking.py SCRIPT ARGUMENT..., or -m MODULE ARGUMENT...

The pages of its runs are without pictures.
"""

from __future__ import annotations

import runpy
import sys

from autofit.process import launch
from autofit.report import drawing
from autofit.report.markup import Html
from tests.support import fork_server

if __name__ == "__main__":
    vars(launch)["start_process"] = fork_server.start_worker
    vars(drawing)["rendered"] = lambda _draw: Html("")
    del sys.argv[0]
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
