"""The progress views in a log, a terminal and a notebook."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from autofit.process.launch import Exit
from autofit.process.monitor import MonitoredWorker
from autofit.protocol.job import Event
from autofit.protocol.messages import EpochEnd, OomEvent, Phase, Progress, Request
from autofit.report.progress import can_redraw, progress_view
from autofit.report.progress_text import Status, describe, describe_epoch, shortened
from autofit.report.views import LiveView, NotebookView, PlainView, ProgressView
from autofit.report.width import in_columns
from autofit.storage.run_directory import AttemptDirectory


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time now, in seconds."""
        return self.now


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Always true."""
        return True


def heartbeat(phase: Phase, epoch: int = 0, step: int = 0, steps: int = 0, **metrics: float) -> Progress:
    return Progress(
        time=0.0,
        phase=phase,
        epoch=epoch,
        step=step,
        steps=steps,
        images_per_second=148.2 if steps else 0.0,
        micro_batch_size=32 if steps else 0,
        metrics=metrics,
    )


def train(view: ProgressView, clock: Clock | None = None, epochs: int = 2, steps: int = 60) -> None:
    """The heartbeats of a short run, one second a step; each repeats the values that have not changed."""
    metrics: dict[str, float] = {}
    for phase in (Phase.START, Phase.WEIGHTS, Phase.BUILD, Phase.TRACE):
        view.update(heartbeat(phase), epochs=epochs)
    for epoch in range(epochs):
        for step in range(steps):
            view.update(heartbeat(Phase.EXTRACT, epoch, step, steps, **metrics), epochs=epochs)
            metrics = {"loss": 0.5 - epoch / 10, "accuracy": 0.91}
            view.update(heartbeat(Phase.TRAIN, epoch, step + 1, steps, **metrics), epochs=epochs)
            if clock:
                clock.now += 1.0
        view.update(heartbeat(Phase.VALIDATE, epoch, steps, steps, **metrics), epochs=epochs)
        metrics |= {"val_loss": 0.6 - epoch / 10}
        view.update(heartbeat(Phase.SAVE, epoch, steps, steps, **metrics), epochs=epochs)
        view.epoch_done(EpochEnd(epoch=epoch, metrics=metrics), epochs=epochs)


DONE = [
    "Epoch 1/2 done · loss 0.500 · accuracy 0.910 · val loss 0.600",
    "Epoch 2/2 done · loss 0.400 · accuracy 0.910 · val loss 0.500",
]


def test_people_count_from_one() -> None:
    """The first step of the first epoch would be called step 0 of epoch 0."""
    status = describe(heartbeat(Phase.TRAIN, 1, 33, 60, loss=0.42, accuracy=0.91), epochs=10)
    assert status.text == "Epoch 2/10 · 34/60 · 148 images/s · micro-batch 32 · loss 0.420 · accuracy 0.910"


def test_no_step_is_shown_beyond_the_last() -> None:
    """A worker that has done all its steps would be shown at 61 of 60."""
    assert describe(heartbeat(Phase.TRAIN, 0, 60, 60), epochs=1).facts[0] == "60/60"


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_words(phase: Phase) -> None:
    """A phase would be shown by its code name, or would end the run with a KeyError."""
    assert describe(heartbeat(phase), epochs=3).words[0].isupper()


def test_a_trial_is_shown_by_its_size() -> None:
    """A trial would be announced as an epoch, or its size taken for a step."""
    trial = Progress(time=0.0, phase=Phase.PROBE, step=64, micro_batch_size=64)
    assert describe(trial, epochs=1).text == "Probing · 64 images at once"


def test_an_epoch_is_counted_within_its_stage() -> None:
    """Eight epochs of fine-tuning would be shown as 2/9 to 9/9, and those of its refit as 10/17."""
    beat = Progress(time=0.0, phase=Phase.TRAIN, stage="fine-tune", epoch=3, first_epoch=1, step=2, steps=5)
    assert describe(beat, epochs=9).words == "Fine-tuning, epoch 3/8"
    refitted = EpochEnd(epoch=9, metrics={}, stage="refit", first_epoch=9)
    assert describe_epoch(refitted, epochs=17) == "Fine-tuning on all images, epoch 1/8 done"


@pytest.mark.parametrize("phase", [Phase.VALIDATE, Phase.SAVE, Phase.TRACE])
def test_a_phase_does_not_show_another_ones_figures(phase: Phase) -> None:
    """A heartbeat repeats the last step of the training: saving would seem stuck at 60 of 60."""
    status = describe(heartbeat(phase, 1, 60, 60, loss=0.42), epochs=10)
    assert (status.steps, status.facts) == (0, ())


def test_a_new_epoch_does_not_show_the_last_ones_metrics() -> None:
    """The validation loss of an epoch would be shown as that of the next one."""
    facts = describe(heartbeat(Phase.TRAIN, 1, 0, 60, loss=0.42, val_loss=0.5), epochs=10).facts
    assert facts == ("1/60", "148 images/s", "micro-batch 32")


def test_narrow_places_drop_the_micro_batch_first() -> None:
    """In a narrow terminal the accuracy would be cut off before what matters less."""
    status = Status("Epoch 2/10", facts=("34/60", "micro-batch 32", "loss 0.420", "accuracy 0.910"))
    assert shortened(status, 80) == status
    assert shortened(status, 50).text == "Epoch 2/10 · 34/60 · loss 0.420 · accuracy 0.910"
    assert shortened(status, 35).text == "Epoch 2/10 · 34/60 · loss 0.420"
    assert shortened(status, 3).text == "Epoch 2/10"


def test_plain_lines_are_few() -> None:
    """A log would be filled with four lines a second, or would miss the end of an epoch."""
    stream, clock = io.StringIO(), Clock()
    with PlainView(stream, clock) as view:
        train(view, clock)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Starting"
    assert [line for line in lines if "done" in line] == DONE
    assert 20 <= len(lines) <= 2 + 1 + 120 / 5


def test_an_epoch_is_reported_once_however_often_it_was_begun() -> None:
    """A worker killed in an epoch and resumed in it would make it look finished, or finished twice."""
    stream = io.StringIO()
    with PlainView(stream, Clock()) as view:
        for epoch, step in ((0, 50), (0, 60), (1, 3), (0, 58), (0, 60), (1, 0)):  # the kill was before the checkpoint
            view.update(heartbeat(Phase.TRAIN, epoch, step, 60, loss=0.4), epochs=3)
        view.epoch_done(EpochEnd(epoch=0, metrics={"val_loss": 0.5, "loss": 0.4}), epochs=3)
    assert [line for line in stream.getvalue().splitlines() if "done" in line] == [
        "Epoch 1/3 done · loss 0.400 · val loss 0.500"
    ]


class ExitedWorker:
    """A worker that has exited by itself."""

    def poll(self) -> Exit:
        """Its exit."""
        return Exit(0)

    def send(self, request: Request) -> None:
        """Do nothing: there is no process."""

    def kill(self) -> None:
        """Do nothing: there is no process."""

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def test_events_of_a_worker_are_shown_in_their_order(tmp_path: Path, make_oom: Callable[..., OomEvent]) -> None:
    """An out-of-memory would not be shown, or an epoch would be called done after the next had begun."""
    attempt, stream = AttemptDirectory(tmp_path), io.StringIO()
    end = EpochEnd(epoch=0, metrics={"loss": 0.5})
    events = [Event(oom=make_oom(2, 64)), Event(epoch_end=end)]
    attempt.events.write_text("".join(event.model_dump_json(exclude_defaults=True) + "\n" for event in events))
    attempt.progress.write_text(heartbeat(Phase.TRAIN, 1, 1, 60).model_dump_json() + "\n")
    clock = Clock()
    MonitoredWorker(attempt, ExitedWorker(), PlainView(stream, clock), 2, clock, lambda _: None, 0).run()
    assert stream.getvalue().splitlines() == [
        "out of memory with 64 images at once: continuing with 32",
        "Epoch 1/2 done · loss 0.500",
        "Epoch 2/2 · 2/60 · 148 images/s · micro-batch 32",
    ]


def test_plain_messages_are_on_lines_of_their_own() -> None:
    """A message would be glued to half a line of a user's print, or a name in it would control the terminal."""
    stream = io.StringIO()
    view = PlainView(stream, Clock())
    view.passthrough("half a line")
    view.message("broken: \x1b[2J.jpg")
    view.passthrough("whole\n")
    view.message("next")
    assert stream.getvalue() == "half a line\nbroken: \\x1b[2J.jpg\nwhole\nnext\n"


