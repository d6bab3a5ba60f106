"""How long the stages after the head will take, by what a run has measured so far. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from autofit.config.batch_schedule import steps_per_epoch
from autofit.config.cuts import AUTO_CUT, AUTO_SHARE, WHOLE
from autofit.protocol.job import FineTunePlan, Kernels, ViewsPlan

FINISH_SECONDS = 2.0
"""The time from the last epoch to the end of the run: to save the model, exit, and write the result and the page."""

START_SECONDS = 10.0
"""The time to start a worker, build its network and save a stage, if this run has not measured it."""

SOLVE_SECONDS = 2.0
"""The time to solve the head on some hundred images, with SciPy's import, if this run has not measured it."""

MARGIN = 1.2
"""The factor by which the estimate of an extraction or an epoch exceeds what was measured. The learning rate of
fine-tuning falls to zero over the planned epochs, so one epoch less is better than a training that is cut short."""

TRAIN_FACTOR = 3.5
"""How many times as long forward and backward pass of all layers take as an extraction, with oneDNN's kernels: 4.0 for
MobileNet at 64 and 224 px, 3.6 for MobileNetV2 and 3.1 for Xception at 96 px. `MARGIN` comes on top."""

EIGEN_FACTOR, EIGEN_TRAIN_FACTOR = 1.4, 1.8
"""How many times as long Eigen's kernels take as oneDNN's: in a forward pass, and in training. For the same networks
1.1 to 1.9, and 1.5 to 3.1."""

LEAST_TRAIN_GAIN = 1.2
"""How many times as fast as a probe, which uses Eigen's kernels, oneDNN's train at the least (docs/decisions/0023)."""

TRACE_STARTS, WHOLE_TRACE_STARTS = 0.3, 1.25
"""The time of the first steps of fine-tuning, which trace forward and backward pass, in starts of a worker, which
builds the network: the least, and that for all layers."""

PROBE_STEPS = 6
"""About how many steps with a whole batch the probe of a stage makes."""

VIEW_SECONDS = 0.001
"""How much longer it takes to make an augmented view than to decode an image: photos of food, 224 px, one core of an
AMD EPYC."""

UPDATE_SECONDS = 0.01
EPOCH_SECONDS = 0.3
"""The time of an update and of an epoch besides the network: to read features; for metrics and a checkpoint."""

UNKNOWN_SHARE = 0.5
"""The share of the network's work that is assumed below a layer that is given by its name."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What is known of a run's speed when its head is done.

    Attributes:
        images_per_second: the speed of the forward pass through the whole network, with decoding, without first steps
            where that is known; None if nothing was extracted.
        kernels: on a CPU, the kernels with which that was measured.
        other_seconds: the time of that stage's attempt without the extraction, and the solver or the epochs.
        trained_per_second: the images a second in updates of fine-tuning, by the cut that was probed; a probe uses
            Eigen's kernels.
        device: where the network runs.
    """

    images_per_second: float | None
    kernels: Kernels = "eigen"
    other_seconds: float = START_SECONDS
    trained_per_second: Mapping[str, float] = field(default_factory=dict)
    device: Literal["cpu", "gpu"] = "cpu"


