"""The search that measures only the line of memory, and no limit: a few small sizes in one process, for an estimate."""

from __future__ import annotations

import math

from autofit.probing.evidence import hide_images
from autofit.probing.search import GROWTH, SAFE_SHARE, BatchSearch, NextTrial

MOST_IMAGES = 128
"""The largest size. The peaks of some networks grow less than linearly from somewhere between 64 and 128 images on, as
those of MobileNetV2."""

ENOUGH_SIZES = 3
LONG_STEP_SECONDS = 4.0
"""After `ENOUGH_SIZES`, a size whose step would take longer than this is not tried: a trial runs some five steps."""

LARGE_ERROR = 0.05
"""If the memory of the third size was mispredicted by more than this share for each doubling, the line is not known
yet, and a fourth is tried even if its step takes long. That is so where the update of many weights takes more memory
than the activations of few images: all of ResNet50 at 128 px takes 10 MB an image from 4 to 16, and 27 MB from 16 to
32."""

SHORT_GROWTH = 1.5
"""The fourth size over the third in that case, and each further one over the one before where peaks hardly rise."""


class LineSearch(BatchSearch):
    """The same ask/tell search as `BatchSearch`, for 4, 16, 32, 64 and 128 images, as far as this machine has room."""

    _used_may_fail = False  # if the process has no room for a further size, the line is known well enough

    def ask(self) -> NextTrial | None:
        """The next size; None once the line is known as well as small sizes can tell."""
        evidence = self._evidence
        fits = evidence.largest_fitting
        if not fits:
            return None if 1 in evidence.failed_sizes else self._begin()
        if evidence.failed_sizes:
            return NextTrial(2, fresh=True) if fits == 1 and evidence.ceiling > 1 else None
        return next((NextTrial(size, fresh=False) for size in self._next_sizes(fits) if self._has_room(size)), None)

    def _next_sizes(self, fits: int) -> list[int]:
        """The sizes that would tell enough about the line for their time; the first with room is tried."""
        evidence = self._evidence
        if evidence.line is None:
            return [self._second_size(GROWTH)]
        count, sizes = len({trial.batch_size for trial in evidence.fitting}), []
        slowest = max(trial.step_seconds / trial.batch_size for trial in evidence.fitting)
        if count < ENOUGH_SIZES or slowest * 2 * fits < LONG_STEP_SECONDS:
            sizes.append(2 * fits)
        if count >= ENOUGH_SIZES and self._is_line_unknown(count):
            sizes.append(math.floor(SHORT_GROWTH * fits))
        return sizes

    def _is_line_unknown(self, count: int) -> bool:
        """Whether the last of so many sizes was mispredicted, or images are still hidden behind the update.

        If it is the first size in which they show, the line begins only there, and one more size tells its slope.
        """
        evidence, fits = self._evidence, self._evidence.largest_fitting
        is_off = (evidence.prediction_error or 0.0) > LARGE_ERROR
        were_hidden = hide_images([trial for trial in evidence.fitting if trial.batch_size < fits])
        return hide_images(evidence.fitting) or (is_off and (count == ENOUGH_SIZES or were_hidden))

    def _has_room(self, size: int) -> bool:
        """Whether a size fits here by the line so far, and is not too large to be of use."""
        line = self._evidence.line
        fits_here = line is None or line.predict(size) <= SAFE_SHARE * self._evidence.limit_bytes
        return fits_here and size <= MOST_IMAGES
