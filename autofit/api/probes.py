"""What this machine can train, asked without any images: one probe, or a sweep over several networks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from autofit.api.workers import ModelFunction, machine_for, measurer_for, payload_of
from autofit.config.options import Options, make_options
from autofit.config.validators import whole_number
from autofit.errors import DoesNotFitError, TrainingFailedError, UserError
from autofit.probing.recommend import sweep_order
from autofit.probing.records import ProbeReport, SweepFailure, SweepReport
from autofit.process.monitor import View
from autofit.report.probe_text import workload_words
from autofit.report.progress import ProgressView, showing
from autofit.runs import plan


def probe(  # noqa: PLR0913 - the options are the interface
    *,
    backbone: str | None = None,
    model: str | ModelFunction | None = None,
    weights: str | Path | None = "imagenet",
    image_size: int | tuple[int, int] | str | None = None,
    trainable: str | None = None,
    hidden_units: int = 0,
    dropout: float = 0.2,
    optimizer: str = "adam",
    num_classes: int = 10,
    memory_limit: str | int | None = None,
    max_batch: int = plan.MOST_PROBED_BATCH,
    profile: bool = True,
    isolation: str = "process",
    view: ProgressView | None = None,
) -> ProbeReport:
    """Find the largest batch that this machine can train, and the fastest, without any images.

    Args: as in `run`; `num_classes` is the width of the head, `max_batch` the largest size of interest. With `profile`
        it starts from what was measured on such a machine before, and saves what it finds; the largest size that it
        answers was run now in any case, the recommended one may have been timed then.

    Raises:
        UserError: something given cannot be used.
        TrainingFailedError: a trial failed for a reason that is not memory.
        InterruptedRunError: stopped by Ctrl-C.
    """
    classes, most = whole_number("num_classes", num_classes, 1), whole_number("max_batch", max_batch, 1)
    options = make_options(
        backbone=backbone,
        model=model,
        weights=weights,
        image_size=image_size,
        trainable=trainable,
        hidden_units=hidden_units,
        dropout=dropout,
        optimizer=optimizer,
        memory_limit=memory_limit,
        isolation=isolation,
    )
    with showing(view) as shown:
        measurer = measurer_for(options, machine_for(options), payload_of(model, ()), shown, profile=profile)
        return measurer.measure(options, classes, most)


def sweep(  # noqa: PLR0913 - the options are the interface
    backbones: Sequence[str],
    image_sizes: Sequence[int | tuple[int, int] | str | None] = (),
    *,
    weights: str | Path | None = "imagenet",
    trainable: str | None = None,
    hidden_units: int = 0,
    dropout: float = 0.2,
    optimizer: str = "adam",
    num_classes: int = 10,
    memory_limit: str | int | None = None,
    max_batch: int = plan.MOST_PROBED_BATCH,
    profile: bool = True,
    isolation: str = "process",
    view: ProgressView | None = None,
) -> SweepReport:
    """Probe several backbones at several image sizes, one after another, the fastest first in the report.

    Args: as in `probe`. Without `image_sizes` each backbone is probed at its own. All is checked before the first
        trial; a network that fails for a reason that is not memory is told of in the report, and does not end it.

    Raises:
        UserError: something given cannot be used.
        InterruptedRunError: stopped by Ctrl-C.
    """
    classes, most = whole_number("num_classes", num_classes, 1), whole_number("max_batch", max_batch, 1)
    requests = [
        make_options(
            backbone=backbone,
            weights=weights,
            image_size=image_size,
            trainable=trainable,
            hidden_units=hidden_units,
            dropout=dropout,
            optimizer=optimizer,
            memory_limit=memory_limit,
            isolation=isolation,
        )
        for backbone in backbones
        for image_size in (image_sizes or [None])
    ]
    with showing(view) as shown:
        return _sweep(requests, classes, most, shown, profile=profile)


def _sweep(requests: Sequence[Options], num_classes: int, max_batch: int, view: View, *, profile: bool) -> SweepReport:
    began = time.monotonic()
    probes: list[ProbeReport] = []
    failures: list[SweepFailure] = []
    for number, options in enumerate(requests, 1):
        workload = plan.workload(options, num_classes)
        view.message(f"{number} of {len(requests)}: {workload_words(workload)}")
        measurer = measurer_for(options, machine_for(options), None, view, profile=profile)
        try:
            probes.append(measurer.measure(options, num_classes, max_batch))
        except (TrainingFailedError, UserError) as error:  # what could be checked beforehand has been
            failures.append(SweepFailure(workload=workload, cause=str(error)))
            view.message(str(error))
    return SweepReport(probes=sweep_order(probes), failures=failures, wall_seconds=time.monotonic() - began)


def does_not_fit(report: ProbeReport) -> DoesNotFitError:
    """What a probe that found nothing means, and what would help."""
    return DoesNotFitError(
        f"not even one image at a time fits (limited by {report.limited_by}): "
        "take a smaller image size, a smaller backbone or more memory"
    )
