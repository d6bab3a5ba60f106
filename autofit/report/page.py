"""One page of HTML for a probe or a run: complete in itself, with no script and no request to anywhere.

Names come from folders of strangers. `Html` is a type of its own: only `_text` makes it from a plain string, escaped,
so the type checker sees where something unescaped would get in.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NewType

from autofit.probing.records import ProbeReport
from autofit.process.messages import Verdict
from autofit.report import plots
from autofit.report.history import best_epoch, best_figures, finished_epochs
from autofit.report.text import (
    before_resuming,
    fastest_trial,
    happenings,
    headline,
    noted_trial,
    ordered_trials,
    probe_lines,
    resume_command,
    shown_memory,
    usage_code,
    usage_words,
    workload_words,
)
from autofit.report.words import attempt_words, bytes_words, count_of, duration_words, metric_words, printable
from autofit.result import ResultRecord

Html = NewType("Html", str)

MAX_ROWS = 500
"""A table's rows; a folder of ten thousand broken images must not make a page that no browser opens."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Were anything to slip through the escaping, the browser would still load and run nothing."""

STYLE = """
:root { color-scheme: light dark; --ink: #24292f; --soft: #6b7480; --rule: #d9dee4; --paper: #ffffff; --card: #f5f7f9;
  --accent: #2f6fad; --bad: #b93a32; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7ec; --soft: #98a2ae; --rule: #353c45; --paper: #16191d;
  --card: #1f242a; --accent: #6aa7dd; --bad: #ee7f77; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { margin: 0; font-size: 1.65rem; line-height: 1.25; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.1rem; border-bottom: 1px solid var(--rule); padding-bottom: .3rem; }
p { margin: .5rem 0; } .lead { color: var(--soft); } .bad { color: var(--bad); } ul { padding-left: 1.2rem; }
.facts { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 0; }
.facts div { flex: 1 0 8.5rem; background: var(--card); border-radius: .5rem; padding: .7rem .9rem; }
.facts dt { color: var(--soft); font-size: .82rem; }
.facts dd { margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--rule); vertical-align: top;
  overflow-wrap: anywhere; }
table.pairs { width: auto; min-width: 60%; } .pairs td:first-child { color: var(--soft); padding-right: 2rem; }
th { color: var(--soft); font-weight: 500; white-space: nowrap; } td.number, th.number { text-align: right; }
svg { display: block; width: 100%; height: auto; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: var(--card); border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto; font-size: .9rem; }
.bar { display: block; height: .5rem; min-width: 6rem; border-radius: .25rem; background: var(--rule);
  margin-top: .5rem; }
.bar i { display: block; height: 100%; border-radius: .25rem; background: var(--accent); }
footer { margin-top: 3rem; color: var(--soft); font-size: .82rem; }
"""


def probe_page(report: ProbeReport) -> str:
    """A probe as a page: what was found, memory and speed against the batch, every trial, the machine."""
    found = [(_text(name), _text(value)) for name, value in probe_lines(report)]
    machine = [_machine_row(name, value) for name, value in report.hardware.items() if value is not None]
    return _page(
        f"Probe: {workload_words(report.workload)}",
        [
            _element("h1", _text(workload_words(report.workload))),
            _element("p", _text("What fits on this machine, and what is fastest."), "lead"),
            _section("Found", _table((), found)),
            _section(
                "Memory and speed", Html(plots.svg(plots.probe_figure(report, title=""))) if report.trials else Html("")
            ),
            _section("Trials", _trials(report)),
            _section("Machine", _table((), machine)),
        ],
    )


def run_page(
    result: ResultRecord,
    *,
    labels: Sequence[str],
    model_path: Path,
    images_per_second: float | None = None,
) -> str:
    """A run as a page: how it ended, its curves, what went wrong and was got over, how to use the model."""
    curves = plots.svg(plots.history_figure(result.history)) if finished_epochs(result.history) else ""
    return _page(
        f"Run: {result.status}",
        [
            _element("h1", _text(headline(result, images_per_second)), "" if result.status == "completed" else "bad"),
            _run_facts(result),
            _section("Curves", Html(curves)),
            _section("What happened", _list(happenings(result))),
            _next(result, labels, model_path),
            _section("Epochs", _epochs(result)),
            _section("Attempts", _attempts(result)),
            _section("Out of memory", _oom_events(result)),
            _section(f"Images left out: {len(result.quarantined):,}", _quarantined(result)),
        ],
    )


def _text(text: str) -> Html:
    """Any text as HTML that shows it: the one way in."""
    return Html(html.escape(printable(text)))


def _join(parts: Iterable[Html]) -> Html:
    return Html("\n".join(parts))


def _element(tag: str, body: Html, kind: str = "") -> Html:
    """An element; `tag` and `kind` are ours, never a user's."""
    attribute = f' class="{kind}"' if kind else ""
    return Html(f"<{tag}{attribute}>{body}</{tag}>")


