"""What a figure was measured on: the machine, the versions, the day."""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

GIGABYTE = 1e9

VERSIONS = """
import importlib.metadata as metadata, platform, sys
there = {name for found in metadata.distributions() if (name := found.metadata["Name"])}
named = [f"{name} {metadata.version(name)}" for name in sys.argv[1:] if name in there]
print("Python " + platform.python_version(), *named, sep=", ")
"""


def machine() -> str:
    """CPU, cores and memory in a few words."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{model[1] if model else 'CPU'}, {os.cpu_count()} cores, {memory_bytes / GIGABYTE:.0f} GB"


def versions(python: str, packages: Sequence[str]) -> str:
    """The versions that a Python has of itself and of those of `packages` that are installed."""
    command = [python, "-c", VERSIONS, *packages]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def today() -> str:
    """The date, as 2026-08-31."""
    return dt.datetime.now(tz=dt.UTC).date().isoformat()
