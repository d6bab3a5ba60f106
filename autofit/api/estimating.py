"""`estimate()`: what fits another machine, from measurements of the real network with small batches on this one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autofit.api.backbone_objects import named_backbone
from autofit.api.estimate_result import EstimateResult
from autofit.api.workers import import_paths, machine_for, payload_of
from autofit.config.option_table import checked
from autofit.config.options import Options, options_of_call
from autofit.config.validators import is_pair, several
from autofit.errors import TrainingFailedError, UserError
from autofit.machine.cards import CARDS
from autofit.machine.hardware import Hardware
from autofit.probing.estimate import EstimateReport, MeasuredLine, Target, estimated, sizes_that_ran
from autofit.probing.evidence import POINTS_OF_A_LINE
from autofit.probing.loop import Prober
from autofit.probing.memory_model import UNBOUNDED_BATCH
from autofit.probing.records import SweepFailure
from autofit.probing.request import ProbeRequest
from autofit.process.launch import ProcessLauncher
from autofit.process.monitor import View
from autofit.profiles.lines import LineStore
from autofit.profiles.store import default_folder
from autofit.protocol.payload import Payload
from autofit.report.probe_text import workload_words
from autofit.report.progress import showing
from autofit.report.views import ProgressView
from autofit.runs.memory_budget import limited_by, memory_budget
from autofit.runs.model_source import model_source, workload
from autofit.runs.what_would_help import advice_for
from autofit.storage.scratch import scratch_folder
from autofit.storage.system_errors import naming_system_errors

SMALL_BYTES = 2 * 10**9
"""The memory planned for the small batches. A larger limit would make the worker take more memory beside its tensors
than a worker on the other machine takes."""


def estimate(  # noqa: PLR0913 - the options are the interface
    *,
    backbone: str | Callable[..., Any] | Sequence[str] | None = None,
    model: Any = None,
    weights: str | Path | None = "imagenet",
    image_size: int | tuple[int, int] | str | Sequence[int | str] | None = None,
    trainable: str | None = None,
    hidden_units: int = 0,
    dropout: float = 0.2,
    optimizer: Any = "adam",
    precision: str = "float32",
    num_classes: int = 10,
    memory: str | int | Sequence[str | int] | None = None,
    device: str | Sequence[str] | None = None,
    profile: bool = True,
    view: ProgressView | None = None,
) -> EstimateResult:
    """Estimate the largest batch that fits another machine, such as a GPU to be rented.

    A few small batches run through the real network on this machine's CPU; no weights are loaded or downloaded.
    Several networks, image sizes, memories and devices are given as a list, or a text with commas; all combinations are
    estimated.

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
        precision: The numbers that the layers compute with: `float32`, `mixed_bfloat16`, `mixed_float16` or `auto`. In
            mixed precision, activations have 16 bits, which saves up to half of their memory; weights, head and loss
            stay float32, and so does the saved model. The trained weights differ from those of float32. It is fast on a
            GPU with units for 16 bits, and mostly slow on a CPU. `auto` measures float32 and 16 bits where the machine
            has such units, and takes 16 bits if they are clearly faster and features and loss differ by a few percent
            at most. `estimate` and `extract` do not take `auto`.
        num_classes: The number of classes, which is the width of the head's output.
        memory: The memory of the machine to estimate for, such as `16GB`. On a GPU it is the card's, on a CPU the limit
            on the process. Default: the card's own.
        device: The machine to estimate for: `cpu`, `gpu`, a card such as `t4`, `l4` or `a100`, or `all` cards. `cpu`
            and `gpu` need `memory`. Default: `gpu` with `memory`, else `all`.
        profile: Start from earlier measurements on such a machine, and save the new ones. Otherwise the saved profiles
            are neither read nor written. In either case the largest batch size that a probe reports has just run; the
            speed of the recommended one may have been measured earlier.
        view: An object that shows the progress, in Python only. Default: bars in a terminal or notebook, else plain
            lines.

    Raises:
        UserError: an argument cannot be used.
        TrainingFailedError: nothing could be measured, for a reason that is not memory.
        InterruptedRunError: Ctrl-C stopped it.
    """
    common = locals()
    requests = [
        options_of_call(common | {"backbone": name, "image_size": size})
        for name in _values_of(named_backbone(backbone))
        for size in ([image_size] if is_pair(image_size) else _values_of(image_size))
    ]
    if precision == "auto":
        raise UserError("precision 'auto' is measured on the machine that trains: give the one to estimate")
    targets = targets_of(_values_of(memory), _values_of(device))
    num_classes = checked("num_classes", num_classes)
    checked("profile", profile)
    with naming_system_errors(), showing(view) as shown:
        estimator = Estimator(
            shown, payload_of(model, (), requests[0]), LineStore(default_folder()) if profile else None
        )
        return EstimateResult.of(_estimates(estimator, requests, targets, num_classes))


def _values_of(value: Any) -> list[Any]:
    """One value or several: a list, or a text with commas between. An empty one stays, to be refused by its check."""
    return several(value) or [value]


def targets_of(memories: Sequence[Any], devices: Sequence[Any]) -> list[Target]:
    """The machines to estimate for: each device with each memory, or each device with the memory that it has.

    If no device is given, it is a GPU of the given memory; if no memory is given either, all known cards.

    Raises:
        UserError: a device is not known, or has no memory of its own and none was given.
    """
    sizes = [checked("memory", given) for given in memories]
    names = [checked("device", given) for given in devices]
    if names == [None]:
        names = ["all"] if sizes == [None] else ["gpu"]
    names = [one for name in names for one in (CARDS if name == "all" else [name])]
    return [_target(name, size) for name in dict.fromkeys(names) for size in sizes]


def _target(name: str, memory_bytes: int | None) -> Target:
    card = CARDS.get(name)
    if memory_bytes is None and card is None:
        raise UserError(f"device {name!r} has no memory of its own: give memory, such as 16GB")
    return Target(name, memory_bytes or (card.memory_bytes if card else 0), card)


def _estimates(
    estimator: Estimator, requests: Sequence[Options], targets: Sequence[Target], num_classes: int
) -> EstimateReport:
    """Measure each network once, and estimate all devices from it; what fails does not stop the others."""
    began = time.monotonic()
    measured: list[MeasuredLine] = []
    failures: list[SweepFailure] = []
    for number, options in enumerate(requests, 1):
        wanted = workload(options, num_classes)
        estimator.view.message(f"{number} of {len(requests)}: {workload_words(wanted)}")
        try:
            measured.append(estimator.line(options, num_classes))
        except (TrainingFailedError, UserError) as error:  # every option was checked before
            if len(requests) == 1:
                raise
            failures.append(SweepFailure(workload=wanted, cause=str(error)))
            estimator.view.message(str(error))
    return EstimateReport(
        estimates=[estimated(line, target) for line in measured for target in targets],
        failures=failures,
        measured=measured,
        wall_seconds=time.monotonic() - began,
    )


@dataclass(frozen=True, slots=True)
class Estimator:
    """Measures on this machine's CPU the line of each network: its memory as a function of the batch size.

    Attributes:
        view: shows the progress.
        payload: the model function, if the network is one.
        store: the lines of earlier measurements; None to neither read nor write any.
    """

    view: View
    payload: Payload | None
    store: LineStore | None

    def line(self, options: Options, num_classes: int) -> MeasuredLine:
        """The memory that small batches of a network take here, measured now or earlier.

        Raises:
            UserError: the model cannot be built as asked.
            TrainingFailedError: not even one image fits this machine, or a size failed for another reason.
            InterruptedRunError: Ctrl-C.
        """
        machine, wanted = as_cpu(machine_for(options)), workload(options, num_classes)
        known = self.store.load(wanted, machine) if self.store else None
        if known is not None and sizes_that_ran(known.trials) >= POINTS_OF_A_LINE:  # for more there may be memory now
            self.view.message("measured before on this machine")
            return known
        measured = self._measured(options, num_classes, machine, SMALL_BYTES)
        if sizes_that_ran(measured.trials) < POINTS_OF_A_LINE:
            measured = self._measured(options, num_classes, machine, math.inf)
        if not sizes_that_ran(measured.trials):
            what = "not even one image fits this machine, so there is nothing to estimate from"
            raise TrainingFailedError(f"{what}: {advice_for(wanted, 'cpu')}")
        if self.store:
            self.store.save(measured, machine)
        return measured

    def _measured(self, options: Options, num_classes: int, machine: Hardware, foreseen_bytes: float) -> MeasuredLine:
        """Run the small batches; the worker's memory limit follows from `foreseen_bytes`, as in a training."""
        began, memory = time.monotonic(), memory_budget(options, machine, 1, foreseen_bytes=foreseen_bytes)
        with scratch_folder("autofit-estimate-") as folder:
            request = ProbeRequest(
                source=model_source(options, num_classes),
                workload=workload(options, num_classes),
                memory=memory,
                machine=machine,
                limited_by=limited_by(options, machine),
                max_batch=UNBOUNDED_BATCH,
                folder=folder,
                only_line=True,
                payload=self.payload,
                import_paths=import_paths(options, self.payload),
            )
            report = Prober(request, ProcessLauncher(), self.view).run()
        return MeasuredLine(
            workload=report.workload,
            limit_bytes=memory.limit_bytes,
            trials=report.trials,
            wall_seconds=time.monotonic() - began,
        )


def as_cpu(machine: Hardware) -> Hardware:
    """This machine as if it had no GPU: only the CPU's allocator reports all the figures that are needed."""
    return machine.model_copy(
        update={
            "device": "cpu",
            "device_name": machine.cpu_model,
            "device_memory_bytes": None,
            "device_free_bytes": None,
            "other_gpu_processes": [],
            "driver_version": None,
            "compute_capability": None,
        }
    )
