"""The images of a training that cannot be read: each is reported once, and there may not be too many."""

from __future__ import annotations

from collections.abc import Sequence

from autofit.dataset import ImageIndex
from autofit.input.bad_images import BadImages
from autofit.worker.training.run_events import RunEvents


class UnreadImages:
    """Reports the images that could not be read.

    Args:
        index: all images.
        most_share: the share of the images that may be unreadable.
        events: reports each of them.
    """

    def __init__(self, index: ImageIndex, most_share: float, events: RunEvents) -> None:
        self._index, self._events = index, events
        self._bad_images = BadImages(len(index.paths), most_share)

    def note(self, skipped: Sequence[tuple[int, str]]) -> str:
        """Report (sample, reason) of some images; returns an error message if the run has too many of them."""
        for sample, reason in skipped:
            if self._bad_images.add(sample, self._index.paths[sample], reason):
                self._events.bad_image(self._index.path(sample), reason)
        return self._bad_images.complaint() if skipped and self._bad_images.is_too_full() else ""

    def nothing_left(self, split: str) -> str:
        """The error message that none of the images of a split can be read."""
        return self._bad_images.nothing_left(split)
