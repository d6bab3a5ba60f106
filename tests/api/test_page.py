"""When what draws a run's page is imported."""

from __future__ import annotations

import pytest

from autofit.api import page
from autofit.api.page import PageAhead
from autofit.process.messages import EpochEnd, Progress


class Seen:
    """A view that notes which epochs it was shown."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def update(self, progress: Progress, *, epochs: int) -> None:
        """Nothing."""

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """Note it."""
        del epochs
        self.epochs.append(end.epoch)

    def message(self, text: str) -> None:
        """Nothing."""

    def passthrough(self, text: str) -> None:
        """Nothing."""


@pytest.mark.parametrize(("epochs", "begins_after"), [(10, 8), (2, 0), (1, 0)])
def test_it_is_imported_once_while_the_last_epoch_is_trained(
    epochs: int, begins_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of a week would hold 35 MB for its page all along, or its end would wait for the import."""
    begun: list[int] = []
    seen = Seen()
    ahead = PageAhead(seen)
    monkeypatch.setattr(page, "import_ahead", lambda: begun.append(seen.epochs[-1]))
    for epoch in range(epochs):
        ahead.epoch_done(EpochEnd(epoch=epoch, metrics={}), epochs=epochs)
    assert seen.epochs == list(range(epochs))
    assert begun == [begins_after]
