"""What the worker says of its own memory, held against an allocator that is really filled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.shared import made_once

pytestmark = pytest.mark.slow

PROGRAM = """
import gc, json
from autofit.protocol.messages import MemoryBudget
from autofit.worker.runtime import memory, tf_settings
budget = MemoryBudget(
    device="cpu", limit_bytes=1500 * 10**6, is_given=True, buffer_bytes=1, non_allocator_bytes=1000 * 10**6
)
tf_settings.before_import("cpu")
tf_settings.import_keras(isolated=True)
import sys
collector = dict(left_alone=gc.get_freeze_count(), works=gc.isenabled())
hidden = [name for name in ("pandas", "matplotlib", "scipy") if name in sys.modules]
allocator = tf_settings.limit_allocator(budget, "head")
import tensorflow as tf
empty = memory.arena_resident_bytes()
filled = tf.fill([200 * 2**18], 1.0)
full = memory.arena_resident_bytes()
peak = memory.peak_bytes(memory.CPU)
del filled
after_free = memory.arena_resident_bytes()
memory.reset_peak(memory.CPU)
import pandas
print(json.dumps(dict(allocator=allocator, empty=empty, full=full, after_free=after_free, peak=peak, hidden=hidden,
    collector=collector, after=memory.peak_bytes(memory.CPU), resident=memory.resident_bytes())))
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    def measure(folder: Path) -> None:
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
        (folder / "measured.json").write_text(done.stdout)

    found: dict[str, Any] = json.loads((made_once(tmp_path_factory, "memory", measure) / "measured.json").read_text())
    return found


MIB = 2**20


def test_the_region_is_reserved_and_not_resident(measured: dict[str, Any]) -> None:
    """A worker would take its whole limit at its start, and show it in every report."""
    assert measured["allocator"] == pytest.approx(500 * 10**6, rel=0.01)
    assert measured["empty"] < 8 * MIB


def test_the_extent_is_what_the_allocator_has_reached(measured: dict[str, Any]) -> None:
    """The probe could not tell tensors from the rest of the process, nor see gaps between them."""
    assert 200 * MIB <= measured["full"] <= 210 * MIB
    assert measured["after_free"] == pytest.approx(
        measured["full"], rel=0.02
    )  # freed to the allocator, not to the system
    assert 200 * MIB <= measured["peak"] <= 210 * MIB
    assert measured["after"] < 10 * MIB
    assert measured["resident"] > measured["after_free"]


def test_keras_is_imported_without_what_it_can_do_without(measured: dict[str, Any]) -> None:
    """Half a second and 50 MB of every worker; but a user's own code must find pandas all the same."""
    assert measured["hidden"] == []


def test_the_collector_works_and_leaves_alone_what_was_imported(measured: dict[str, Any]) -> None:
    """Each of its rounds would go through a quarter of a million objects that stay: most of a second until a step."""
    assert measured["collector"]["works"]
    assert measured["collector"]["left_alone"] > 100_000


INLINE_PROGRAM = """
import gc, sys
from autofit.worker.runtime import tf_settings
tf_settings.before_import("cpu")
tf_settings.import_keras(isolated=False)
print("pandas" in sys.modules, gc.get_freeze_count(), gc.isenabled())
"""


@pytest.mark.whole
def test_in_the_process_of_a_user_keras_is_imported_as_it_is() -> None:
    """The user's Keras would not take data frames any more, and the user's objects would never be collected."""
    done = subprocess.run([sys.executable, "-c", INLINE_PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "True 0 True\n"