def test_work_without_figures_is_the_same_line_once_a_minute() -> None:
    """A log would say a dozen times that the head is being solved, as if it were done again; or nothing for an hour."""
    stream, clock = io.StringIO(), Clock()
    view = PlainView(stream, clock)
    for _ in range(1000):
        view.update(heartbeat(Phase.SOLVE, 0, 0, 0), epochs=1)
        clock.now += 0.1
    assert stream.getvalue().splitlines() == ["Solving the head", "Solving the head · for 1 min 0 s now"]


@pytest.mark.parametrize("columns", [60, 80])
def test_lines_of_a_log_are_as_wide_as_text_is(columns: int) -> None:
    """A log read in a terminal, or below a cell of a notebook, would be torn apart at its edge."""
    stream, metrics = io.StringIO(), {"loss": 0.4, "accuracy": 0.9, "top_5_accuracy": 0.99, "val_loss": 0.5}
    with in_columns(columns), PlainView(stream, Clock()) as view:
        view.message("images of 32 x 32 pixels: they are enlarged to 96 x 96, and a smaller image_size would be faster")
        view.epoch_done(EpochEnd(epoch=0, metrics={**metrics, "val_top_5_accuracy": 0.9}), epochs=3)
        view.message(f"kept in /{'folder/' * 15}model.keras")
    *lines, last = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    assert last == f"  /{'folder/' * 15}model.keras"
    assert [fact for line in lines for fact in line.strip(" ·").split(" · ")][2:7] == [
        "Epoch 1/3 done",
        "loss 0.400",
        "accuracy 0.900",
        "top 5 accuracy 0.990",
        "val loss 0.500",
    ]


