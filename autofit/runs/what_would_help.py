"""The words if not even one image fits: what was tried, and which options would help. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from autofit.config.backbones import BACKBONES
from autofit.config.byte_size import format_size
from autofit.config.half_precision import saving_precision
from autofit.config.hub_presets import is_preset
from autofit.config.options import Options
from autofit.config.precisions import Precision
from autofit.config.rungs import IN_TURN, KEPT, Rung
from autofit.probing.ladder import cannot_be_built, limit_in_the_way, took_too_long
from autofit.probing.records import ProbeReport, Workload
from autofit.protocol.messages import FINE_TUNING, MemoryBudget, StageName, Verdict
from autofit.runs.memory_budget import GIVEN_LIMIT

Trains = Literal["head", "all", "all, pretrained", "above a cut"]
"""What trains: only the head, on a frozen backbone; all layers, of random or of pretrained weights; or the layers above
a cut."""

WEIGHTS_ALONE = "its weights alone do not fit"
"""What is said if memory runs out while the network is built."""

TOO_SLOW = (
    "a trial with so few was stopped after its deadline, as where the machine swaps or the device hangs (autofit "
    "doctor): end other programs, or take a smaller image size (image_size)"
)
"""What is said if not even the smallest size was done in time."""

FOR_HOST = "free memory of this machine (not of its GPU), or take a smaller batch_size or image_size"
"""What would help where a GPU computes, and the host's memory ran out."""

HEAD_ALONE = "train the head alone (trainable 'head'), "
"""The advice to train fewer layers to those who only measure."""

FEWER: dict[Trains, str] = {
    "head": "",
    "all": "",
    "all, pretrained": "train fewer layers (fine_tune_epochs without trainable), ",
    "above a cut": "a cut nearer to the head (fine_tune_from), ",
}
"""The advice to train fewer layers to those who train: one who has all layers train from random weights cannot."""


def tried_words(rungs: Iterable[Rung]) -> str:
    """The other rungs that were tried, as `, nor with activations recomputed in 4 or 8 segments`; empty if none."""
    tried = set(rungs)
    numbers = [str(segments) for segments in sorted({rung.segments for rung in tried} - {0, IN_TURN.segments})]
    in_turn = f", nor with {IN_TURN.words}" if IN_TURN in tried else ""
    if not numbers:
        return in_turn
    *most, last = numbers
    return f"{in_turn}, nor with activations recomputed in {', '.join(most)}{' or ' if most else ''}{last} segments"


@dataclass(frozen=True, slots=True)
class Given:
    """What the user has given, so that nothing is advised that is refused, or changes nothing.

    Attributes:
        is_own_network: whether the network is the user's own, and no backbone.
        has_limit: whether there is a memory limit of the user's.
    """

    is_own_network: bool = False
    has_limit: bool = False

    @property
    def for_weights(self) -> str:
        """What would help if the weights alone do not fit."""
        return f"take {self.smaller_or_more}"

    @property
    def smaller_or_more(self) -> str:
        """A smaller network or more memory, in the user's terms."""
        network = "a smaller network" if self.is_own_network else "a smaller backbone"
        return f"{network} or {'a higher memory_limit' if self.has_limit else 'more memory'}"


NOTHING_GIVEN = Given()


def advice(
    trains: Trains,
    given: Given = NOTHING_GIVEN,
    *,
    may_recompute: bool = False,
    precision: Precision | None = None,
    fewer: str | None = None,
) -> str:
    """The options that would help, in words.

    Args:
        trains: the layers that train, whose activations are kept for the backward pass.
        given: what the user has given.
        may_recompute: whether computing activations again is possible and was not tried.
        precision: the 16-bit precision that would halve the memory of activations; None if it is used already.
        fewer: how to train fewer layers, in words; None for what a training takes.
    """
    again = "give recompute 'auto', " if may_recompute and trains != "head" else ""
    half = f"precision '{precision}', " if precision and trains != "head" else ""
    fewer = FEWER[trains] if fewer is None else fewer
    return f"{again}take a smaller image size (image_size), {fewer}{half}{given.smaller_or_more}"


