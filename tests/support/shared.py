"""Results that take long to make and that tests only read: made once for all processes of a test session."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.storage.locks import Lock, open_lock_file, wait_for_lock

PATIENCE_SECONDS = 3600.0


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder of this name, filled by `make(folder)` in the first test process that asks for it.

    With pytest-xdist the other test processes wait for it. A test that modifies the folder must copy it first.
    """
    base = factory.getbasetemp()
    shared = (base.parent if base.name.startswith("popen-") else base) / "shared"
    shared.mkdir(exist_ok=True)
    folder, done = shared / name, shared / f"{name}.done"
    lock = open_lock_file(shared / f"{name}.lock")
    try:
        assert wait_for_lock(lock, PATIENCE_SECONDS) is not Lock.BUSY
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    finally:
        os.close(lock)
    return folder
