"""Which progress view there is: that of a notebook, of a terminal, or of a log.

The views are in `views.py`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TextIO

from rich.console import Console

from autofit.errors import UserError
from autofit.printable import printable
from autofit.report.steady_stream import is_terminal, steady
from autofit.report.views import SHOWING, LiveView, NotebookView, PlainView, ProgressView
from autofit.shadowing import packages_to_name
from autofit.warnings_shown import warnings_shown


def progress_view(stream: TextIO | None = None, *, quiet: bool = False) -> ProgressView:
    """The view for this environment: a notebook, a terminal, or neither.

    Args:
        stream: the output; None means the notebook, else standard error, so that standard output is only for results.
        quiet: show only what user code prints.
    """
    display = notebook_display() if stream is None else None
    target = steady(stream or (sys.stdout if display else sys.stderr))
    if quiet:
        return ProgressView(target)
    if display:
        return NotebookView(target, display)
    return LiveView(target, Console(file=target)) if can_redraw(target) else PlainView(target)


def notebook_display() -> Callable[..., Any] | None:
    """IPython's `display` if this process is a notebook's kernel, else None."""
    if not is_notebook():
        return None
    display: Callable[..., Any] = importlib.import_module("IPython.display").display
    return display


def is_notebook() -> bool:
    """Whether this process is a notebook's kernel (Jupyter, Colab, VS Code).

    Only a kernel's shell has the attribute `kernel`; IPython in a terminal is a terminal.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def can_redraw(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can move its cursor and show the characters of a bar."""
    utf8 = (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
    return utf8 and is_terminal(stream) and not is_below_a_cell() and not Console(file=stream).is_dumb_terminal


def is_below_a_cell() -> bool:
    """Whether a kernel of Jupyter started this process, as `!autofit` in a cell does.

    Such a process has a terminal, but one that cannot redraw a line. The client sets the first variable
    (https://github.com/jupyter/jupyter_client, `connect.py`); the other two are a kernel's settings for its child
    processes (https://github.com/ipython/ipykernel, `zmqshell.py`).
    """
    kernel = {"TERM": "xterm-color", "GIT_PAGER": "cat"}
    return "JPY_PARENT_PID" in os.environ or all(os.environ.get(name) == value for name, value in kernel.items())


@contextmanager
def showing(view: ProgressView | None) -> Iterator[ProgressView]:
    """The given view, which is not closed, or the view for this environment, closed at the end of the `with` block.

    The view first names files in this folder that hide a package which is needed. In the block, warnings are not raised
    as errors, even where the user's settings ask for that.

    Raises:
        UserError: the given view lacks a method.
    """
    lacking = [] if view is None else [name for name in SHOWING if not callable(getattr(view, name, None))]
    if isinstance(view, type) or lacking:
        raise UserError(
            f"view is {printable(repr(view))[:80]}, which shows no progress: leave it out, or give an object with the "
            f"methods {', '.join(SHOWING)}"
        )
    with warnings_shown(), progress_view() if view is None else nullcontext(view) as shown:
        for line in packages_to_name():
            shown.message(line)
        yield shown
