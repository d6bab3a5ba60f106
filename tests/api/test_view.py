"""The view that is made where none is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autofit.errors import TrainingFailedError

if TYPE_CHECKING:
    from tests.api.conftest import Stages, Train
    from tests.support.views import RecordingView


def test_a_view_is_made_where_none_is_given(
    stages: Stages, photos: Path, train: Train, view: RecordingView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook would show nothing, or a bar stay on the screen for ever."""
    closed: list[bool] = []
    monkeypatch.setattr(view, "close", lambda: closed.append(True))
    monkeypatch.setattr("autofit.report.progress.progress_view", lambda: view)
    stages.ends = [TrainingFailedError("SIGSEGV")]
    with pytest.raises(TrainingFailedError):
        train(photos, view=None)
    assert view.messages
    assert closed == [True]
