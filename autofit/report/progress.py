"""What a person sees while it runs: bars in a terminal, one display in a notebook, lines in a log.

The supervisor and the scanner tell a `ProgressView` what goes on and never ask where it is shown. Views are called from
one thread; a terminal's spinner turns on a thread of its own, which only reads.
"""

from __future__ import annotations

import html
import importlib
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from autofit.printable import printable
from autofit.protocol.messages import EpochEnd, Phase, Progress
from autofit.report.progress_text import DOING, Status, describe, describe_epoch, shortened

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_DISPLAYS = 0.5
NOTEBOOK_LINES = 200
BAR_MIN_CELLS, BAR_MAX_CELLS = 10, 40


class ProgressView:
    """What the supervisor and the scanner tell; as it stands, the quiet view: it passes on what user code prints."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def scanning(self, count: int) -> None:
        """So many images have been found up to now."""

    def update(self, progress: Progress, *, epochs: int) -> None:
        """The worker has come so far; `epochs` is 0 in a probe."""

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """An epoch is finished, with these figures."""

    def message(self, text: str) -> None:
        """Something to be told once, above the bars."""

    def passthrough(self, text: str) -> None:
        """What user code printed in the worker, as it came: parts of lines too."""
        write(self._stream, text)

    def close(self) -> None:
        """Take the bars away; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write(stream: TextIO, text: str) -> None:
    """Write what the stream's encoding can hold: a strange file name in an ASCII log must not end a run."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


class WatchingView(ProgressView):
    """The views that show something: each says how to show a status, and how to add a line for good."""

    def show(self, status: Status) -> None:
        """Show what goes on now."""
        raise NotImplementedError

    def line(self, text: str) -> None:
        """Show a line that stays; `text` is safe to print."""
        raise NotImplementedError

    def scanning(self, count: int) -> None:
        """So many images have been found up to now."""
        self.show(Status("Looking for images", facts=(f"{count:,} found",)))

    def update(self, progress: Progress, *, epochs: int) -> None:
        """The worker has come so far."""
        self.show(describe(progress, epochs))

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """A line for each finished epoch."""
        self.line(describe_epoch(end, epochs))

    def message(self, text: str) -> None:
        """Something to be told once."""
        self.line(printable(text))


class PlainView(WatchingView):
    """Lines for a log: one every few seconds at most, one a finished epoch, and messages."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._quiet_until = clock()
        self._inside_line = False

    def show(self, status: Status) -> None:
        """A line, unless there was one just now."""
        if self._clock() >= self._quiet_until:
            self.line(status.text)
            self._quiet_until = self._clock() + SECONDS_BETWEEN_LINES

    def line(self, text: str) -> None:
        """A line of its own, also after user code that printed half a one."""
        write(self._stream, f"\n{text}\n" if self._inside_line else f"{text}\n")
        self._inside_line = False

    def passthrough(self, text: str) -> None:
        """What user code printed, byte for byte."""
        super().passthrough(text)
        self._inside_line = not text.endswith("\n") if text else self._inside_line