def _page(title: str, sections: Sequence[Html]) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{_text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{_join(sections)}
<footer>Made by autofit. GB is 10<sup>9</sup> bytes.</footer>
</body>
</html>
"""


def _section(title: str, body: Html) -> Html:
    """A headed part of the page; nothing where there is nothing to say."""
    return _join([_element("h2", _text(title)), body]) if body else Html("")


def _facts(facts: Iterable[tuple[str, str]]) -> Html:
    cards = (_element("div", Html(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>")) for name, value in facts)
    return _element("dl", _join(cards), "facts")


def _list(lines: Iterable[str]) -> Html:
    items = [_element("li", _text(line)) for line in lines]
    return _element("ul", _join(items)) if items else Html("")


def _table(headers: Sequence[str], rows: Sequence[Sequence[Html]], numbers: int = 0) -> Html:
    """A table whose last `numbers` columns are figures; cut at `MAX_ROWS`, saying so."""
    if not rows:
        return Html("")
    first_number = len(rows[0]) - numbers
    head = _row("th", [_text(header) for header in headers], first_number) if headers else Html("")
    body = [_row("td", row, first_number) for row in rows[:MAX_ROWS]]
    more = _element("p", _text(f"and {len(rows) - MAX_ROWS:,} more."), "lead") if len(rows) > MAX_ROWS else Html("")
    return _join([_element("div", _element("table", _join([head, *body]), "" if headers else "pairs"), "wide"), more])


def _row(tag: str, cells: Sequence[Html], first_number: int) -> Html:
    marked = (_element(tag, cell, "number" if place >= first_number else "") for place, cell in enumerate(cells))
    return _element("tr", Html("".join(marked)))


def _bar(share: float) -> Html:
    return Html(f'<span class="bar"><i style="width:{100 * min(max(share, 0.0), 1.0):.1f}%"></i></span>')


def _machine_row(name: str, value: str | float) -> list[Html]:
    """A fact about the machine; a field named in bytes is shown in GB."""
    shown = f"{value}"
    if name.endswith("_bytes") and isinstance(value, int | float):
        shown = bytes_words(value)
    return [_text(name.removesuffix("_bytes").replace("_", " ")), _text(shown)]


def _trials(report: ProbeReport) -> Html:
    top = fastest_trial(report)
    fastest = top.images_per_second if top else 1.0
    rows = [
        [
            _text(f"{trial.batch_size:,}"),
            _element("span", _text(noted_trial(trial, report)), "" if trial.verdict is Verdict.FITS else "bad"),
            _bar(trial.peak_bytes / max(report.tensors_limit_bytes, 1)) if shown_memory(trial) else Html(""),
            _text(shown_memory(trial)),
            _bar(trial.images_per_second / fastest) if trial.images_per_second else Html(""),
            _text(f"{trial.images_per_second:,.0f}" if trial.images_per_second else ""),
        ]
        for trial in ordered_trials(report)
    ]
    memory = f"Memory of {bytes_words(report.tensors_limit_bytes)}"
    return _table(("Batch", "Verdict", memory, "", "Images/s", ""), rows)


def _run_facts(result: ResultRecord) -> Html:
    best = best_epoch(result.history)
    figures = best_figures(result.history, best) if best is not None else []
    return _facts(
        [
            ("Epochs", f"{finished_epochs(result.history):,}"),
            *([("Best epoch", f"{best + 1:,}")] if best is not None else []),
            *((name.capitalize(), metric_words(value)) for name, value in figures),
            ("Time", duration_words(result.wall_seconds)),
            ("Out of memory", count_of(len(result.oom_events), "time") if result.oom_events else "never"),
            ("Result changed", "yes" if result.result_changed else "no"),
        ]
    )


def _next(result: ResultRecord, labels: Sequence[str], model_path: Path) -> Html:
    if result.status != "completed":
        advice = _element("p", _text(before_resuming(result)))
        return _section("To go on", _join([advice, _element("pre", _text(resume_command(model_path.parent)))]))
    code = _element("pre", _join(_text(line) for line in usage_code(model_path)))
    return _section("To use the model", _join([code, _element("p", _text(usage_words(labels)))]))


def _epochs(result: ResultRecord) -> Html:
    names, best = list(result.history), best_epoch(result.history)
    rows = [
        [
            _element("b", _text(f"{epoch + 1} (best)")) if epoch == best else _text(f"{epoch + 1}"),
            *(_text(metric_words(column[epoch]) if epoch < len(column) else "") for column in result.history.values()),
        ]
        for epoch in range(finished_epochs(result.history))
    ]
    return _table(["Epoch", *names], rows, numbers=len(names))


def _attempts(result: ResultRecord) -> Html:
    rows = [
        [
            _text(f"{number}"),
            _text(attempt_words(attempt) if attempt.verdict is not Verdict.COMPLETED else "completed"),
            _text(f"{attempt.batch_size:,}"),
            _text(f"{attempt.micro_batch_size:,}"),
            _text(duration_words(attempt.wall_seconds)),
        ]
        for number, attempt in enumerate(result.attempts, 1)
    ]
    return _table(("Attempt", "Ended", "Batch", "At once", "Time"), rows, numbers=3)


def _oom_events(result: ResultRecord) -> Html:
    rows = [
        [
            _text(event.phase.value),
            _text(f"{event.attempt:,}"),
            _text(f"{event.epoch + 1:,}"),
            _text(f"{event.step + 1:,}"),
            _text(f"{event.micro_batch_size_before:,} to {event.micro_batch_size_after:,}"),
            _text(duration_words(event.seconds_lost)),
        ]
        for event in result.oom_events
    ]
    return _table(("Phase", "Attempt", "Epoch", "Step", "At once", "Lost"), rows, numbers=5)


def _quarantined(result: ResultRecord) -> Html:
    return _table(("Image", "Why"), [[_text(image.path), _text(image.reason)] for image in result.quarantined])
