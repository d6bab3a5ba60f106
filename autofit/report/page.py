"""A probe or a sweep as one page of HTML: self-contained, without scripts or network requests."""

from __future__ import annotations

from collections.abc import Iterator

from autofit.probing.recommend import recommended_speed
from autofit.probing.records import ProbeReport, SweepReport, Workload
from autofit.protocol.messages import Trial, Verdict
from autofit.report import plots
from autofit.report.drawing import drawings_or_reason, svg
from autofit.report.ladder_text import HEADERS, ladder_rows
from autofit.report.markup import (
    Html,
    bar,
    cards,
    command_line,
    document,
    element,
    escaped,
    fragment,
    join,
    section,
    table,
)
from autofit.report.probe_text import (
    fastest_trial,
    memory_share,
    noted_trial,
    ordered_trials,
    probe_lines,
    shown_memory,
    workload_words,
)
from autofit.report.repeated_run import training_use
from autofit.report.sweep_text import (
    DOES_NOT_FIT,
    FAILED,
    fastest_probe,
    fit_advice,
    image_words,
    size_words,
    sweep_lines,
    sweep_title,
    trains_differ,
)
from autofit.report.words import bytes_words, duration_words, speed_words


def probe_page(report: ProbeReport) -> str:
    """A probe as a page: its findings, memory and speed against the batch size, every trial, the machine."""
    name = workload_words(report.workload)
    opening = [element("h1", escaped(name)), element("p", escaped("What fits on this machine, and how fast."), "lead")]
    return document(
        f"Probe: {name}", [*opening, _probe_facts(report), *_probe_sections(report, 2), *_use(report), _machine(report)]
    )


def probe_card(report: ProbeReport) -> str:
    """A probe for a cell of a notebook: its findings, memory and speed against the batch size."""
    found = [[escaped(name), escaped(value)] for name, value in probe_lines(report)]
    name = element("p", element("b", escaped(workload_words(report.workload))))
    return fragment([name, table((), found), _curves(report)])


def sweep_card(report: SweepReport) -> str:
    """A sweep for a cell of a notebook: one table of all networks."""
    return fragment([element("p", element("b", escaped(f"{sweep_title(report)}."))), _sweep_rows(report)])


def sweep_page(report: SweepReport) -> str:
    """A sweep as a page: one table and one figure of all networks, then the sections of each probe."""
    heading = element("h1", escaped("What fits on this machine, and how fast"))
    facts = [[escaped(name), escaped(value)] for name, value in sweep_lines(report, reasons=False)]
    drawing = (
        drawings_or_reason(lambda: [svg(plots.sweep_figure(report, title=""), prefix="sweep-")])
        if report.probes
        else Html("")
    )
    picture = element("div", drawing, "chart") if report.probes else Html("")
    best = fastest_probe(report)
    return document(
        sweep_title(report),
        [
            heading,
            element("p", escaped(f"{sweep_title(report)}."), "lead"),
            section("All of them", join([_sweep_rows(report), picture])),
            section("Found", table((), facts)),
            *(_use(best) if best else []),
            *(_probe_in_sweep(probe, number) for number, probe in enumerate(report.probes, 1)),
            *([_machine(report.probes[0])] if report.probes else []),
        ],
    )


def _probe_facts(report: ProbeReport) -> Html:
    """The head figures at the top of a probe's page: the recommended and the largest batch size, and others."""
    if not report.largest_feasible_batch:
        return cards([("Fits", "nothing"), ("Memory limit", bytes_words(report.memory_limit_bytes))])
    speed = recommended_speed(report)
    return cards(
        [
            ("Recommended at once", f"{report.recommended_batch:,}"),
            *([("Images a second there", speed_words(speed))] if speed else []),
            ("Largest that fits", f"{report.largest_feasible_batch:,}"),
            ("Memory limit", bytes_words(report.memory_limit_bytes)),
            ("Time", duration_words(report.all_seconds)),
        ]
    )


def _use(report: ProbeReport) -> list[Html]:
    """How to train with the recommended size, in a terminal and in Python; empty if nothing fits."""
    if not report.largest_feasible_batch:
        return []
    command, call = training_use(report)
    terminal = [command_line(command)] if command else []
    code = element("pre", join(escaped(line) for line in call.splitlines()))
    return [section("To train with it", join([*terminal, code]))]


