"""A progress view that records its calls."""

from __future__ import annotations

import io

from autofit.protocol.messages import EpochEnd, Progress
from autofit.report.views import ProgressView


class RecordingView(ProgressView):
    """A silent progress view: `messages` also has a line for each finished epoch, `printed` what user code printed.

    `epochs` has each number of epochs that a heartbeat was shown with.
    """

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.updates: list[Progress] = []
        self.epochs = set[int]()
        self.messages: list[str] = []
        self.printed = ""

    def update(self, progress: Progress, *, epochs: int) -> None:
        """Record the heartbeat."""
        self.epochs.add(epochs)
        self.updates.append(progress)

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """Record the end of the epoch."""
        self.messages.append(f"epoch {end.epoch} of {epochs}")

    def message(self, text: str) -> None:
        """Record the message."""
        self.messages.append(text)

    def passthrough(self, text: str) -> None:
        """Record what was printed."""
        self.printed += text
