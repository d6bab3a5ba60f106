"""The rules for batch sizes: over the epochs, after an out-of-memory, and for `"auto"`. All functions are pure.

A batch is the images of one update, a micro-batch the images on the device at once. Epochs count from zero.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from autofit.errors import UserError

BATCHES_IN_MEMORY = 3  # the batch that trains, and two that are decoded meanwhile
LEAST_BUFFER_BYTES = 32 * 2**20  # small batches are decoded further ahead
SMALLEST_AUTO_BATCH = 8
USUAL_BATCH = 32  # Keras's own default
LEAST_AUTO_STEPS = 40  # updates in an epoch with an automatic batch size, if the training set is large enough

LEAST_BATCH_FROM_SCRATCH, LEAST_STEPS_FROM_SCRATCH = 16, 120
"""The same for a network that begins with random weights: it needs more updates, and BatchNormalization more images."""

EXTRACTION_BLOCK = {"cpu": 64, "gpu": 512}
"""The number of images that an extraction decodes as one block."""

LARGEST_EXTRACTION = {"cpu": 32, "gpu": 512}
"""The largest micro-batch that an extraction tries, unless the user gave a size. On 2 CPU cores 32 images were the
fastest (MobileNetV2 at 160 px)."""


DETERMINISTIC_EXTRACTION = {"cpu": 32, "gpu": 64}
"""The micro-batch of an extraction in a deterministic run, whose features must not depend on measured speeds. It is
small, so that it fits nearly everywhere: an out-of-memory would change it."""


FIRST_EXTRACTION = {"cpu": 8, "gpu": 64}
"""The first micro-batch of an extraction on a machine without measurements. A CPU begins with a small one, so that
progress shows soon. A GPU tunes each new shape, so it begins with a size that is fast enough for a short run."""

EXTRACTION_GROWTH = {"cpu": 2, "gpu": 8}
"""The factor between one micro-batch size of an extraction and the next larger one that is tried."""

TUNING_SECONDS = {"cpu": 0.0, "gpu": 2.0}
"""The time that tuning a new shape takes before it runs. For a GPU this is an assumption: a run that tried three sizes
took 25 s more than one with a single size (H100, docs/gpu.md), but part of that were tries that failed."""

SHRINK_WINDOW = 8
"""After an out-of-memory, a size that ran before is taken if it is at least 1/8 of the size that failed."""


def shrink(micro_batch_size: int, ran_before: Collection[int] = ()) -> int:
    """The micro-batch size after an out-of-memory: half, or a smaller one that ran before; autofit's own rule.

    Halving needs a number of tries that is logarithmic in the size, and each failed try costs 10 s in TensorFlow's
    allocator. A size that ran in this process is known to fit, and on a GPU its kernels are tuned already.

    Args:
        micro_batch_size: the size that failed.
        ran_before: the sizes that have run in this process.
    """
    half = max(1, micro_batch_size // 2)
    known = [size for size in ran_before if micro_batch_size <= SHRINK_WINDOW * size and size <= half]
    return max(known, default=half)


def slice_rows(micro_batch_size: int, batch_size: int) -> int:
    """How many rows a padded slice has: the micro-batch size, halved as long as a slice still holds a whole batch.

    A GPU tunes each number of rows as a shape of its own. So all batches of a pass have the same number, also the
    shorter last one, and a ramp of batch sizes has one number for each power of two.
    """
    rows = micro_batch_size
    while rows > 1 and -(-rows // 2) >= batch_size:
        rows = -(-rows // 2)
    return rows


def ramp(first: int, last: int, epoch: int, epochs: int) -> int:
    """The batch size of an epoch: `first + round((last - first) * epoch / (epochs - 1))`; a single epoch has `first`.

    The formula of `--batch-schedule A:B`. The rounding is Python's own `round`: a half goes to the even neighbour.
    """
    if epochs == 1:
        return first
    return first + round((last - first) * epoch / (epochs - 1))


@dataclass(frozen=True, slots=True)
class BatchSchedule:
    """Batch sizes over the epochs of a run: a ramp from `first` to `last`, or a constant size if they are equal.

    Attributes:
        first: images in a batch of epoch 0, 1 or more.
        last: images in a batch of epoch `epochs - 1` and of any later one, such as those of fine-tuning.
        epochs: how many epochs the ramp takes, 1 or more.
    """

    first: int
    last: int
    epochs: int

    @classmethod
    def parse(cls, text: str, epochs: int) -> BatchSchedule:
        """Read a ramp that a user wrote as `"A:B"`, over `epochs` epochs.

        Raises:
            UserError: the text is not two sizes of at least 1.
        """
        match = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text)
        first, last = map(int, match.groups()) if match else (0, 0)
        if min(first, last) < 1:
            raise UserError(f"batch schedule {text!r} is not two sizes of at least 1: write A:B, for example 32:16")
        return cls(first, last, epochs)

    def batch_size(self, epoch: int) -> int:
        """Images in a batch of this epoch."""
        return ramp(self.first, self.last, min(epoch, self.epochs - 1), self.epochs)

    def updates(self, samples: int) -> int:
        """Updates in all epochs."""
        if self.first == self.last:
            return self.epochs * steps_per_epoch(samples, self.first)
        return sum(steps_per_epoch(samples, self.batch_size(epoch)) for epoch in range(self.epochs))

    @property
    def largest(self) -> int:
        """The largest batch size of any epoch."""
        return self.first if self.epochs == 1 else max(self.first, self.last)


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Updates in an epoch, `ceil(samples / batch_size)`: the last batch may be shorter and is never dropped."""
    return -(-samples // batch_size)


def batch_bounds(samples: int, batch_size: int, position: int) -> Iterator[tuple[int, int]]:
    """The `(start, stop)` of each batch in an epoch's order, from the cursor's position to the end of the epoch.

    Together they cover `range(position, samples)` exactly once, also if the position is no multiple of the size.
    """
    for start in range(position, samples, batch_size):
        yield start, min(start + batch_size, samples)


def auto_batch_size(training_images: int, *, from_scratch: bool = False) -> int:
    """The batch size for `"auto"`: 32, and for less than 1,280 images 16, for less than 640 images 8.

    From scratch it is 32, and for less than 3,840 images 16. It depends on the data and the request only, never on the
    machine, and was measured (docs/decisions/0030). A set of less than 8 images still gives 8: its only batch is
    shorter.
    """
    if from_scratch:
        return USUAL_BATCH if training_images >= LEAST_STEPS_FROM_SCRATCH * USUAL_BATCH else LEAST_BATCH_FROM_SCRATCH
    most = min(USUAL_BATCH, training_images // LEAST_AUTO_STEPS)
    return max(SMALLEST_AUTO_BATCH, _power_of_two_within(most))


def auto_micro_batch_size(batch_size: int, recommended: int) -> int:
    """The micro-batch size for `"auto"`: the batch size, or the recommendation if that is smaller; at least 1."""
    return max(1, min(batch_size, recommended))


def batch_image_bytes(batch_size: int, image_size: tuple[int, int]) -> int:
    """Host memory for the uint8 images `(batch, height, width, 3)` of one batch, in bytes."""
    height, width = image_size
    return batch_size * height * width * 3


def image_buffer_bytes(batch_size: int, image_size: tuple[int, int]) -> int:
    """Host memory for the images that a training holds at once, in bytes."""
    return max(LEAST_BUFFER_BYTES, BATCHES_IN_MEMORY * batch_image_bytes(batch_size, image_size))


def _power_of_two_within(bound: int) -> int:
    """The largest power of two up to the bound; 0 below 1."""
    return 1 << (bound.bit_length() - 1) if bound >= 1 else 0