def _probe_in_sweep(probe: ProbeReport, number: int) -> Html:
    parts = join(_probe_sections(probe, 3, prefix=f"probe{number}-"))
    return section(workload_words(probe.workload), parts)


def _probe_sections(report: ProbeReport, level: int, prefix: str = "") -> list[Html]:
    found = [[escaped(name), escaped(value)] for name, value in probe_lines(report)]
    return [
        section("Found", table((), found), level),
        *_ladder(report, level),
        section("Memory and speed", _curves(report, prefix), level),
        section("Trials", _trials(report), level),
    ]


def _ladder(report: ProbeReport, level: int) -> list[Html]:
    """The rungs that were tried; empty if there was only one."""
    rows = [[escaped(cell) for cell in row] for row in ladder_rows(report)]
    return [section("Ways to train that were tried", table(HEADERS, rows, numbers=5), level)] if rows else []


def _curves(report: ProbeReport, prefix: str = "") -> Html:
    def draw() -> Iterator[str]:
        panels = plots.probe_panels(report)
        return (svg(panel, f"{prefix}{name}-") for panel, name in zip(panels, ("memory", "speed"), strict=False))

    return drawings_or_reason(draw) if report.trials else Html("")


def _machine(report: ProbeReport) -> Html:
    rows = [_machine_row(name, value) for name, value in report.hardware.items() if value is not None]
    return section("Machine", table((), rows))


def _machine_row(name: str, value: str | float) -> list[Html]:
    """A fact about the machine; a field whose name ends in `_bytes` is shown in GB."""
    shown = f"{value}"
    if name.endswith("_bytes") and isinstance(value, int | float):
        shown = bytes_words(value)
    return [escaped(name.removesuffix("_bytes").replace("_", " ")), escaped(shown)]


def _trials(report: ProbeReport) -> Html:
    memory = f"Memory of {bytes_words(report.memory_limit_bytes)}"
    rows = [_trial_row(trial, report) for trial in ordered_trials(report)]
    return table(("Batch", "Verdict", memory, "", "Images/s", ""), rows, kind="whole")


def _trial_row(trial: Trial, report: ProbeReport) -> list[Html]:
    top, speed = fastest_trial(report), trial.images_per_second
    cells = [
        escaped(f"{trial.batch_size:,}"),
        element("span", escaped(noted_trial(trial, report)), "" if trial.verdict is Verdict.FITS else "bad"),
        bar(memory_share(trial, report)) if shown_memory(trial) else Html(""),
        escaped(shown_memory(trial)),
        bar(speed / top.images_per_second) if speed and top else Html(""),
        escaped(speed_words(speed) if speed else ""),
    ]
    return [element("span", cell, "soft") if cell and trial.saved else cell for cell in cells]


def _sweep_rows(report: SweepReport) -> Html:
    """The sweep's table; for a network that failed or does not fit, the reason stands in place of its speed."""
    trains = ["Trains"] if trains_differ(report) else []
    headers = ["Network", "Size", *trains, "Images/s", "", "Recommended", "Largest", "An image", "Time"]
    best = max((recommended_speed(probe) for probe in report.probes), default=0.0)
    rows = [_name_cells(probe.workload, report) + _sweep_cells(probe, report, best) for probe in report.probes]
    failed = [_name_cells(f.workload, report) + _reason_cells(f"{FAILED}: {f.cause}", "") for f in report.failures]
    return table(headers, [*rows, *failed], numbers=5, kind="whole")


def _name_cells(workload: Workload, report: SweepReport) -> list[Html]:
    trains = [escaped(workload.trainable)] if trains_differ(report) else []
    return [escaped(workload.backbone), escaped(size_words(workload)), *trains]


def _sweep_cells(probe: ProbeReport, report: SweepReport, best: float) -> list[Html]:
    time = duration_words(probe.all_seconds)
    if not probe.largest_feasible_batch:
        return _reason_cells(f"{DOES_NOT_FIT}: {fit_advice(probe, report)}", time)
    speed = recommended_speed(probe)
    figures = (f"{probe.recommended_batch:,}", f"{probe.largest_feasible_batch:,}", image_words(probe), time)
    return [bar(speed / best if best else 0.0), escaped(speed_words(speed)), *map(escaped, figures)]


def _reason_cells(reason: str, time: str) -> list[Html]:
    return [element("span", escaped(reason), "bad"), *[Html("")] * 4, escaped(time)]
