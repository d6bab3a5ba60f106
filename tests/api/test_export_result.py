"""What `export()` returns, as people see it."""

from __future__ import annotations

import sys
from array import array
from pathlib import Path
from typing import Any

import pytest

from autofit.api.export import export
from autofit.api.export_result import ExportResult
from autofit.dataset import ImageIndex
from autofit.errors import UserError
from autofit.protocol.messages import StageRecord
from autofit.runs.export import ExportRequest, Parity
from autofit.runs.result_record import ResultRecord
from tests.api.test_result import finished
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


@pytest.mark.parametrize(("best", "is_trained_on"), [(0, True), (1, False)])
def test_images_that_only_the_head_was_fitted_on_are_not_those_of_the_fine_tuned_model(
    best: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_trained_on: bool
) -> None:
    """The accuracy of a model on images that it has never seen would be put down to its having learned them."""

    def exported(model: Path, request: ExportRequest, **_: Any) -> Parity:
        del model
        request.target.write_bytes(b"model")
        return PARITY

    finished(tmp_path)
    stages = [
        StageRecord(name="head", method="solved", epochs=1, refitted=True),
        StageRecord(name="fine-tune", method="epochs", epochs=1),
    ]
    record = ResultRecord.load(tmp_path / "result.json")
    record.model_copy(update={"stages": stages, "best_epoch": best}).save(tmp_path / "result.json")
    (tmp_path / "model.keras").write_bytes(b"model")
    (tmp_path / "labels.json").write_text('{"outputs": "one logit"}', encoding="utf-8")
    index = ImageIndex("/photos", ["a.jpg", "b.jpg"], array("i", [0, 0]), ("cat", "dog", "owl"), 1)
    module = sys.modules[export.__module__]  # its name in the package is that of the function
    monkeypatch.setattr(module, "listed_images", lambda *_: index)
    monkeypatch.setattr(module, "export_model", exported)
    exported_as = export(tmp_path)
    assert exported_as.were_trained_on == is_trained_on
    assert exported_as.outputs == "one logit"


def test_an_export_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try of a run without a model would leave the folders of what it was to write."""
    (tmp_path / "run").mkdir()
    finished(tmp_path / "run")
    index = ImageIndex("/photos", ["a.jpg", "b.jpg"], array("i", [0, 0]), ("cat", "dog", "owl"), 1)
    monkeypatch.setattr(sys.modules[export.__module__], "listed_images", lambda *_: index)
    with pytest.raises(UserError, match=r"the model .* is gone"):
        export(tmp_path / "run", path=tmp_path / "phones" / "new" / "model.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
