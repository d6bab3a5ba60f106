"""What `probe()` and `sweep()` return: their reports, with what there is to look at."""

from __future__ import annotations

from autofit.api.display import Plot
from autofit.probing.records import ProbeReport, SweepReport
from autofit.report.drawing import png
from autofit.report.page import probe_card, sweep_card
from autofit.report.plots import probe_figure
from autofit.report.probe_text import probe_text, workload_words
from autofit.report.sweep_plot import sweep_figure
from autofit.report.sweep_text import sweep_text, sweep_title


class ProbeResult(ProbeReport):
    """The result of a probe. A notebook shows its figures; `summary()` is text, `plot()` a picture."""

    def summary(self) -> str:
        """Which batch sizes fit and how fast they are, as the command line shows it."""
        return probe_text(self)

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def plot(self) -> Plot:
        """A picture of memory and images per second against the batch size."""
        return Plot(png(probe_figure(self, workload_words(self.workload))))

    def _repr_html_(self) -> str:
        return probe_card(self)


class SweepResult(SweepReport):
    """The results of several probes, the fastest network first. A notebook shows their table."""

    def summary(self) -> str:
        """The figures of each network, as the command line shows them."""
        return sweep_text(self)

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def plot(self) -> Plot:
        """A picture of the speeds and batch sizes of all networks."""
        return Plot(png(sweep_figure(self, sweep_title(self))))

    def _repr_html_(self) -> str:
        return sweep_card(self)
