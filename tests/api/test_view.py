"""The view that is made where none is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import autofit
from autofit.errors import TrainingFailedError, UserError
from autofit.report.views import ProgressView

if TYPE_CHECKING:
    from collections.abc import Callable

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


@pytest.mark.parametrize("given", [3, "quiet", False, print, ProgressView, np.zeros(3)], ids=repr)
@pytest.mark.parametrize("call", [autofit.run, autofit.check, autofit.extract], ids=lambda call: str(call.__name__))
def test_what_is_no_view_is_refused(call: Callable[..., object], given: object, tmp_path: Path) -> None:
    """It was an AttributeError from the middle of the call, or was taken for none."""
    with pytest.raises(UserError, match=r"^view is .*, which shows no progress: leave it out, or give an object with"):
        call(tmp_path, view=given)
