"""Becomes another program inside a memory cgroup: in_memory_group.py GROUP COMMAND..."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    (Path(sys.argv[1]) / "cgroup.procs").write_text(str(os.getpid()))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - what a test runs
