"""The rungs of the ladder that a probe tried, in words and as the rows of a table. Pure."""

from __future__ import annotations

from autofit.config.rungs import IN_TURN, Rung
from autofit.probing.records import ProbeReport, RungRecord
from autofit.report.words import bytes_words, speed_words

HEADERS = ("Activations", "At once", "Recommended", "Images/s", "Price", "An image")


def rung_words(rung: Rung) -> str:
    """How a rung treats activations: `kept`, or `again, 4 segments` if they are recomputed in 4 segments."""
    if rung == IN_TURN:
        return "kept, weights in turn"
    return f"again, {rung.segments} segments" if rung.segments else "kept"


def ladder_lines(report: ProbeReport) -> list[tuple[str, str]]:
    """The batch sizes that fit on each rung, as pairs of a name and a value; empty if only one rung was tried."""
    return [(_name(record.rung), _words(record, report)) for record in report.rungs]


def ladder_rows(report: ProbeReport) -> list[tuple[str, ...]]:
    """The same, as rows of cells below `HEADERS`."""
    return [_cells(record, report) for record in report.rungs]


def is_chosen(record: RungRecord, report: ProbeReport) -> bool:
    """Whether this is the rung that the rest of the report describes."""
    return record.rung.segments == report.workload.segments


def _name(rung: Rung) -> str:
    return rung_words(rung).capitalize() if rung.segments else "Activations kept"


def _words(record: RungRecord, report: ProbeReport) -> str:
    image = f"{bytes_words(record.bytes_per_image)} an image" if record.bytes_per_image else ""
    if not record.largest_feasible_batch:
        found = ["not even one image fits"]
    else:
        speed = f"{speed_words(record.images_per_second)} images/s" if record.images_per_second else ""
        found = [f"{record.largest_feasible_batch:,} at once", speed, image, _price_words(record.price)]
    marks = ["saved"] if record.saved else []
    if is_chosen(record, report) and record.largest_feasible_batch:
        marks.append("chosen")
    return ", ".join(part for part in [*found, *marks] if part)


def _price_words(price: float | None) -> str:
    """The speed compared with the first rung at the same size, as `12 % slower`; empty if it is not known."""
    if price is None:
        return ""
    share = f"{abs(100 * price):.0f}"
    if share == "0":
        return "as fast"
    return f"{share} % {'slower' if price > 0 else 'faster'}"


def _cells(record: RungRecord, report: ProbeReport) -> tuple[str, ...]:
    fits = record.largest_feasible_batch
    return (
        rung_words(record.rung) + (", chosen" if fits and is_chosen(record, report) else ""),
        f"{fits:,}" if fits else "nothing",
        f"{record.recommended_batch:,}" if fits else "",
        speed_words(record.images_per_second) if record.images_per_second else "",
        _price_words(record.price),
        bytes_words(record.bytes_per_image) if record.bytes_per_image else "",
    )
