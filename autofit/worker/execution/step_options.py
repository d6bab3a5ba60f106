"""How a training step computes, on one device or on several."""

from __future__ import annotations

from dataclasses import dataclass

from autofit.worker.execution.loss_scale import LossScale


@dataclass(frozen=True, slots=True)
class StepOptions:
    """How a step computes.

    Attributes:
        pads: whether a slice with fewer images than the micro-batch is padded with rows of zeros, whose outputs are
            dropped before the loss. The update is the same, and all slices have one shape. It must be False if the
            output of a row depends on other rows.
        loss_scale: the scale of the first step. The gradients are computed from the loss times the scale, and their sum
            over all slices is divided by it; if that sum is not finite, the weights stay and the scale is halved. None
            for a network that does not compute in float16.
        one_by_one: whether the update changes one variable after another, which takes less memory and has the same
            result. Several devices then take turns.
    """

    pads: bool = False
    loss_scale: LossScale | None = None
    one_by_one: bool = False


AS_USUAL = StepOptions()
