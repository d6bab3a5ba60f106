"""A test that cannot be made leaves the finished run as it is, and says so."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from autofit import api
from autofit.errors import InterruptedRunError
from autofit.protocol.messages import BadImage
from tests.api.conftest import Stages
from tests.support.datasets import photos as empty_photos
from tests.support.views import RecordingView


def test_a_test_that_fails_leaves_the_run_finished(stages: Stages, tmp_path: Path, view: RecordingView) -> None:
    """A training of hours would end as a failure because its test could not be made."""
    for split in ("train", "test"):
        empty_photos(tmp_path / "data" / split, cat=5, dog=5)
    stages.ends = [InterruptedRunError("stopped")]
    with pytest.raises(InterruptedRunError):
        api.run(tmp_path / "data", run_dir=tmp_path / "run", view=view)
    (tmp_path / "run" / "test.npy").write_bytes(b"what a former model said")
    result = api.run(tmp_path / "data", run_dir=tmp_path / "run", view=view)
    assert len(stages.runs) == 2
    assert stages.runs[0]["record"].data.test_count == 10
    assert (result.status, result.record.test_accuracy) == ("completed", None)
    assert "testing the finished model on 10 images that were never trained on" in view.messages
    assert [message for message in view.messages if "were not evaluated (the model" in message]
    assert not (tmp_path / "run" / "test.npy").exists()


def test_the_time_of_the_test_is_that_of_the_run(
    stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run would be said to have kept a budget that its test has overrun."""

    def predicted(*_: object) -> tuple[np.ndarray, list[BadImage]]:
        time.sleep(0.5)
        return np.full((10, 2), 0.5, np.float32), []

    monkeypatch.setattr("autofit.api.final_test.predicted_rows", predicted)
    for split in ("train", "test"):
        empty_photos(tmp_path / "data" / split, cat=5, dog=5)
    began = time.monotonic()
    result = api.run(tmp_path / "data", run_dir=tmp_path / "run", time_budget="5m")
    assert stages.runs[0]["record"].data.test_count == result.record.tested_images == 10
    assert 0.5 <= result.record.wall_seconds <= time.monotonic() - began + stages.runs[0]["record"].seconds_before


def test_a_test_for_which_there_is_no_memory_leaves_the_run_finished(
    stages: Stages, tmp_path: Path, view: RecordingView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training of hours would end in a traceback, because its test has so many images of so many classes."""

    def refused(*_: object) -> None:
        raise MemoryError("Unable to allocate 37.3 GiB for an array")

    monkeypatch.setattr("autofit.api.final_test.predicted_rows", refused)
    for split in ("train", "test"):
        empty_photos(tmp_path / "data" / split, cat=5, dog=5)
    result = api.run(tmp_path / "data", run_dir=tmp_path / "run", view=view)
    assert (len(stages.runs), result.status) == (1, "completed")
    assert [message for message in view.messages if "were not evaluated (Unable to allocate" in message]
