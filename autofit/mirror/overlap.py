"""Refuses a mirror that overlaps with its run directory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from autofit.errors import UserError
from autofit.mirror.patience import PATIENCE
from autofit.mirror.watchdog import run_with_watchdog


def refuse_overlap(run_dir: Path, folder: Path) -> None:
    """Check that the mirror is not the run directory, is not inside it, and does not contain it.

    Raises:
        UserError: they overlap.
    """
    run, mirror = run_dir, folder
    with suppress(OSError):
        run, mirror = run_with_watchdog(lambda _: (run_dir.resolve(), folder.resolve()), PATIENCE.answer)
    if run == mirror:
        raise UserError(f"mirror_dir {folder} is the run directory itself: give another")
    if mirror.is_relative_to(run) or run.is_relative_to(mirror):
        raise UserError(f"mirror_dir {folder} and run directory {run_dir} lie one in the other: give another")
