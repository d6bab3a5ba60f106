"""A view that records what it is told."""

from __future__ import annotations

import io

from autofit.report.progress import ProgressView


class RecordingView(ProgressView):
    """The progress view of a run, silent, with the messages that it was given."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        """Record the message."""
        self.messages.append(text)