class LiveView(WatchingView):
    """A spinner, a bar and figures at the foot of a terminal; lines scroll by above."""

    def __init__(self, stream: TextIO, console: Console) -> None:
        super().__init__(stream)
        self._console = console
        self._status = Status(DOING[Phase.START])
        self._spinner = Spinner("dots", style="cyan")
        self._half_line = ""
        self._live = Live(
            console=console,
            get_renderable=self._render,
            transient=True,
            # the bars may be on stderr while stdout is a file that expects JSON
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def show(self, status: Status) -> None:
        """Shown at the spinner's next turn."""
        self._status = status

    def line(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(Text(text))

    def passthrough(self, text: str) -> None:
        """Whole lines above the bar, colours kept; half a line waits for its end."""
        *lines, self._half_line = (self._half_line + text).split("\n")
        for line in lines:
            self._console.print(Text.from_ansi(line), soft_wrap=True)

    def close(self) -> None:
        """Take the bar away and give the cursor back."""
        if self._half_line:
            self.passthrough("\n")
        self._live.stop()

    def _render(self) -> Table:
        status = shortened(self._status, self._console.width - BAR_MIN_CELLS - 5)
        room = self._console.width - len(status.text) - 5
        row: list[Any] = [self._spinner, Text(status.words, style="bold")]
        if status.steps:
            row.append(ProgressBar(status.steps, status.step, width=min(max(room, BAR_MIN_CELLS), BAR_MAX_CELLS)))
        row.append(Text(" · ".join(status.facts), no_wrap=True, overflow="ellipsis"))
        table = Table.grid(padding=(0, 1))
        table.add_row(*row)
        return table


class NotebookView(WatchingView):
    """One display that is updated in place: a notebook keeps every line ever printed, and saves them all."""

    def __init__(
        self, stream: TextIO, display: Callable[..., Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(stream)
        self._clock = clock
        self._lines: list[str] = []
        self._status: Status | None = None
        self._quiet_until = clock()
        self._handle = display(self._bundle(), raw=True, display_id=True)

    def show(self, status: Status) -> None:
        """Shown unless the display was updated just now: each update is a message to the browser."""
        self._status = status
        if self._clock() >= self._quiet_until:
            self._update()

    def line(self, text: str) -> None:
        """A line above the bar."""
        self._lines = [*self._lines, text][-NOTEBOOK_LINES:]
        self._update()

    def close(self) -> None:
        """Leave the lines and take the bar away."""
        self._status = None
        self._update()

    def _update(self) -> None:
        self._handle.update(self._bundle(), raw=True)
        self._quiet_until = self._clock() + SECONDS_BETWEEN_DISPLAYS

    def _bundle(self) -> dict[str, str]:
        """The display as HTML, and as text for where that cannot be shown."""
        now = [self._status.text] if self._status else []
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in self._lines)
        return {
            "text/plain": "\n".join([*self._lines, *now]),
            "text/html": f'<div style="font-family:monospace;max-height:20em;overflow:auto">{lines}</div>{self._bar()}',
        }

    def _bar(self) -> str:
        if self._status is None:
            return ""
        value = f'value="{self._status.step}" max="{self._status.steps}" ' if self._status.steps else ""
        return (
            f'<div style="font-family:monospace"><progress {value}style="vertical-align:middle"></progress> '
            f"{html.escape(self._status.text)}</div>"
        )


def progress_view(stream: TextIO | None = None, *, quiet: bool = False) -> ProgressView:
    """The view that suits where it is shown: a notebook, a terminal, or neither.

    Args:
        stream: where to; without it the notebook, or standard error, so that standard output stays free for results.
        quiet: show nothing but what user code prints.
    """
    display = notebook_display() if stream is None else None
    target = stream or (sys.stdout if display else sys.stderr)
    if quiet:
        return ProgressView(target)
    if display:
        return NotebookView(target, display)
    return LiveView(target, Console(file=target)) if can_redraw(target) else PlainView(target)


def notebook_display() -> Callable[..., Any] | None:
    """IPython's `display` where this process is a notebook's kernel (Jupyter, Colab, VS Code), else None.

    Only a kernel's shell has the attribute `kernel`; IPython in a terminal is a terminal.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None:
        return None
    display: Callable[..., Any] = importlib.import_module("IPython.display").display
    return display


def can_redraw(stream: TextIO) -> bool:
    """Whether it is a terminal that can move its cursor and show a bar's characters."""
    utf8 = (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
    return utf8 and stream.isatty() and not Console(file=stream).is_dumb_terminal


def showing(view: ProgressView | None) -> AbstractContextManager[ProgressView]:
    """The view that was given, which stays open, or the one that suits where we are, closed in the end."""
    return nullcontext(view) if view else progress_view()
