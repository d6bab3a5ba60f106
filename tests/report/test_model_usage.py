"""What is said of a saved model's output is what it gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.protocol.model_jobs import OutputKind
from autofit.report.run_page import run_page
from autofit.report.run_text import run_summary
from autofit.runs.result_record import ResultRecord

MODEL = Path("runs/a/model.keras")


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
