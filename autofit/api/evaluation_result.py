"""What `evaluate()` returns: its record, with what there is to look at."""

from __future__ import annotations

from autofit.report.prediction_text import evaluation_card, evaluation_text
from autofit.runs.evaluation import Evaluation


class EvaluationResult(Evaluation):
    """An evaluation. It prints its figures as text; a notebook shows them as a table."""

    def summary(self) -> str:
        """The figures as text, as the command line shows them."""
        return evaluation_text(self)

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return evaluation_card(self)
