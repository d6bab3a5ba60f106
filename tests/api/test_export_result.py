"""What `export()` returns, as people see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.api.export_result import ExportResult
from autofit.runs.export import Parity
from tests.support.records import make_export

PARITY = Parity(images=88, same=86, largest_difference=0.27, accuracy_before=0.705, accuracy_after=0.693)


def test_it_says_where_it_is_and_how_it_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook would show the fields of the record, and not what the export costs or how it is opened."""
    monkeypatch.chdir(tmp_path)
    export = make_export(str(tmp_path / "<i>.tflite"), parity=PARITY)
    result = ExportResult.model_construct(**dict(export))
    assert repr(result) == str(result) == result.summary()
    words = " ".join(result.summary().split())
    assert words.startswith("Wrote <i>.tflite (SavedModel")
    assert "on 86 of 88 validation images; probabilities differ by 0.270 at most" in words
    card = result._repr_html_()
    assert "86 of 88 validation images" in card
    assert "Wrote &lt;i&gt;.tflite" in card
    assert "<i>" not in card