def advice_after(report: ProbeReport, trains: Trains | None = None) -> str:
    """The advice after a probe found that nothing fits.

    Args:
        report: the report of the probe.
        trains: what trains in a run; None if it is only measured.
    """
    work = report.workload
    given = Given(is_own_network(work), report.limited_by == GIVEN_LIMIT)
    if limit := limit_in_the_way(report.trials):
        return limit
    if taken := _taken_by_others(report):
        return f"another program took {format_size(taken)} of the memory meanwhile: free it and try again"
    if cannot_be_built(report.trials):
        return f"{WEIGHTS_ALONE}, {given.for_weights}"
    if took_too_long(report.trials):
        return TOO_SLOW
    return advice(
        trains or _trained(work),
        given,
        may_recompute=tried_rungs(report) == {KEPT},
        precision=_saving(work.precision, "gpu" if report.hardware.get("device") == "gpu" else "cpu"),
        fewer=None if trains else _fewer_measured(work, is_pretrained=work.weights != "none"),
    )


def _taken_by_others(report: ProbeReport) -> int:
    """The bytes of the host's memory that others took while the smallest size ran out of it; 0 on a GPU."""
    if report.hardware.get("device") == "gpu":
        return 0
    smallest = min((trial.batch_size for trial in report.trials), default=0)
    return max((trial.other_processes_bytes for trial in report.trials if trial.batch_size == smallest), default=0)


def advice_for(work: Workload, device: Literal["cpu", "gpu"]) -> str:
    """The advice for a network that was tried on one rung only, and does not fit."""
    return advice(
        _trained(work),
        Given(is_own_network(work)),
        precision=_saving(work.precision, device),
        fewer=_fewer_measured(work, is_pretrained=work.weights != "none"),
    )


def is_own_network(work: Workload) -> bool:
    """Whether a measured network is the user's own, and no backbone."""
    return work.backbone not in BACKBONES and not is_preset(work.backbone)


def _trained(work: Workload) -> Trains:
    return "all" if work.trainable == "all" else "head"


def _fewer_measured(work: Workload, *, is_pretrained: bool) -> str:
    """How to measure with fewer layers that train; a random backbone cannot be frozen, nor one of the user's."""
    return HEAD_ALONE if work.trainable == "all" and is_pretrained and not is_own_network(work) else ""


def tried_rungs(report: ProbeReport) -> set[Rung]:
    """The rungs that a probe has tried."""
    return {Rung(segments=report.workload.segments), *(record.rung for record in report.rungs)}


def advice_in_stage(options: Options, stage: StageName, device: Literal["cpu", "gpu"]) -> str:
    """The advice if nothing fits in a stage of a run; `options` has the precision that was chosen for the stage."""
    return advice(
        trains_in(options, stage),
        given_in(options),
        may_recompute=options.recompute == "off",
        precision=_saving(options.precision, device),
    )


def advice_of_attempt(
    options: Options, stage: StageName, memory: MemoryBudget, verdict: Verdict, others: str
) -> tuple[str, str]:
    """The advice if nothing fits after an attempt of a run, and if not even its weights do.

    Args:
        options: the request, with the precision that was chosen for the stage.
        stage: the stage of the attempt.
        memory: what the worker could use.
        verdict: on the attempt.
        others: which other program took how much memory meanwhile; empty if none did.
    """
    if others:
        return (f"{others}: free that memory and resume",) * 2
    if memory.device == "gpu" and verdict is Verdict.HOST_OOM:
        return FOR_HOST, FOR_HOST
    if not memory.is_given:  # perhaps more was given than the machine has
        options = options.model_copy(update={"memory_limit_bytes": None})
    return advice_in_stage(options, stage, memory.device), given_in(options).for_weights


def given_in(options: Options) -> Given:
    """What is given in a request."""
    return Given(options.model is not None, options.memory_limit_bytes is not None)


def trains_in(options: Options, stage: StageName) -> Trains:
    """What trains in a stage of a run; where all layers train, fine-tuning has no cut to move."""
    if options.trainable == "all" and (stage == "training" or stage in FINE_TUNING):
        return "all" if options.weights == "none" else "all, pretrained"
    return "above a cut" if stage in FINE_TUNING else "head"


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
