"""What is said of the machine and its software under a table."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

machine: Any = import_module("machine")


def test_a_package_that_no_contender_needed_may_be_missing() -> None:
    """A benchmark would end in a traceback after hours of measuring, before it prints its table."""
    found = machine.versions(sys.executable, ["numpy", "no-such-package"]).split(", ")
    assert [words.split()[0] for words in found] == ["Python", "numpy"]
