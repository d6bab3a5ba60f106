"""Who shows the progress: the view that was given, or one of our own for as long as the call takes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from autofit.report.progress import ProgressView, progress_view


def showing(view: ProgressView | None) -> AbstractContextManager[ProgressView]:
    """The view that was given, which stays open, or the one that suits where we are, closed in the end."""
    return nullcontext(view) if view else progress_view()
