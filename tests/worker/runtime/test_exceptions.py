"""The words of an exception that a person reads."""

from __future__ import annotations

import pytest

from autofit.worker.runtime.exceptions import without_placement

PLACE = "/job:localhost/replica:0/task:0/device:CPU:0"
SAID = "OOM when allocating tensor with shape[3,3,512,512] and type float"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            f"{{{{function_node __wrapped__Mul_device_{PLACE}}}}} {SAID} on {PLACE} by allocator bfc [Op:Mul] name:",
            SAID,
        ),
        (f"{SAID} on {PLACE} by allocator GPU_0_bfc", SAID),
        ("failed to allocate memory [Op:Conv2D] name: a/b", "failed to allocate memory"),
        ("OOM in the layer whose name: is odd", "OOM in the layer whose name: is odd"),
        ("", ""),
    ],
)
def test_an_out_of_memory_is_told_by_what_was_too_large(message: str, expected: str) -> None:
    """Three lines about where an operation runs would hide it, at each attempt."""
    assert without_placement(message) == expected
