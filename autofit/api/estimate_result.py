"""What `estimate()` returns: its report, with what there is to look at."""

from __future__ import annotations

from autofit.probing.estimate import EstimateReport
from autofit.report.estimate_text import estimate_card, estimate_text


class EstimateResult(EstimateReport):
    """An estimate. A notebook shows its table; `summary()` is the same as text."""

    def summary(self) -> str:
        """What fits which machine, as the command line shows it."""
        return estimate_text(self)

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return estimate_card(self)
