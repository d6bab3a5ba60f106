"""What `autofit evaluate` writes about a model."""

from __future__ import annotations

import pytest

from autofit.report.prediction_text import evaluation_text
from autofit.runs.evaluation import ClassCounts, Evaluation

COUNTS = ClassCounts(name="cat", images=4, right=3, predicted=5)
FIGURES = Evaluation(accuracy=0.75, standard_error=0.1, loss=0.5, images=8, views=1, classes=[COUNTS], unreadable=[])


@pytest.mark.parametrize(
    ("more", "words", "header"),
    [
        ({}, "Accuracy 0.750 ± 0.100 on 8 images; loss 0.500.", "Accuracy"),
        (
            {"mean_average_precision": 0.81, "f1": 0.62},
            "All labels right 0.750 ± 0.100 on 8 images; loss 0.500.",
            "Recall",
        ),
    ],
    ids=["one label", "several"],
)
def test_figures_are_named_as_what_they_are(more: dict[str, float], words: str, header: str) -> None:
    """The share of images with all labels right would be read as an accuracy, and the mean precision be missing."""
    text = evaluation_text(FIGURES.model_copy(update=more))
    first, *_ = text.splitlines()
    table = text.partition("\n\n")[2]
    assert first == words
    assert header in table.splitlines()[0]
    assert table.splitlines()[1].split() == ["cat", "4", "3", "0.750", "5"]
    assert ("Mean average precision 0.810; F1 0.620 at a probability of 0.5." in text) == bool(more)


def test_the_error_by_groups_is_named_so() -> None:
    """The error would be taken for that of independent images, as it is where no groups are known."""
    assert "± is its standard error: other images of this kind" in evaluation_text(FIGURES)
    text = " ".join(evaluation_text(FIGURES.model_copy(update={"groups": 4})).split())
    assert "± is its standard error by 4 groups of images: other groups of this kind would differ by about" in text


def test_figures_on_the_runs_own_images_are_a_warning() -> None:
    """What a model knows by heart would be taken for what it can tell."""
    assert "Warning" not in evaluation_text(FIGURES)
    text = evaluation_text(FIGURES.model_copy(update={"own_images": 1200}))
    assert "Warning: 1,200 of these images are the run's own" in text
    one = " ".join(evaluation_text(FIGURES.model_copy(update={"own_images": 1})).split())
    assert (
        "1 of these images is the run's own: it has trained on it, or chosen its model by it. It does not tell" in one
    )
    assert max(map(len, text.splitlines())) <= 80