def test_scanning_is_reported_now_and_then() -> None:
    """A million files would be a million lines."""
    stream, clock = io.StringIO(), Clock()
    view = PlainView(stream, clock)
    for count in range(0, 1_000_000, 1000):
        view.scanning(count)
        clock.now += 0.01
    assert stream.getvalue().splitlines() == [
        "Looking for images · 0 found",
        "Looking for images · 500,000 found",
    ]


def test_an_ascii_log_takes_any_name() -> None:
    """A file name in another script would end the run with a UnicodeEncodeError."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    PlainView(stream, Clock()).message("日本.jpg · broken")
    assert raw.getvalue() == b"??.jpg ? broken\n"


def rendered(view: LiveView, width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(view._render())
    return stream.getvalue().rstrip()


def live(width: int) -> tuple[LiveView, Terminal]:
    stream = Terminal()
    return LiveView(stream, Console(file=stream, force_terminal=True, width=width, color_system=None)), stream


@pytest.mark.parametrize(
    "environment",
    [{"JPY_PARENT_PID": "7"}, {"TERM": "xterm-color", "GIT_PAGER": "cat"}],
    ids=["jupyter_client", "ipykernel"],
)
def test_a_terminal_below_a_cell_of_a_notebook_gets_plain_lines(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`!autofit train` in a cell would show each movement of the bar as a line of control codes."""
    for name in ("JPY_PARENT_PID", "GIT_PAGER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-color")
    assert can_redraw(Terminal())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert not can_redraw(Terminal())
    assert isinstance(progress_view(Terminal()), PlainView)


@pytest.mark.parametrize(
    ("width", "figures"),
    [
        (60, "34/60 · 148 images/s"),
        (80, "34/60 · 148 images/s · loss 0.420 · accuracy 0.910"),
        (120, "34/60 · 148 images/s · micro-batch 32 · loss 0.420 · accuracy 0.910"),
    ],
)
def test_a_terminal_shows_one_line_that_fits(width: int, figures: str) -> None:
    """The bar would wrap and leave half of itself behind at every refresh."""
    view, _ = live(width)
    view.show(describe(heartbeat(Phase.TRAIN, 1, 33, 60, loss=0.42, accuracy=0.91), epochs=10))
    line = rendered(view, width)
    assert re.fullmatch(rf". Epoch 2/10 [━╸╺]+ +{figures}", line)
    assert len(line) <= width


def test_a_phase_without_steps_shows_words_and_no_bar() -> None:
    """A spinner beside an empty bar would look like training that has stopped."""
    view, _ = live(80)
    view.show(describe(heartbeat(Phase.TRACE), epochs=10))
    assert rendered(view, 80)[1:] == " Tracing"


def test_a_terminal_keeps_messages_and_prints_above_the_bar() -> None:
    """What user code printed would be overwritten by the bar, or markup in it would be interpreted."""
    view, stream = live(80)
    with view:
        view.passthrough("user says h")
        view.passthrough("ello [red]\nhalf")
        view.message("[bold]out of memory[/bold]")
        train(view)
    text = stream.getvalue()
    for line in ("user says hello [red]", "[bold]out of memory[/bold]", DONE[1], "half"):
        assert line in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is hidden, and shown again


def test_a_line_that_ends_as_on_windows_is_shown() -> None:
    """What a program that user code calls prints would be empty lines."""
    view, stream = live(80)
    view.passthrough("all of it\r\n10%\r20%\r\n")
    assert stream.getvalue().split() == ["all", "of", "it", "20%"]


