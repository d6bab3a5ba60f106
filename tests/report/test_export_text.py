"""An export in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autofit.report.export_text import export_lines
from autofit.report.width import in_columns
from autofit.runs.export import Export, Parity

PARITY = Parity(images=88, same=86, largest_difference=0.012, accuracy_before=0.705, accuracy_after=0.693)


def lines_of(shown: str = "runs/a/model.tflite", width: int = 80, **fields: Any) -> str:
    known: dict[str, Any] = {
        "path": "/runs/a/model.tflite",
        "format": "litert",
        "int8": True,
        "size_bytes": 3_540_000,
        "model_bytes": 13_300_000,
        "compared_with": "validation",
        "were_trained_on": False,
        "parity": PARITY,
    }
    with in_columns(width):
        lines = export_lines(Export(**known | fields), Path(shown))
    assert max(len(part) for line in lines for part in line.splitlines()) <= width
    return " ".join(" ".join(lines).split())


def test_the_lines_say_what_was_written_how_it_compares_and_how_to_open_it() -> None:
    """A user would put a model into a phone without knowing what the integers cost."""
    text = lines_of()
    assert "Wrote runs/a/model.tflite (LiteRT, 8-bit integers: 3.54 MB, the saved model has 13.3 MB)." in text
    assert "the same class as the saved model on 86 of 88 validation images" in text
    assert "differ by 0.012 at most" in text
    assert "Accuracy on these: 0.705 before, 0.693 after." in text
    assert "Interpreter('runs/a/model.tflite')" in text
    assert "loss" not in text


def test_a_loss_and_images_that_were_trained_on_are_said() -> None:
    """An accuracy of 1 would be taken for the model's, or ten points be lost without a word."""
    text = lines_of(parity=PARITY.model_copy(update={"accuracy_after": 0.6}), were_trained_on=True)
    assert "That is a loss: try it without int8." in text
    assert "which the model was trained on" in text


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ("probabilities", "and gives probabilities."),
        ("logits", "and gives logits, of which keras.ops.softmax makes probabilities."),
        ("one probability", "and gives one number, the probability of the second class."),
    ],
)
def test_what_it_gives_is_said(outputs: str, said: str) -> None:
    """Whoever puts it into a phone would take logits for probabilities, or one number for that of the first class."""
    assert said in lines_of(outputs=outputs)
    several = PARITY.model_copy(update={"multi_label": True})
    assert ("and gives independent probabilities." in lines_of(outputs=outputs, parity=several)) == (
        outputs == "probabilities"
    )


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("export_format", ["litert", "onnx", "savedmodel"])
def test_the_call_of_a_run_with_the_usual_name_fits(export_format: str, width: int) -> None:
    """A terminal would break it within the path, which then cannot be copied."""
    text = lines_of("runs/20261128-194936-MobileNetV2/model.tflite", width, format=export_format, int8=False)
    assert "'runs/20261128-194936-MobileNetV2/model.tflite'" in text


def test_what_was_not_compared_or_is_equal_is_said() -> None:
    """Silence would be taken for a comparison."""
    assert "was not compared" in lines_of(parity=None)
    same = PARITY.model_copy(update={"largest_difference": 0.0})
    assert "all probabilities are equal" in lines_of(format="savedmodel", int8=False, parity=same)
