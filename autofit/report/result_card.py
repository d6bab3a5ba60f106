"""The card that a notebook shows for a result: how the run ended, its figures, and how to use the model."""

from __future__ import annotations

from pathlib import Path

from autofit.config.multi_label_figures import MEAN_AVERAGE_PRECISION
from autofit.report.markup import Html, cards, element, escaped, fragment, join
from autofit.report.run_sections import head_figures
from autofit.report.run_text import before_resuming, headline
from autofit.runs.result_record import ResultRecord


def result_card(result: ResultRecord, *, run_dir: Path, model_path: Path, has_worst: bool = False) -> str:
    """A result as HTML for a cell of a notebook.

    Args:
        result: the content of `result.json`.
        run_dir: the run directory.
        model_path: the path of the saved model.
        has_worst: whether `result.worst()` has validation images to show.
    """
    completed = result.status == "completed"
    opening = element("p", element("b", escaped(headline(result)), "" if completed else "bad"))
    warnings = [element("p", escaped(f"Note: {warning}"), "lead") for warning in result.warnings]
    figures = head_figures(result)
    return fragment(
        [
            opening,
            cards(figures) if figures else Html(""),
            *warnings,
            *_next(result, run_dir, model_path, has_worst=has_worst),
        ]
    )


def _next(result: ResultRecord, run_dir: Path, model_path: Path, *, has_worst: bool) -> list[Html]:
    """Some lines of code that use the model, or how to go on with an unfinished run."""
    if result.status != "completed":
        call = f"autofit.resume({str(run_dir)!r})"
        return [element("p", escaped(f"{before_resuming(result)}To go on:")), element("pre", escaped(call))]
    says = ['result.predict("photo.jpg")      # the class and its probability']
    if MEAN_AVERAGE_PRECISION in result.history:
        says = ['result.predict("photo.jpg")      # the probability of each label']
    elif has_worst:
        says.append("result.worst()                   # the images it is most wrong about")
    lines = [
        *says,
        f"keras.models.load_model({str(model_path)!r})",
    ]
    return [element("pre", join(escaped(line) for line in lines))]
