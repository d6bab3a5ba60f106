"""Drawings where matplotlib is broken, or set to what is not there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from autofit.probing.records import ProbeReport
from autofit.report.drawing import drawings_or_reason
from tests.support.paths import child_environment


@pytest.mark.slow
def test_a_backend_that_does_not_exist_costs_no_picture(report: ProbeReport, tmp_path: Path) -> None:
    """MPLBACKEND of another environment would leave each page, and each plot, without a picture."""
    program = (
        "import sys; from pathlib import Path; from autofit.report import plots; "
        "from autofit.probing.records import ProbeReport; "
        "plots.probe_plot(ProbeReport.model_validate_json(sys.stdin.read()), Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.png")],
        env=child_environment(MPLBACKEND="no_such_backend"),
        input=report.to_json(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_whose_pictures_fail_says_why() -> None:
    """A broken installation, or a font cache that cannot be written, would cost the run its page."""

    def draw() -> Iterable[str]:
        raise PermissionError(13, "Permission denied", "/home/.cache/<matplotlib>")

    page = str(drawings_or_reason(draw))
    assert "The picture is missing, matplotlib fails" in page
    assert "&lt;matplotlib&gt;" in page
