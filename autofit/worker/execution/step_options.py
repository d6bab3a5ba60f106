"""How a training step computes, on one device or on several."""

from __future__ import annotations

from dataclasses import dataclass

from autofit.worker.execution.loss_scale import LossScale


@dataclass(frozen=True, slots=True)
class StepOptions:
    """How a step computes.

    Attributes:
        pads: a slice of fewer than the micro-batch's images is padded for the network with rows of zeros, whose outputs
            are dropped before the loss: the same update, and one shape for all slices. It must not be asked for where
            one row's output depends on other rows.
        loss_scale: of the first step. The gradients are those of the loss times the scale, and the sum over all slices
            is divided by it and looked at once: if it is not finite, the weights stay and the scale is halved. None for
            a network that does not compute in float16.
        one_by_one: the update changes one variable after another, which takes less memory and gives the same. Several
            devices take turns.
    """

    pads: bool = False
    loss_scale: LossScale | None = None
    one_by_one: bool = False


AS_USUAL = StepOptions()
