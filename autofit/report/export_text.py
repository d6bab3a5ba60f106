"""An export in words. Pure."""

from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len

from autofit.printable import printable
from autofit.report.markup import element, escaped, fragment
from autofit.report.model_usage import outputs_words
from autofit.report.width import columns, wrapped
from autofit.report.words import bytes_words, count_of, metric_words
from autofit.runs.export import Export

NAMES = {"litert": "LiteRT", "onnx": "ONNX", "savedmodel": "SavedModel"}
INDENT = 2
"""Of all lines of a sentence but the first."""
DIFFERS = 0.02
"""A loss of accuracy is mentioned from this size on: two percentage points."""


def export_lines(export: Export, shown: Path) -> list[str]:
    """Sentences about the exported file and how it compares with the saved model, one per line.

    Args:
        export: the record of the export.
        shown: its path as a person would write it.
    """
    return [wrapped(line) for line in _lines(export, shown, columns())]


def export_card(export: Export, shown: Path) -> str:
    """The same for a cell of a notebook."""
    first, *others = _lines(export, shown)
    return fragment([element("p", element("b", escaped(first))), *(element("p", escaped(line)) for line in others)])


def _lines(export: Export, shown: Path, width: int | None = None) -> list[str]:
    kind = f"{NAMES[export.format]}{', 8-bit integers' if export.int8 else ''}"
    sizes = f"{bytes_words(export.size_bytes)}, the saved model has {bytes_words(export.model_bytes)}"
    return [f"Wrote {printable(str(shown))} ({kind}: {sizes}).", *_parity_lines(export), _usage(export, shown, width)]


def _parity_lines(export: Export) -> list[str]:
    parity = export.parity
    if parity is None:
        return ["It was not compared with the saved model: no runtime for it, or no image that can be read."]
    images = count_of(parity.images, f"{export.compared_with} image")
    before, after = metric_words(parity.accuracy_before), metric_words(parity.accuracy_after)
    largest = parity.largest_difference
    difference = (
        f"probabilities differ by {metric_words(largest)} at most" if largest else "all probabilities are equal"
    )
    trained = ", which the model was trained on" if export.were_trained_on else ""
    same, right = ("labels", "All labels right") if parity.multi_label else ("class", "Accuracy")
    lines = [
        f"It predicts the same {same} as the saved model on {parity.same:,} of {images}; {difference}.",
        f"{right} on these{trained}: {before} before, {after} after.",
    ]
    if parity.accuracy_before - parity.accuracy_after >= DIFFERS:
        lines.append("That is a loss: try it without int8." if export.int8 else "That is a loss: use another format.")
    return lines


def _usage(export: Export, shown: Path, width: int | None) -> str:
    path = printable(repr(str(shown)))
    function, rest = {
        "litert": ("ai_edge_litert.interpreter.Interpreter", ""),
        "onnx": ("onnxruntime.InferenceSession", ""),
        "savedmodel": ("tf.saved_model.load", ".serve(images)"),
    }[export.format]
    call = f"{function}({path}){rest}:"
    if width is not None and cell_len(call) > width - INDENT:
        end = f"){rest}:"  # lines end after the first bracket, and before the second where the path is that long
        call = f"{function}( {path}{end}" if cell_len(path + end) <= width - INDENT else f"{function}( {path} {end}"
    several = export.parity is not None and export.parity.multi_label
    gives = outputs_words(export.outputs, are_independent=several).rstrip(",")
    return f"Open it with {call} it takes raw pixels, 0 to 255, as float32 (n, height, width, 3), and gives {gives}."
