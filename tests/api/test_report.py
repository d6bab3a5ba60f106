"""The page of a run: written again, and what happens if it cannot be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autofit import api
from autofit.api.result import Result
from autofit.errors import TrainingFailedError, UserError

if TYPE_CHECKING:
    from tests.api.conftest import Interrupted, Stages, Train
    from tests.support.views import RecordingView

FailPage = Callable[[Exception], None]


@pytest.fixture
def fail_page(monkeypatch: pytest.MonkeyPatch) -> FailPage:
    """Makes drawing the page fail."""

    def fail(problem: Exception) -> None:
        def run_page(*_: Any, **__: Any) -> str:
            raise problem

        monkeypatch.setattr("autofit.api.report.run_page", run_page)

    return fail


def test_a_report_is_written_again(stages: Stages, photos: Path, train: Train, interrupted: Interrupted) -> None:
    """A page that was deleted, or that an older version wrote, could not be had again."""
    page = train(photos).run_dir / "report.html"
    page.unlink()
    assert api.write_report("a").status == "completed"
    assert page.exists()
    assert len(stages.runs) == 1
    interrupted(photos, run_dir="b")
    Path("b/result.json").unlink()
    with pytest.raises(UserError, match="holds no run that has ended"):
        api.write_report("b")


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("problem", "reason"),
    [(FULL, "No space left on device"), (ImportError("no module\nmatplotlib"), "no module matplotlib")],
    ids=["disk", "plot"],
)
def test_a_finished_run_whose_page_cannot_be_written_is_finished(
    stages: Stages,
    photos: Path,
    train: Train,
    view: RecordingView,
    fail_page: FailPage,
    problem: Exception,
    reason: str,
) -> None:
    """A run of a week would end as failed because of its last picture, or nobody know that a page is missing."""
    fail_page(problem)
    result = train(photos, "x y", view=view)
    assert result.status == "completed"
    assert len(stages.runs) == 1
    (said,) = [message for message in view.messages if "report.html" in message]
    assert reason in said
    assert "\n" not in said
    assert said.endswith("write it with autofit report 'x y'")


@pytest.mark.parametrize("problem", [FULL, ValueError("no such colour")], ids=["disk", "plot"])
def test_a_failed_run_whose_page_cannot_be_written_raises_its_own_reason(
    stages: Stages, photos: Path, train: Train, fail_page: FailPage, problem: Exception
) -> None:
    """The user would look for a defect of the plot, while the training has failed for another reason."""
    fail_page(problem)
    stages.ends = [TrainingFailedError("SIGSEGV")]
    with pytest.raises(TrainingFailedError, match=r"^SIGSEGV \(logs in a"):
        train(photos)
    assert Result("a").status == "failed"