@dataclass(frozen=True, slots=True)
class Work:
    """The images of a run, and the speed at which it reads and trains on them."""

    train_count: int
    validation_count: int
    speed: Speed

    def epoch_seconds(self, stage: FineTunePlan) -> float:
        """The estimated time of an epoch of fine-tuning, with its validation; 0 if no speed is known."""
        network = self._network_seconds(stage)
        updates = steps_per_epoch(self.train_count, stage.batch_size)
        return MARGIN * (network + UPDATE_SECONDS * updates + EPOCH_SECONDS) if network else 0.0

    def refitted(self) -> Work:
        """The work of a refit, in which all images are for training."""
        return replace(self, train_count=self.train_count + self.validation_count, validation_count=0)

    def stage_seconds(self, stage: FineTunePlan) -> float:
        """The estimated time of fine-tuning and its refit, from the start of a worker to the end of the run."""
        views = stage.views if stage.cut != WHOLE else 0
        plain = self.validation_count if views else 0
        seconds = self._worker_seconds(stage, views * self.train_count, plain)
        if stage.refit:  # the activations of the training images are in the cache by then
            seconds += self.refitted()._worker_seconds(stage, views * self.validation_count, 0)  # noqa: SLF001
        return seconds + FINISH_SECONDS

    def views_seconds(self, views: ViewsPlan, solve_seconds: float) -> float:
        """The estimated time to solve the head again, on augmented views.

        `solve_seconds` is the time that solving took on the plain images; each set of views adds as much.
        """
        of_training = views.count * self.train_count
        extraction = of_training * (self._image_seconds(self.speed.kernels) + VIEW_SECONDS)
        start = self.speed.other_seconds + (views.count + 1) * solve_seconds
        return start + MARGIN * extraction + FINISH_SECONDS

    def test_seconds(self, images: int) -> float:
        """The estimated time to test the finished model on so many images: a worker's start, and a forward pass."""
        return self.speed.other_seconds + MARGIN * images * self._image_seconds("eigen") if images else 0.0

    def probe_seconds(self, stage: FineTunePlan) -> float:
        """The estimated time of a probe of the stage: a worker's start, its first steps, and others with all images."""
        images = PROBE_STEPS * stage.micro_batch_size
        return self._start_seconds(stage) + images * (1 - share_below(stage.cut)) * self._trained_seconds("eigen")

    def _worker_seconds(self, stage: FineTunePlan, views: int, plain: int) -> float:
        """The estimated time of a worker that extracts `views` augmented and `plain` other images, and trains."""
        extraction = share_below(stage.cut) * (views + plain) * self._image_seconds(stage.kernels)
        if stage.augment != "none":
            extraction += views * VIEW_SECONDS
        return self._start_seconds(stage) + MARGIN * extraction + stage.epochs * self.epoch_seconds(stage)

    def _start_seconds(self, stage: FineTunePlan) -> float:
        """The estimated time of a worker's start and of the first steps of the stage, which trace."""
        return self.speed.other_seconds * (1 + max(TRACE_STARTS, WHOLE_TRACE_STARTS * (1 - share_below(stage.cut))))

    def _network_seconds(self, stage: FineTunePlan) -> float:
        """The estimated time that all images of an epoch take in the network above the cut; 0 if no speed is known.

        Of a training with oneDNN's kernels there are two estimates, by forward passes and by the probe's steps with
        Eigen's: the shorter one counts, since it depends on the network by how much the steps are slower.
        """
        forward, trained = self._image_seconds(stage.kernels), self._trained_seconds(stage.kernels)
        passes = self.train_count * trained + self.validation_count * forward
        by_passes = (1 - share_below(stage.cut)) * passes
        probed = self.speed.trained_per_second.get(stage.cut)
        if not probed:
            return by_passes
        by_steps = (self.train_count + self.validation_count / TRAIN_FACTOR) / probed
        if stage.kernels == "eigen":
            return by_steps
        return min(by_steps / LEAST_TRAIN_GAIN, by_passes or math.inf)

    def _trained_seconds(self, kernels: Kernels) -> float:
        """The time of a training step for each of its images, if all layers train; 0 if unknown."""
        is_slower = kernels == "eigen" and self.speed.device == "cpu"
        slower = EIGEN_TRAIN_FACTOR / EIGEN_FACTOR if is_slower else 1.0
        return TRAIN_FACTOR * slower * self._image_seconds(kernels)

    def _image_seconds(self, kernels: Kernels) -> float:
        """The time of a forward pass of one image through the whole network, with these kernels; 0 if unknown."""
        if not self.speed.images_per_second:
            return 0.0
        slower = EIGEN_FACTOR if (kernels, self.speed.kernels) == ("eigen", "onednn") else 1.0
        return slower / self.speed.images_per_second


def share_below(cut: str) -> float:
    """The share of the network's work that is done below a cut, assumed to be the share of the layers with kernels."""
    named = {AUTO_CUT: AUTO_SHARE, WHOLE: 0.0}
    try:
        return named[cut] if cut in named else min(max(float(cut), 0.0), 1.0)
    except ValueError:
        return UNKNOWN_SHARE
