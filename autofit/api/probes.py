"""`probe()` and `sweep()`: find out what this machine can train, without any images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autofit.api.backbone_objects import named_backbone
from autofit.api.measure import Measurer
from autofit.api.precision import precision_choice
from autofit.api.probe_result import ProbeResult, SweepResult
from autofit.api.workers import machine_for, measurer_for, payload_of
from autofit.config.option_table import checked
from autofit.config.options import Options, options_of_call
from autofit.config.validators import is_pair, several
from autofit.errors import DoesNotFitError, TrainingFailedError, UserError
from autofit.probing.recommend import sweep_order
from autofit.probing.records import ProbeReport, SweepFailure, SweepReport
from autofit.process.monitor import View
from autofit.report.probe_text import workload_words
from autofit.report.progress import showing
from autofit.report.views import ProgressView
from autofit.runs.model_source import workload
from autofit.runs.run_record import settled
from autofit.runs.what_would_help import Trains, advice_after, tried_rungs, tried_words
from autofit.storage.system_errors import naming_system_errors


def probe(  # noqa: PLR0913 - the options are the interface
    *,
    backbone: str | Callable[..., Any] | None = None,
    model: Any = None,
    weights: str | Path | None = "imagenet",
    image_size: int | tuple[int, int] | str | None = None,
    trainable: str | None = None,
    hidden_units: int = 0,
    dropout: float = 0.2,
    optimizer: Any = "adam",
    recompute: str = "auto",
    precision: str = "float32",
    num_classes: int = 10,
    memory_limit: str | int | None = None,
    max_batch: int = 4096,
    profile: bool = True,
    isolation: str = "process",
    view: ProgressView | None = None,
) -> ProbeResult:
    """Find the largest batch size that this machine can train, and the fastest, without any images.

    Args:
        backbone: A network of `keras.applications`, by name, or `hub:` and a preset of KerasHub: its name or its
            folder. In Python also the function, such as `keras.applications.ResNet50`, or an object of KerasHub.
            Default: `MobileNetV2`.
        model: Your own network instead of a backbone: a function `(input_shape, num_classes) -> keras.Model`, or its
            name as `module:function`. In Python also a `keras.Model`, of which a copy is trained. The function may be
            defined in a notebook cell. Its inputs are raw images, 0 to 255, `(n, height, width, 3)`. It trains in
            stages with `trainable` `head`.
        weights: The backbone's initial weights: `imagenet`, `none` (random), or a file. For a preset of KerasHub
            `imagenet` means its own.
        image_size: The size of the images in pixels: `160`, or `160x192` (height x width). In Python also `(160, 192)`.
            Default: the backbone's or the model's own, else 224.
        trainable: The layers that train: only the `head`, with a frozen backbone, or `all`. The head of a `model` is
            its last `Dense`, with its softmax and dropout; all below has to be pretrained. Default: `head` with
            weights, `all` without; of a `model` `head` with `fine_tune_epochs`, else `all`.
        hidden_units: The width of a hidden layer in the head; 0 for none.
        dropout: The share of the head's inputs that is dropped in training.
        optimizer: A Keras optimizer, by name. In Python also an object of `keras.optimizers`. A compiled `model` has
            its own.
        recompute: Whether activations are recomputed in the backward pass instead of kept (gradient checkpointing):
            `on`, `off` or `auto`. A step then needs less memory and more time, and has the same gradients to float
            tolerance. `auto` recomputes where the wanted micro-batch does not fit otherwise.
        precision: The numbers that the layers compute with: `float32`, `mixed_bfloat16`, `mixed_float16` or `auto`. In
            mixed precision, activations have 16 bits, which saves up to half of their memory; weights, head and loss
            stay float32, and so does the saved model. The trained weights differ from those of float32. It is fast on a
            GPU with units for 16 bits, and mostly slow on a CPU. `auto` measures float32 and 16 bits where the machine
            has such units, and takes 16 bits if they are clearly faster and features and loss differ by a few percent
            at most. `estimate` and `extract` do not take `auto`.
        num_classes: The number of classes, which is the width of the head's output.
        memory_limit: The memory that may be used, such as `3GB` (3 * 10^9 bytes) or `3GiB`. On a CPU it limits the
            resident memory of the worker, on a GPU the device memory. Default: what the machine has.
        max_batch: The largest batch size to look for.
        profile: Start from earlier measurements on such a machine, and save the new ones. Otherwise the saved profiles
            are neither read nor written. In either case the largest batch size that a probe reports has just run; the
            speed of the recommended one may have been measured earlier.
        isolation: Where to train: in a `process` of its own, which may be killed without harm, or `inline` in the
            caller's.
        view: An object that shows the progress, in Python only. Default: bars in a terminal or notebook, else plain
            lines.

    Raises:
        UserError: an argument cannot be used.
        TrainingFailedError: a trial failed for a reason that is not memory.
        InterruptedRunError: Ctrl-C stopped it.
    """
    backbone = named_backbone(backbone)
    options = options_of_call(locals())
    num_classes, max_batch = checked("num_classes", num_classes), checked("max_batch", max_batch)
    with naming_system_errors(), showing(view) as shown:
        measurer = measurer_for(options, machine_for(options), payload_of(model, (), options), shown)
        return ProbeResult.of(_measured(options, num_classes, max_batch, measurer))


def sweep(  # noqa: PLR0913 - the options are the interface
    backbones: str | Callable[..., Any] | Sequence[str | Callable[..., Any]],
    image_sizes: int | str | Sequence[int | tuple[int, int] | str | None] | None = (),
    *,
    weights: str | Path | None = "imagenet",
    trainable: str | None = None,
    hidden_units: int = 0,
    dropout: float = 0.2,
    optimizer: Any = "adam",
    recompute: str = "auto",
    precision: str = "float32",
    num_classes: int = 10,
    memory_limit: str | int | None = None,
    max_batch: int = 4096,
    profile: bool = True,
    isolation: str = "process",
    view: ProgressView | None = None,
) -> SweepResult:
    """Probe several backbones at several image sizes, one after another; the report has the fastest first.

    All options are checked before the first trial. If a network fails for a reason that is not memory, the report says
    so, and the other networks are still probed.

    Args:
        backbones: The networks, each as `backbone` of `run`: a list, or a text with commas.
        image_sizes: The sizes of the images in pixels, each as `image_size` of `run`: a list, or a text with commas.
            Without any, each backbone is probed at its own size. `[160, 192]` are two sizes, and `[(160, 192)]` is one.
        weights: The backbone's initial weights: `imagenet`, `none` (random), or a file. For a preset of KerasHub
            `imagenet` means its own.
        trainable: The layers that train: only the `head`, with a frozen backbone, or `all`. The head of a `model` is
            its last `Dense`, with its softmax and dropout; all below has to be pretrained. Default: `head` with
            weights, `all` without; of a `model` `head` with `fine_tune_epochs`, else `all`.
        hidden_units: The width of a hidden layer in the head; 0 for none.
        dropout: The share of the head's inputs that is dropped in training.
        optimizer: A Keras optimizer, by name. In Python also an object of `keras.optimizers`. A compiled `model` has
            its own.
        recompute: Whether activations are recomputed in the backward pass instead of kept (gradient checkpointing):
            `on`, `off` or `auto`. A step then needs less memory and more time, and has the same gradients to float
            tolerance. `auto` recomputes where the wanted micro-batch does not fit otherwise.
        precision: The numbers that the layers compute with: `float32`, `mixed_bfloat16`, `mixed_float16` or `auto`. In
            mixed precision, activations have 16 bits, which saves up to half of their memory; weights, head and loss
            stay float32, and so does the saved model. The trained weights differ from those of float32. It is fast on a
            GPU with units for 16 bits, and mostly slow on a CPU. `auto` measures float32 and 16 bits where the machine
            has such units, and takes 16 bits if they are clearly faster and features and loss differ by a few percent
            at most. `estimate` and `extract` do not take `auto`.
        num_classes: The number of classes, which is the width of the head's output.
        memory_limit: The memory that may be used, such as `3GB` (3 * 10^9 bytes) or `3GiB`. On a CPU it limits the
            resident memory of the worker, on a GPU the device memory. Default: what the machine has.
        max_batch: The largest batch size to look for.
        profile: Start from earlier measurements on such a machine, and save the new ones. Otherwise the saved profiles
            are neither read nor written. In either case the largest batch size that a probe reports has just run; the
            speed of the recommended one may have been measured earlier.
        isolation: Where to train: in a `process` of its own, which may be killed without harm, or `inline` in the
            caller's.
        view: An object that shows the progress, in Python only. Default: bars in a terminal or notebook, else plain
            lines.

    Raises:
        UserError: an argument cannot be used.
        InterruptedRunError: Ctrl-C stopped it.
    """
    common = locals()
    if is_pair(image_sizes):
        sides = ", ".join(map(str, image_sizes))  # type: ignore[arg-type]  # it is a tuple
        raise UserError(
            f"image_sizes ({sides}) may be two sizes, or the height and width of one: give [{sides}] or [({sides})]"
        )
    requests = [
        options_of_call(common | {"backbone": backbone, "image_size": image_size})
        for backbone in several(named_backbone(backbones))
        for image_size in several(image_sizes) or [None]
    ]
    if not requests:
        raise UserError(f"backbones is {backbones!r}: name one or more networks, such as 'MobileNetV2'")
    num_classes, max_batch = checked("num_classes", num_classes), checked("max_batch", max_batch)
    with naming_system_errors(), showing(view) as shown:
        return SweepResult.of(_sweep(requests, num_classes, max_batch, shown))


def _sweep(requests: Sequence[Options], num_classes: int, max_batch: int, view: View) -> SweepReport:
    start_seconds = time.monotonic()
    probes: list[ProbeReport] = []
    failures: list[SweepFailure] = []
    for number, options in enumerate(requests, 1):
        probed = workload(options, num_classes)
        view.message(f"{number} of {len(requests)}: {workload_words(probed)}")
        measurer = measurer_for(options, machine_for(options), payload_of(None, (), options), view)
        try:
            probes.append(_measured(options, num_classes, max_batch, measurer))
        except (TrainingFailedError, UserError) as error:  # every option was checked before
            failures.append(SweepFailure(workload=probed, cause=str(error)))
            view.message(str(error))
    return SweepReport(probes=sweep_order(probes), failures=failures, wall_seconds=time.monotonic() - start_seconds)


def _measured(options: Options, num_classes: int, max_batch: int, measurer: Measurer) -> ProbeReport:
    """The report on one network, in the precision that was given or that `auto` chooses."""
    choice = precision_choice(options, num_classes, measurer)
    report = measurer.measure(settled(options, choice), num_classes, max_batch)
    return report.model_copy(update={"precision_choice": choice})


def does_not_fit(report: ProbeReport, trains: Trains | None = None) -> DoesNotFitError:
    """The error for a probe that found no batch size that fits; its message says what would help.

    `trains` is what trains in the run that the probe is for; None if there is no run.
    """
    tried = f"(limited by {report.limited_by}){tried_words(tried_rungs(report))}"
    return DoesNotFitError(f"not even one image at a time fits {tried}: {advice_after(report, trains)}")
