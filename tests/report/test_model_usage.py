"""What is said of a saved model's output is what it gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.protocol.model_jobs import OutputKind
from autofit.report.model_usage import Reading
from autofit.report.run_page import run_page
from autofit.report.run_text import run_summary
from autofit.report.width import in_columns
from autofit.runs.result_record import ResultRecord

MODEL = Path("runs/a/model.keras")


@pytest.mark.parametrize("width", [80, 60])
def test_images_of_more_than_8_bits_are_read_by_the_ranges_of_the_training(
    width: int, make_result: Callable[..., ResultRecord]
) -> None:
    """The lines that a user copies would scale each of 12 bits by its own values, and predict from other pixels."""
    ranges = {"I;16": (0.0, 4095.0), "F": (-0.5, 1.0)}
    with in_columns(width):
        text = run_summary(make_result(), labels=["cat", "dog"], model_path=MODEL, reading=Reading(ranges))
    assert "    ranges = {'I;16': (0, 4095), 'F': (-0.5, 1)}\n" in text
    assert 'load_images("photo.jpg", model.input_shape[1:3], ranges)' in text.replace("(\n        ", "(")
    assert max(map(len, text.splitlines())) <= width
    forged = Reading({"F": (float("-inf"), float("nan"))})
    told = run_summary(make_result(), labels=[], model_path=MODEL, reading=forged)
    assert "ranges = {'F': (-inf, nan)}" in told
    assert "ranges" not in run_summary(make_result(), labels=["cat", "dog"], model_path=MODEL)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ("probabilities", "gives probabilities for 2 classes: cat, dog."),
        ("logits", "gives logits, of which keras.ops.softmax makes probabilities, for 2 classes: cat, dog."),
        ("binary logits", "gives logits, of which keras.ops.sigmoid makes probabilities, for 2 classes: cat, dog."),
        ("one probability", "gives one number, the probability of dog, for 2 classes: cat, dog."),
        ("one logit", "gives one number, of which keras.ops.sigmoid makes the probability of dog, for 2 classes"),
    ],
)
def test_the_output_of_the_users_own_network_is_told(
    outputs: OutputKind, said: str, make_result: Callable[..., ResultRecord]
) -> None:
    """Numbers above 1 would be taken for probabilities, or a single one for that of the first class."""
    labels = ["cat", "dog"]
    text = run_summary(make_result(), labels=labels, model_path=MODEL, outputs=outputs)
    assert said in " ".join(text.split())
    assert said in run_page(make_result(), labels=labels, model_path=MODEL, outputs=outputs)
