"""From raw runs of the trainers to the table in `docs/benchmarks.md`; pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markdown_table import markdown_table

GIGABYTE = 1e9
AUTOFIT, SECOND, UNCACHED = "autofit", "autofit, second run", "autofit, without the feature cache"
TUTORIAL, TFDATA = "the tutorial's Sequence", "tf.data, cached"

HEADER = [
    "contender",
    "seconds: median (min to max)",
    "x autofit",
    "images/s",
    "images/s after the first epoch",
    "import to first step, s",
    "peak resident, GB",
    "accuracy",
    "by its own account",
]


@dataclass(frozen=True, slots=True)
class Run:
    """One training by one contender.

    Attributes:
        contender: which.
        seconds: of the whole process.
        peak_bytes: the most that it and its children had resident at once.
        accuracy: of its model on the test photos, as the benchmark measures it.
        own_accuracy: on the validation photos, as the contender itself tells it.
        later_seconds: all epochs but the first, validation included; None where that is not known.
        first_step_seconds: from the end of the import to the end of the first training step; None likewise.
        error: empty, or what ended the program.
    """

    contender: str
    seconds: float
    peak_bytes: int
    accuracy: float = 0.0
    own_accuracy: float = 0.0
    later_seconds: float | None = None
    first_step_seconds: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """What one contender did in all rounds: medians of the runs that ended well, and the highest peak of all."""

    contender: str
    seconds: float
    fastest: float
    slowest: float
    peak_bytes: int
    accuracy: float
    own_accuracy: float
    later_seconds: float | None
    first_step_seconds: float | None
    failed: int
    runs: int

    @property
    def has_failed(self) -> bool:
        """Whether no run of it ended well, so that its seconds say nothing."""
        return self.failed == self.runs


@dataclass(frozen=True, slots=True)
class Limits:
    """What the machine can do at best, whatever the program; rates are of all cores together.

    Attributes:
        cores: how many.
        import_seconds: of Keras and TensorFlow, on one core.
        flops_per_second: of a product of float32 matrices.
        flops_per_image: of the frozen network, forward.
        decodes_per_second: photos, by the JPEG library alone.
    """

    cores: int
    import_seconds: float
    flops_per_second: float
    flops_per_image: int
    decodes_per_second: float

    @property
    def forward_seconds(self) -> float:
        """Of an image through the network."""
        return self.flops_per_image / self.flops_per_second

    @property
    def forward_and_decoding_seconds(self) -> float:
        """Of an image from its file through the network."""
        return self.forward_seconds + 1 / self.decodes_per_second

    def first_run_seconds(self, images: int) -> float:
        """Of the import, and of each image once: decoded on the cores that the import leaves free, or after it."""
        decoding = images / self.decodes_per_second
        meanwhile = self.import_seconds * (self.cores - 1) / self.cores
        return self.import_seconds + max(0.0, decoding - meanwhile) + images * self.forward_seconds


@dataclass(frozen=True, slots=True)
class Work:
    """What each of them does: `images` are passed through the network in an epoch, to train or to validate."""

    images: int
    epochs: int

    def images_per_second(self, row: Row) -> float:
        """Over the whole process."""
        return self.images * self.epochs / row.seconds

    def later_images_per_second(self, row: Row) -> float | None:
        """In the epochs after the first."""
        return self.images * (self.epochs - 1) / row.later_seconds if row.later_seconds else None


def summary(runs: Sequence[Run], contender: str) -> Row:
    """The row of a contender; without a single good run its figures are those of the runs that failed."""
    own = [run for run in runs if run.contender == contender]
    good = [run for run in own if not run.error] or own
    seconds = [run.seconds for run in good]
    return Row(
        contender=contender,
        seconds=statistics.median(seconds),
        fastest=min(seconds),
        slowest=max(seconds),
        peak_bytes=max(run.peak_bytes for run in own),
        accuracy=statistics.median(run.accuracy for run in good),
        own_accuracy=statistics.median(run.own_accuracy for run in good),
        later_seconds=_median(run.later_seconds for run in good),
        first_step_seconds=_median(run.first_step_seconds for run in good),
        failed=sum(1 for run in own if run.error),
        runs=len(own),
    )


def table(rows: Sequence[Row], work: Work, limits: Limits) -> str:
    """A Markdown table, the limits last; ratios are of median times, against autofit's first run if it is there."""
    reference = next((row for row in rows if row.contender == AUTOFIT and not row.has_failed), None)
    return markdown_table(HEADER, [*(_cells(row, reference, work) for row in rows), *_limits(limits, reference, work)])


def rates(limits: Limits) -> str:
    """What the limits are made of, in a sentence."""
    return (
        f"Limits: {limits.flops_per_second / 1e9:.0f} GFLOP/s in a product of float32 matrices, "
        f"{limits.flops_per_image / 1e9:.3f} GFLOP an image; {limits.decodes_per_second:.0f} images/s decoded by "
        f"libjpeg alone; {limits.import_seconds:.1f} s for the import of Keras and TensorFlow."
    )


def ratios(rows: Sequence[Row], work: Work) -> list[str]:
    """The ratios that `docs/benchmarks.md` holds targets for, a line each; those that both contenders are there for."""
    by_name = {row.contender: row for row in rows if not row.has_failed}

    def slower(peer: str) -> str:
        return f"whole run: {peer} takes {by_name[peer].seconds / by_name[AUTOFIT].seconds:.2f} x as long as autofit"

    lines = [slower(peer) for peer in (TUTORIAL, TFDATA) if {peer, AUTOFIT} <= by_name.keys()]
    if {TFDATA, UNCACHED} <= by_name.keys():
        own, peer = (work.later_images_per_second(by_name[name]) for name in (UNCACHED, TFDATA))
        if own and peer:
            lines.append(f"images/s after the first epoch: {UNCACHED} has {own / peer:.2f} x those of {TFDATA}")
    return lines


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _limits(limits: Limits, reference: Row | None, work: Work) -> Iterable[list[str]]:
    seconds = limits.first_run_seconds(work.images)
    ratio = f"{seconds / reference.seconds:.2f}" if reference else ""
    speed = f"{work.images * work.epochs / seconds:.0f}"
    once = ["limit: the import, and each photo once", f"{seconds:.1f}", ratio, speed]
    forward = ["limit: the network in each epoch", "", "", "", f"{1 / limits.forward_seconds:.0f}"]
    both = [
        "limit: the file and the network in each epoch",
        "",
        "",
        "",
        f"{1 / limits.forward_and_decoding_seconds:.0f}",
    ]
    return [line + [""] * (len(HEADER) - len(line)) for line in (once, forward, both)]


def _cells(row: Row, reference: Row | None, work: Work) -> list[str]:
    name = row.contender + (f" ({row.failed} of {row.runs} runs failed)" if row.failed else "")
    seconds = f"{row.seconds:.1f} ({row.fastest:.1f} to {row.slowest:.1f})"
    peak = f"{row.peak_bytes / GIGABYTE:.2f}"
    if row.has_failed:
        return [name, seconds, "", "", "", "", peak, "", ""]
    return [
        name,
        seconds,
        f"{row.seconds / reference.seconds:.2f}" if reference else "",
        f"{work.images_per_second(row):.0f}",
        _told(work.later_images_per_second(row), "{:.0f}".format),
        _told(row.first_step_seconds, "{:.1f}".format),
        peak,
        f"{row.accuracy:.3f}",
        f"{row.own_accuracy:.3f}",
    ]


def _told(value: float | None, write: Callable[[float], str]) -> str:
    return "" if value is None else write(value)
