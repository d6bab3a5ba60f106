"""`autofit doctor`: describe this machine and its problems."""

from __future__ import annotations

import sys

from autofit.cli.flags import Json
from autofit.cli.output import require_writable, say, write_json


def doctor(*, json: Json = None) -> None:
    """Describe this machine, and what to fix. Shows the memory limit that applies and the processes on the GPU."""
    require_writable(json)
    from autofit.doctor import diagnose  # noqa: PLC0415 - `--help` loads none of it

    found = diagnose()
    write_json(found.to_json().rstrip(), json)
    if json == "-":
        return
    from autofit.report.doctor_text import doctor_styled, doctor_text  # noqa: PLC0415
    from autofit.report.progress import can_redraw  # noqa: PLC0415

    if not can_redraw(sys.stdout):
        say(doctor_text(found))
        return
    from rich.console import Console  # noqa: PLC0415

    Console().print(doctor_styled(found), end="", soft_wrap=True)
