"""A climb of the ladder, with made-up probes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from autofit.config.rungs import KEPT, ON_REQUEST, Rung
from autofit.errors import TrainingFailedError
from autofit.probing.climb import Climb
from autofit.probing.ladder import Goal, Start
from autofit.probing.records import ProbeReport, RungRecord
from tests.support.records import make_probe_report

FEW = Rung(segments=4)
GOAL = Goal(rungs=(KEPT, FEW, ON_REQUEST), wanted=32, shapes_result=True)


@dataclass
class Machine:
    """What fits on each rung, what a saved profile says of it, and which probes fail."""

    largest: dict[Rung, int]
    saved: dict[Rung, int] = field(default_factory=dict)
    broken: tuple[Rung, ...] = ()
    probed: list[Rung] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)

    def probe(self, rung: Rung, start: Start) -> ProbeReport:
        """Probe a rung."""
        self.probed.append(rung)
        self.starts.append(start)
        if rung in self.broken:
            raise TrainingFailedError("SIGSEGV")
        size = self.largest.get(rung, 0)
        return make_probe_report(size, size).model_copy(
            update={"limited_by": f"{rung.segments}", "non_allocator_bytes": 100 + rung.segments}
        )

    def known(self, rung: Rung) -> RungRecord | None:
        """What the profile says of a rung."""
        if rung not in self.saved:
            return None
        size = self.saved[rung]
        return RungRecord(
            rung=rung, largest_feasible_batch=size, recommended_batch=size, images_per_second=1.0, saved=True
        )

    def climb(self) -> ProbeReport:
        """Climb on this machine."""
        return Climb(GOAL, self.known, self.probe, self.said.append).run()


def test_where_it_fits_nothing_else_is_probed() -> None:
    """Every probe would take longer, and its report be another one."""
    machine = Machine({KEPT: 32})
    found = {"limited_by": "0", "non_allocator_bytes": 100}
    assert machine.climb() == make_probe_report(32, 32).model_copy(update=found)
    assert (machine.probed, machine.said) == ([KEPT], [])


def test_the_report_is_of_the_rung_that_is_taken_with_the_others_beside_it() -> None:
    """A user would not see what was tried, or be told the sizes of a rung on which the training is not."""
    machine = Machine({KEPT: 16, FEW: 32})
    report = machine.climb()
    assert (report.limited_by, report.largest_feasible_batch) == ("4", 32)
    assert [(record.rung, record.largest_feasible_batch) for record in report.rungs] == [(KEPT, 16), (FEW, 32)]
    assert report.all_seconds == 2.0
    assert machine.said == ["16 images at once fit, 32 are wanted: trying with activations recomputed in 4 segments"]
    single = Machine({KEPT: 1})
    single.climb()
    assert single.said[0].startswith("1 image at once fits, 32 are wanted: trying")


def test_a_later_run_probes_the_rung_alone_that_an_earlier_one_took() -> None:
    """Each run on a small machine would find out again that nothing fits without."""
    machine = Machine({KEPT: 0, ON_REQUEST: 32}, saved={KEPT: 0, ON_REQUEST: 32})
    report = machine.climb()
    assert (machine.probed, report.largest_feasible_batch) == ([ON_REQUEST], 32)
    assert [(record.rung, record.saved) for record in report.rungs] == [(KEPT, True), (ON_REQUEST, False)]
    assert machine.said == []


def test_an_answer_that_does_not_hold_any_more_is_left() -> None:
    """A profile of better days would end the climb on a rung on which less fits."""
    machine = Machine({KEPT: 16, FEW: 2}, saved={KEPT: 16, FEW: 32})
    assert machine.climb().limited_by == "0"
    assert machine.probed == [FEW, KEPT]
    machine = Machine({FEW: 24, ON_REQUEST: 32}, saved={KEPT: 16, FEW: 32})
    assert machine.climb().limited_by == "8"
    assert machine.probed == [FEW, ON_REQUEST]


def test_a_rung_that_fails_otherwise_does_not_end_what_fits_without_it() -> None:
    """A network that cannot be computed in segments would not train at all, though it fits in small batches."""
    machine = Machine({KEPT: 16}, broken=(FEW,))
    report = machine.climb()
    assert (report.limited_by, report.largest_feasible_batch, report.rungs) == ("0", 16, [])
    assert machine.said[-1] == "going on without that: SIGSEGV"
    with pytest.raises(TrainingFailedError):
        Machine({}, broken=(ON_REQUEST,)).climb()


def test_nothing_fits_names_every_rung() -> None:
    """The error would not say what was tried."""
    report = Machine({}).climb()
    assert (report.limited_by, report.largest_feasible_batch) == ("0", 0)
    assert [record.rung for record in report.rungs] == [KEPT, ON_REQUEST]


def test_a_rung_begins_with_what_the_ones_before_have_measured() -> None:
    """Each rung would run out of memory with four images first, under an estimate of what a process takes."""
    nothing, little = Machine({}), Machine({KEPT: 16, FEW: 24})
    nothing.climb()
    assert nothing.starts == [Start(), Start(from_one=True, non_allocator_bytes=100)]
    little.climb()
    assert little.starts[:2] == [Start(), Start(non_allocator_bytes=100)]
    again = Machine({KEPT: 0, ON_REQUEST: 4}, saved={KEPT: 0, ON_REQUEST: 4})
    again.climb()
    assert again.starts == [Start()]  # what it took before is known, and the profile is the hint
