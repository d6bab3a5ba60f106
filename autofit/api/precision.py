"""`precision="auto"`: 16 bits if they are measured to be faster and to give nearly the same figures, else float32."""

from __future__ import annotations

import os

from autofit.api.measure import Measurer
from autofit.config.half_precision import no_units_words, promising_precision
from autofit.config.options import Options
from autofit.config.rungs import ON_REQUEST, Rung
from autofit.errors import TrainingFailedError, UserError
from autofit.probing.precision_choice import chosen_precision
from autofit.probing.precision_trial import ComparisonRequest, compare_precisions
from autofit.protocol.job import ComparisonJob, Kernels, ModelSource
from autofit.protocol.precision import PrecisionChoice
from autofit.protocol.tf_choices import kernels_asked, tuning_asked, xla_asked
from autofit.runs import plan
from autofit.runs.memory_budget import memory_budget
from autofit.runs.model_source import model_source, on_rung, rung_of
from autofit.storage.scratch import scratch_folder

IMAGES_COMPARED = {"cpu": 8, "gpu": 32}
"""The micro-batch of the comparison: large enough to keep a GPU busy; small on a CPU, where each image may take seconds
without fast kernels for 16 bits."""


def precision_choice(options: Options, num_classes: int, measurer: Measurer) -> PrecisionChoice | None:
    """The precision that `"auto"` chooses on this machine; None if the request names the precision.

    If the comparison fails for any reason, the choice is float32: an error in the request will show again later.

    Raises:
        InterruptedRunError: Ctrl-C.
    """
    if options.precision != "auto":
        return None
    kernels = plan.kernels_before_probe(options, measurer.machine, kernels_asked(os.environ))
    choice = _choice(options, model_source(options, num_classes), kernels, measurer)
    measurer.view.message(f"precision auto: {choice.precision} ({choice.why})")
    return choice


def stage_precision(options: Options, source: ModelSource, kernels: Kernels, measurer: Measurer) -> PrecisionChoice:
    """The precision that `"auto"` chooses for fine-tuning, by measuring the steps of that stage.

    Args:
        options: the request.
        source: the network of the stage.
        kernels: the kernels of the stage.
        measurer: the measurer of this machine.

    Raises:
        InterruptedRunError: Ctrl-C.
    """
    spec = source.spec.model_copy(update={"precision": "float32", "segments": rung_of(options).segments})
    choice = _choice(options, source.model_copy(update={"spec": spec}), kernels, measurer)
    measurer.view.message(f"precision auto, fine-tuning: {choice.precision} ({choice.why})")
    return choice


def _choice(options: Options, source: ModelSource, kernels: Kernels, measurer: Measurer) -> PrecisionChoice:
    machine = measurer.machine
    candidate = promising_precision(machine)
    if candidate is None:
        return _float32(no_units_words(machine))
    if not plan.has_time_to_probe(options):
        return _float32("a time budget this short has no time to measure another")
    work = ComparisonJob(
        precision=candidate,
        batch_size=min(IMAGES_COMPARED[machine.device], options.micro_batch_size or IMAGES_COMPARED[machine.device]),
        kernels=kernels,
        tuning=tuning_asked(os.environ) or "tuned",
        xla=machine.device == "gpu" and xla_asked(os.environ),
    )
    measurer.view.message(f"precision auto: comparing {candidate} with float32")
    with scratch_folder("autofit-precision-") as folder:
        request = ComparisonRequest(
            source=source,
            saving=_saving(options, source),
            work=work,
            memory=memory_budget(options, machine, work.batch_size),
            folder=folder,
            payload=measurer.payload,
            import_paths=measurer.import_paths,
            deterministic=options.deterministic,
        )
        try:
            found = compare_precisions(request, measurer.launcher, measurer.view)
        except (UserError, TrainingFailedError) as error:
            return _float32(f"{candidate} could not be measured: {error}")
    return chosen_precision(found) if found else _float32(_nothing_fits(request))


def _saving(options: Options, source: ModelSource) -> ModelSource | None:
    """The network on the rung that usually needs the least memory, where autofit may choose that; else None."""
    trains = source.spec.trainable == "all" or bool(source.spec.cut)
    return on_rung(source, ON_REQUEST) if options.recompute == "auto" and trains else None


def _nothing_fits(request: ComparisonRequest) -> str:
    if request.saving is not None:
        return "not even one image fits"
    return f"not even one image fits with {Rung(segments=request.source.spec.segments).words or 'activations kept'}"


def _float32(why: str) -> PrecisionChoice:
    return PrecisionChoice(precision="float32", why=why)
