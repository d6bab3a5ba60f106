"""`precision="auto"`: 16 bits where they are measured to be faster and to give the same, else float32."""

from __future__ import annotations

import os

from autofit.api.measure import Measurer
from autofit.config.half_precision import no_units_words, promising_precision
from autofit.config.options import Options
from autofit.errors import TrainingFailedError, UserError
from autofit.probing.precision_choice import chosen_precision
from autofit.probing.precision_trial import ComparisonRequest, compare_precisions
from autofit.protocol.job import ComparisonJob, Kernels, ModelSource, kernels_asked, tuning_asked, xla_asked
from autofit.protocol.precision import PrecisionChoice
from autofit.runs import plan
from autofit.runs.memory_budget import memory_budget
from autofit.runs.model_source import model_source
from autofit.storage.scratch import scratch_folder

IMAGES_COMPARED = {"cpu": 8, "gpu": 32}
"""At once: enough to keep such a device busy, and on a CPU few, since without fast kernels each takes seconds."""


def precision_choice(options: Options, num_classes: int, measurer: Measurer) -> PrecisionChoice | None:
    """What `precision="auto"` comes to on this machine; None if the request names the precision.

    Whatever prevents a comparison leaves it at float32: what is wrong with the request shows in what follows.

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
    """What `precision="auto"` comes to for fine-tuning, by its own steps.

    Args:
        options: the request.
        source: the network of the stage.
        kernels: those of the stage.
        measurer: of this machine.

    Raises:
        InterruptedRunError: Ctrl-C.
    """
    spec = source.spec.model_copy(update={"precision": "float32", "segments": 0})
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
    return chosen_precision(found) if found else _float32("not even one image fits with activations kept")


def _float32(why: str) -> PrecisionChoice:
    return PrecisionChoice(precision="float32", why=why)
