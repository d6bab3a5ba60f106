"""The page of a run: written anew, and when what draws it is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autofit import api
from autofit.api import supervision as api_page
from autofit.api.supervision import PageAhead
from autofit.errors import UserError
from autofit.protocol.messages import EpochEnd, Progress

if TYPE_CHECKING:
    from tests.api.conftest import Interrupted, Stages, Train


def test_a_report_is_written_anew(stages: Stages, photos: Path, train: Train, interrupted: Interrupted) -> None:
    """A page that was deleted, or that an older version wrote, could not be had again."""
    page = train(photos).run_dir / "report.html"
    page.unlink()
    assert api.report("a").status == "completed"
    assert page.exists()
    assert len(stages.runs) == 1
    interrupted(photos, run_dir="b")
    Path("b/result.json").unlink()
    with pytest.raises(UserError, match="holds no run that has ended"):
        api.report("b")


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
    """A run of a week would hold 31 MB for its page all along, or its end would wait for the import."""
    begun: list[int] = []
    seen = Seen()
    ahead = PageAhead(seen)
    monkeypatch.setattr(api_page, "import_ahead", lambda: begun.append(seen.epochs[-1]))
    for epoch in range(epochs):
        ahead.epoch_done(EpochEnd(epoch=epoch, metrics={}), epochs=epochs)
    assert seen.epochs == list(range(epochs))
    assert begun == [begins_after]
