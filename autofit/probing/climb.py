"""Climbs the ladder: probes one rung after another, as `ladder.py` decides, and reports the one to train on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from autofit.config.rungs import Rung
from autofit.errors import TrainingFailedError
from autofit.probing.ladder import Goal, Start, best_rung, next_rung, rung_record, start_on, with_prices
from autofit.probing.records import ProbeReport, RungRecord
from autofit.protocol.messages import at_once


@dataclass
class Climb:
    """One climb.

    Attributes:
        goal: what the probe is for.
        known: gives what an earlier probe found on a rung under the same limit; None if there was no such probe.
        probe: probes a rung now, with what the rungs before it have shown.
        say: shows a message.
    """

    goal: Goal
    known: Callable[[Rung], RungRecord | None]
    probe: Callable[[Rung, Start], ProbeReport]
    say: Callable[[str], None]
    _tried: dict[Rung, RungRecord] = field(default_factory=dict)
    _reports: dict[Rung, ProbeReport] = field(default_factory=dict)

    def run(self) -> ProbeReport:
        """The report of the rung to train on, which was probed now; it lists the other rungs, if any were tried.

        Raises:
            UserError: the model cannot be built as asked.
            TrainingFailedError: a trial failed for a reason that is not memory, and nothing fits without that rung.
            InterruptedRunError: Ctrl-C.
        """
        while (rung := self._next()) is not None:
            self._try(rung)
        best = best_rung(self.goal, list(self._tried.values())).rung
        report = self._reports[best]
        if len(self._tried) == 1:
            return report
        return report.model_copy(update={"rungs": with_prices(list(self._tried.values()))})

    def _next(self) -> Rung | None:
        """The rung to probe now; None if the climb is done.

        That is the next rung for which no earlier probe is known; after these the best one, unless it was probed now.
        """
        while (rung := next_rung(self.goal, list(self._tried.values()))) is not None:
            found = self.known(rung)
            if found is None:
                return rung
            self._tried[rung] = found
        best = best_rung(self.goal, list(self._tried.values())).rung
        return None if best in self._reports else best

    def _try(self, rung: Rung) -> None:
        """Probe a rung. If a trial fails for another reason than memory, the rung is dropped if another one fits."""
        if rung.segments and rung != self.goal.rungs[0] and rung not in self._tried:
            self.say(f"{self._why()}: trying with {rung.words}")
        others = {tried: record for tried, record in self._tried.items() if tried != rung}
        try:
            report = self.probe(rung, start_on(rung, list(self._tried.values())))
        except TrainingFailedError as error:
            if not any(record.largest_feasible_batch for record in others.values()):
                raise
            self.say(f"going on without that: {error}")
            self.goal, self._tried = replace(self.goal, rungs=tuple(others)), others
            return
        self._reports[rung] = report
        self._tried[rung] = rung_record(rung, report)

    def _why(self) -> str:
        largest = max((record.largest_feasible_batch for record in self._tried.values()), default=0)
        if not largest:
            return "not even one image at a time fits"
        return f"{at_once(largest)} {'fits' if largest == 1 else 'fit'}, {self.goal.wanted} are wanted"
