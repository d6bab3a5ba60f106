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
    """A probe. In a notebook it shows its figures; `summary()` says them in words, `plot()` draws them."""

    def summary(self) -> str:
        """What fits and how fast, as the command line shows it."""
        return probe_text(self)

    def plot(self) -> Plot:
        """Memory and images a second against the batch, as a picture."""
        return Plot(png(probe_figure(self, workload_words(self.workload))))

    def _repr_html_(self) -> str:
        return probe_card(self)


class SweepResult(SweepReport):
    """Several probes, the fastest first. In a notebook it shows their table."""

    def summary(self) -> str:
        """What each network can do, as the command line shows it."""
        return sweep_text(self)

    def plot(self) -> Plot:
        """The speeds and the batches of all networks, as a picture."""
        return Plot(png(sweep_figure(self, sweep_title(self))))

    def _repr_html_(self) -> str:
        return sweep_card(self)
