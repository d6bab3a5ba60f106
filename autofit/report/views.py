"""Progress views: a bar in a terminal, one display in a notebook, lines in a log.

The supervisor and the scanner call a `ProgressView` and do not know where it is shown; `progress.py` chooses it. Views
are called from one thread; a terminal's spinner turns on a thread of its own, which only reads.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from typing import Any, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from autofit.printable import printable
from autofit.protocol.messages import EpochEnd, Phase, Progress
from autofit.report.epoch_table import EpochTable
from autofit.report.markup import Html, fragment
from autofit.report.progress_text import DOING, Status, describe, describe_epoch, shortened
from autofit.report.steady_stream import is_terminal
from autofit.report.words import DOT, duration_words, wrapped_facts

SECONDS_BETWEEN_SAME_LINES = 60.0
SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_DISPLAYS = 0.5
NOTEBOOK_LINES = 200
BEFORE_AN_EPOCH = frozenset({Phase.START, Phase.WEIGHTS, Phase.BUILD, Phase.TRACE, Phase.PROBE})
BAR_MIN_CELLS, BAR_MAX_CELLS = 10, 40
LONGEST_HALF_LINE = 10_000
"""So much is held of a line without end."""


class ProgressView:
    """The interface of all views. Used directly it is the quiet view: it shows only what user code prints."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def scanning(self, count: int) -> None:
        """Show the number of images found so far."""

    def update(self, progress: Progress, *, epochs: int) -> None:
        """Show the progress of the worker; `epochs` is 0 in a probe."""

    def working(self, words: str, done: int, total: int) -> None:
        """Show what this process itself is doing, and how many of how many images are done."""

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """Show a finished epoch and its metrics."""

    def message(self, text: str) -> None:
        """Show a message once, above the bar."""

    def passthrough(self, text: str) -> None:
        """Pass on what user code printed in the worker, unchanged; it may be a part of a line."""
        write(self._stream, text)

    def close(self) -> None:
        """Remove the bar; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


SHOWING = ("scanning", "update", "working", "epoch_done", "message", "passthrough")
"""The methods of a view that are called."""


def write(stream: TextIO, text: str) -> None:
    """Write text, with `?` for characters that the stream's encoding lacks: an ASCII log must not end a run."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


class WatchingView(ProgressView):
    """Base of the views that show progress; a subclass shows a status and adds permanent lines."""

    def show(self, status: Status) -> None:
        """Show the current status."""
        raise NotImplementedError

    def line(self, text: str) -> None:
        """Add a permanent line; `text` is safe to print."""
        raise NotImplementedError

    def scanning(self, count: int) -> None:
        """Show the number of images found so far."""
        self.show(Status("Looking for images", facts=(f"{count:,} found",)))

    def update(self, progress: Progress, *, epochs: int) -> None:
        """Show the progress of the worker."""
        self.show(describe(progress, epochs))

    def working(self, words: str, done: int, total: int) -> None:
        """Show what this process does itself."""
        self.show(Status(printable(words), done, total, facts=(f"{done:,} of {total:,}",)))

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """Add a line for each finished epoch."""
        self.line(describe_epoch(end, epochs))

    def message(self, text: str) -> None:
        """Add a line with the message."""
        self.line(printable(text))


