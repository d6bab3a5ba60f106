"""What `evaluate()` returns, as people see it."""

from __future__ import annotations

from autofit.api.evaluation_result import EvaluationResult
from autofit.runs.evaluation import ClassCounts
from tests.support.records import make_evaluation

COUNTS = [ClassCounts(name="<b>cat</b>", images=1_234, right=1_111, predicted=1_200)]
FIGURES = make_evaluation("cat", images=1_234, classes=COUNTS, own_images=7)


def test_it_says_its_figures_in_words() -> None:
    """A notebook would show all fields of the record and of each class in one line, and no warning among them."""
    result = EvaluationResult.of(FIGURES)
    assert repr(result) == str(result) == result.summary()
    assert "± is its standard error" in result.summary()
    assert "Warning: 7 of these images are the run's own" in result.summary()
    assert result.summary().splitlines()[-1].split()[-4:] == ["1,234", "1,111", "0.900", "1,200"]
    assert result.to_json() == FIGURES.to_json()


def test_in_a_notebook_it_is_a_table_of_text() -> None:
    """Figures without columns; or the name of a folder would be markup."""
    card = EvaluationResult.of(FIGURES)._repr_html_()
    for shown in ("<table", "1,111", "0.900", "&lt;b&gt;cat", "7 of these images are the run&#x27;s own"):
        assert shown in card
    assert "<b>cat" not in card
