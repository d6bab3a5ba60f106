"""The rungs on which tests of faults run too: activations computed again, 16 bits with a scaled loss, and both."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

Rung = dict[str, str]
"""Options of a request."""

RUNGS: dict[str, Rung] = {
    "recompute": {"recompute": "on"},
    "float16": {"precision": "mixed_float16"},
    "bfloat16": {"precision": "mixed_bfloat16"},
    "both": {"recompute": "on", "precision": "mixed_float16"},
}
"""In float16 the loss is scaled, and updates may be left out: that is a state more than without."""


def on_rungs(*names: str, always: Sequence[str] = ()) -> pytest.MarkDecorator:
    """Run a test as usual, and on these rungs where all cases are tried; on those in `always` each time."""
    rungs = [
        pytest.param(RUNGS[name], id=name, marks=[] if name in always else [pytest.mark.whole])
        for name in (*names, *always)
    ]
    return pytest.mark.parametrize("rung", [pytest.param({}, id="as usual"), *rungs])


def flags(rung: Rung) -> list[str]:
    """The rung on a command line."""
    return [word for name, value in rung.items() for word in (f"--{name}", value)]
