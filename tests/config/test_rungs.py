"""The rungs of the ladder, and their order."""

from __future__ import annotations

from typing import Literal

import pytest

from autofit.config.rungs import KEPT, SAVING, saving_more


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_rungs_end(device: Literal["cpu", "gpu"]) -> None:
    """A training that does not fit would be started for ever, or again on the rung that it comes from."""
    climbed = [KEPT]
    while (rung := saving_more(climbed[-1], device)) is not None:
        climbed.append(rung)
    assert tuple(climbed) == (KEPT, *SAVING[device])