@pytest.mark.parametrize("step", ["\rstep {}", "step {}\r"])
def test_a_bar_of_the_users_does_not_grow(step: str) -> None:
    """All that it ever wrote would be held for the end of the line, and copied with each step of a long epoch."""
    view, stream = live(80)
    for number in range(1000):
        view.passthrough(step.format(number))
    assert len(view._half_line) < 30
    view.passthrough("x" * 50_000)
    assert len(view._half_line) <= 10_000
    view.passthrough("\rdone\n")
    assert "done" in stream.getvalue()


class Notebook:
    """Stands in for IPython's `display`: what was displayed, and every update of it."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []
        self.displays = 0

    def __call__(self, bundle: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        """Open a new display."""
        assert raw
        assert display_id
        self.displays += 1
        self.shown.append(bundle)
        return self

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        """Replace the content of the display."""
        assert raw
        self.shown.append(bundle)


def test_a_notebook_has_one_display() -> None:
    """A notebook would keep and save hundreds of lines of progress."""
    notebook, clock, stream = Notebook(), Clock(), io.StringIO()
    with NotebookView(stream, notebook, clock) as view:
        train(view)  # no time passes: only the lines that must be shown
        during = len(notebook.shown)
        view.message("<b>hot</b>")
        view.passthrough("printed\n")
    assert notebook.displays == 1
    assert during <= 4
    assert stream.getvalue() == "printed\n"
    assert notebook.shown[-1]["text/plain"].splitlines() == [*DONE, "<b>hot</b>"]
    assert notebook.shown[-1]["text/html"].count("<tr>") == 1 + len(DONE)
    assert "&lt;b&gt;hot" in notebook.shown[-1]["text/html"]
    assert "<progress" not in notebook.shown[-1]["text/html"]


def test_a_notebook_shows_a_bar_while_it_runs() -> None:
    """Someone in Colab would see nothing until the end."""
    notebook, clock = Notebook(), Clock()
    view = NotebookView(io.StringIO(), notebook, clock)
    view.update(heartbeat(Phase.TRAIN, 1, 33, 60), epochs=10)
    assert '<progress value="34" max="60"' in notebook.shown[-1]["text/html"]
    assert notebook.shown[-1]["text/plain"] == "Epoch 2/10 · 34/60 · 148 images/s · micro-batch 32"


def test_the_time_of_an_epoch_is_its_own() -> None:
    """The first would count the start and the extraction, and the rest of a run of seconds be told as minutes."""
    notebook, clock = Notebook(), Clock()
    view = NotebookView(io.StringIO(), notebook, clock)
    extracting = heartbeat(Phase.EXTRACT, steps=9).model_copy(update={"counts": "images"})
    for phase in (heartbeat(Phase.START), heartbeat(Phase.BUILD), extracting):
        clock.now += 30
        view.update(phase, epochs=14)
    for epoch in range(2):
        for step in range(4):
            clock.now += 0.5
            view.update(heartbeat(Phase.TRAIN, epoch, step, 4), epochs=14)
        view.epoch_done(EpochEnd(epoch=epoch, metrics={"loss": 0.5}), epochs=14)
    clock.now += 1
    view.update(heartbeat(Phase.VALIDATE, 2), epochs=14)
    page = notebook.shown[-1]["text/html"]
    assert page.count(">2.0 s<") == 2
    assert "about 24 s left" in page


def enter_notebook(monkeypatch: pytest.MonkeyPatch, shell: object, display: Callable[..., Any]) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))


def test_the_view_suits_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log would get escape codes, a terminal plain lines, or a notebook hundreds of them."""
    monkeypatch.setenv("TERM", "xterm-256color")
    assert type(progress_view(io.StringIO())) is PlainView
    assert type(progress_view(Terminal())) is LiveView
    monkeypatch.setenv("TERM", "dumb")
    assert type(progress_view(Terminal())) is PlainView
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert type(progress_view(io.StringIO())) is PlainView
    enter_notebook(monkeypatch, SimpleNamespace(kernel=object()), Notebook())
    assert type(progress_view()) is NotebookView
    enter_notebook(monkeypatch, SimpleNamespace(), Notebook())  # IPython in a terminal has no kernel
    assert type(progress_view()) is PlainView


def test_quiet_is_quiet_but_passes_on_what_user_code_prints() -> None:
    """`--quiet` would still talk, or would swallow the user's own print."""
    stream = io.StringIO()
    with progress_view(stream, quiet=True) as view:
        view.scanning(5)
        view.message("a message")
        train(view)
        view.passthrough("mine\n")
    assert stream.getvalue() == "mine\n"
