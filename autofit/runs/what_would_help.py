"""The words if not even one image fits: what was tried, and which options would help. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from autofit.config.half_precision import saving_precision
from autofit.config.options import Options
from autofit.config.precisions import Precision
from autofit.config.rungs import IN_TURN, KEPT, Rung
from autofit.probing.ladder import cannot_be_built
from autofit.probing.records import ProbeReport, Workload
from autofit.protocol.messages import FINE_TUNING, StageName

Trains = Literal["head", "all", "above a cut"]
"""What trains: only the head, on a frozen backbone; all layers from the beginning; or the layers above a cut."""

WEIGHTS_ALONE, FOR_WEIGHTS = "its weights alone do not fit", "take a smaller backbone or more memory"
"""What is said, and what would help, if memory runs out while the network is built."""

FEWER: dict[Trains, str] = {
    "head": "",
    "all": "train fewer layers (trainable 'head', then fine_tune_from), ",
    "above a cut": "a cut nearer to the head (fine_tune_from), ",
}


def tried_words(rungs: Iterable[Rung]) -> str:
    """The other rungs that were tried, as `, nor with activations recomputed in 4 or 8 segments`; empty if none."""
    tried = set(rungs)
    numbers = [str(segments) for segments in sorted({rung.segments for rung in tried} - {0, IN_TURN.segments})]
    in_turn = f", nor with {IN_TURN.words}" if IN_TURN in tried else ""
    if not numbers:
        return in_turn
    *most, last = numbers
    return f"{in_turn}, nor with activations recomputed in {', '.join(most)}{' or ' if most else ''}{last} segments"


def advice(trains: Trains, *, may_recompute: bool = False, precision: Precision | None = None) -> str:
    """The options that would help, in words.

    Args:
        trains: the layers that train, whose activations are kept for the backward pass.
        may_recompute: whether computing activations again is possible and was not tried.
        precision: the 16-bit precision that would halve the memory of activations; None if it is used already.
    """
    again = "give recompute 'auto', " if may_recompute and trains != "head" else ""
    half = f"precision '{precision}', " if precision and trains != "head" else ""
    return f"{again}take a smaller image size (image_size), {FEWER[trains]}{half}a smaller backbone or more memory"


def advice_after(report: ProbeReport, trains: Trains | None = None) -> str:
    """The advice after a probe found that nothing fits; `trains` is given if it is not that of the workload."""
    if cannot_be_built(report.trials):
        return f"{WEIGHTS_ALONE}, {FOR_WEIGHTS}"
    work = report.workload
    return advice(
        trains or ("all" if work.trainable == "all" else "head"),
        may_recompute=tried_rungs(report) == {KEPT},
        precision=_saving(work.precision, "gpu" if report.hardware.get("device") == "gpu" else "cpu"),
    )


def advice_for(work: Workload, device: Literal["cpu", "gpu"]) -> str:
    """The advice for a network that was tried on one rung only, and does not fit."""
    return advice("all" if work.trainable == "all" else "head", precision=_saving(work.precision, device))


def tried_rungs(report: ProbeReport) -> set[Rung]:
    """The rungs that a probe has tried."""
    return {Rung(segments=report.workload.segments), *(record.rung for record in report.rungs)}


def advice_in_stage(options: Options, stage: StageName, device: Literal["cpu", "gpu"]) -> str:
    """The advice if nothing fits in a stage of a run; `options` has the precision that was chosen for the stage."""
    return advice(
        trains_in(options, stage),
        may_recompute=options.recompute == "off",
        precision=_saving(options.precision, device),
    )


def trains_in(options: Options, stage: StageName) -> Trains:
    """What trains in a stage of a run."""
    if stage in FINE_TUNING:
        return "above a cut"
    return "all" if stage == "training" and options.trainable == "all" else "head"


def left_out_words(options: Options, device: Literal["cpu", "gpu"], stage: Literal["fine-tune", "refit"]) -> str:
    """The warning in a run whose fine-tuning, or only that on all images, was left out, since nothing fitted."""
    what, kept = {
        "fine-tune": ("Fine-tuning", "with the head alone"),
        "refit": ("Fine-tuning on all images", "from before it"),
    }[stage]
    helps = advice_in_stage(options, stage, device)
    return f"{what} was left out: not even one image at a time fits. The model {kept} is kept. In a new run, {helps}."


def _saving(precision: str, device: Literal["cpu", "gpu"]) -> Precision | None:
    return saving_precision(device) if precision == "float32" else None