class PlainView(WatchingView):
    """Lines for a log: at most one every few seconds, one for each finished epoch, and messages."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._quiet_until = clock()
        self._shown, self._shown_since, self._shown_until = "", clock(), clock()
        self._inside_line = False

    def show(self, status: Status) -> None:
        """Add a line, at most every few seconds. An unchanged status is repeated once a minute, with its duration."""
        now, text, is_same = self._clock(), status.text, status.text == self._shown
        if now < (self._shown_until if is_same else self._quiet_until):
            return
        if is_same:  # the same words alone would look as if it were done twice
            text = DOT.join([text, f"for {duration_words(now - self._shown_since)} now"])
        else:
            self._shown, self._shown_since = text, now
        self.line(text)
        self._quiet_until, self._shown_until = now + SECONDS_BETWEEN_LINES, now + SECONDS_BETWEEN_SAME_LINES

    def line(self, text: str) -> None:
        """Add a line, wrapped as text is; if user code printed a part of a line, end that one first."""
        shown = wrapped_facts(text)
        write(self._stream, f"\n{shown}\n" if self._inside_line else f"{shown}\n")
        self._inside_line = False

    def passthrough(self, text: str) -> None:
        """Pass on what user code printed, byte for byte."""
        super().passthrough(text)
        self._inside_line = not text.endswith("\n") if text else self._inside_line


class LiveView(WatchingView):
    """A spinner, a bar and figures at the bottom of a terminal; lines scroll above."""

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
            redirect_stdout=is_terminal(sys.stdout),
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def show(self, status: Status) -> None:
        """Set the status, which is drawn at the next refresh."""
        self._status = status

    def line(self, text: str) -> None:
        """Add a line above the bar."""
        self._console.print(Text(wrapped_facts(text)), soft_wrap=True)  # a path is not torn apart

    def passthrough(self, text: str) -> None:
        """Print complete lines above the bar, with their colours; hold a part of a line until it is complete.

        Of what is written over again and again, as a bar of the user's is, only the newest is held.
        """
        *lines, half = (self._half_line + text).split("\n")
        for line in lines:
            self._console.print(Text.from_ansi(line.rstrip("\r")), soft_wrap=True)
        self._half_line = "\r".join(half.split("\r")[-2:])[-LONGEST_HALF_LINE:]

    def close(self) -> None:
        """Remove the bar and show the cursor again."""
        if self._half_line:
            self.passthrough("\n")
        self._live.stop()

    def _render(self) -> Table:
        status = shortened(self._status, self._console.width - BAR_MIN_CELLS - 5)
        room = self._console.width - len(status.text) - 5
        row: list[Any] = [self._spinner, Text(status.words, style="bold")]
        if status.steps:
            row.append(ProgressBar(status.steps, status.step, width=min(max(room, BAR_MIN_CELLS), BAR_MAX_CELLS)))
        row.append(Text(DOT.join(status.facts), no_wrap=True, overflow="ellipsis"))
        table = Table.grid(padding=(0, 1))
        table.add_row(*row)
        return table


class NotebookView(WatchingView):
    """One display that is updated in place: messages, a table of the newest epochs with a curve, and a bar.

    A notebook keeps every line ever printed, and saves them all; here nothing grows without bound.
    """

    def __init__(
        self, stream: TextIO, display: Callable[..., Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(stream)
        self._clock = clock
        self._lines: list[str] = []
        self._messages: list[str] = []
        self._epochs = EpochTable()
        self._status: Status | None = None
        self._quiet_until = self._epoch_began = clock()
        self._handle = display(self._bundle(), raw=True, display_id=True)

    def update(self, progress: Progress, *, epochs: int) -> None:
        """Show the progress of the worker; the time before its first epoch does not count for that epoch."""
        if progress.phase in BEFORE_AN_EPOCH or progress.counts == "images":
            self._epoch_began = self._clock()
        super().update(progress, epochs=epochs)

    def show(self, status: Status) -> None:
        """Update the display, at most every half second: each update is a message to the browser."""
        self._status = status
        if self._clock() >= self._quiet_until:
            self._update()

    def line(self, text: str) -> None:
        """Add a line above the table."""
        self._messages = [*self._messages, text][-NOTEBOOK_LINES:]
        self._note(text)

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """Add a row to the table, with the time since the row before."""
        now = self._clock()
        self._epochs.add(end, epochs, now - self._epoch_began)
        self._epoch_began = now
        self._note(describe_epoch(end, epochs))

    def close(self) -> None:
        """Keep the lines and remove the bar."""
        self._status = None
        self._update()

    def _note(self, text: str) -> None:
        self._lines = [*self._lines, text][-NOTEBOOK_LINES:]
        self._update()

    def _update(self) -> None:
        self._handle.update(self._bundle(), raw=True)
        self._quiet_until = self._clock() + SECONDS_BETWEEN_DISPLAYS

    def _bundle(self) -> dict[str, str]:
        """The display as HTML, and as text for front ends without HTML."""
        now = [self._status.text] if self._status else []
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in self._messages)
        messages = f'<div style="font-family:monospace;max-height:20em;overflow:auto">{lines}</div>'
        return {
            "text/plain": "\n".join([*self._lines, *now]),
            "text/html": fragment([Html(messages), self._epochs.html(), Html(self._bar())]),
        }

    def _bar(self) -> str:
        if self._status is None:
            return ""
        value = f'value="{self._status.step}" max="{self._status.steps}" ' if self._status.steps else ""
        left = self._epochs.seconds_left
        words = self._status.text + (f"{DOT}about {duration_words(left)} left" if left else "")
        return (
            f'<div style="font-family:monospace"><progress {value}style="vertical-align:middle"></progress> '
            f"{html.escape(words)}</div>"
        )
