"""The page of a run, written anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autofit import api
from autofit.errors import UserError

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
