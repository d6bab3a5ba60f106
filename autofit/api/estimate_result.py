"""What `estimate()` returns: its report, with what there is to look at."""

from __future__ import annotations

from autofit.probing.estimate import EstimateReport
from autofit.report.estimate_text import estimate_card, estimate_text


class EstimateResult(EstimateReport):
    """An estimate. In a notebook it shows its table; `summary()` says the same in words."""

    def summary(self) -> str:
        """What fits which machine, as the command line shows it."""
        return estimate_text(self)

    def _repr_html_(self) -> str:
        return estimate_card(self)
