"""The notebook in `examples/`, run as in a fresh runtime."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from PIL import Image

from tests.support.kernel import running_kernel
from tests.support.paths import AUTOFIT_PATH

NOTEBOOK = Path(__file__).parents[2] / "examples/colab.ipynb"
SMALL = """options = {
    "model": "autofit.demo.network:digit_network", "image_size": 32,
    "batch_size": 64, "micro_batch_size": 64, "epochs": 6,
}"""
"""In place of the pretrained backbone, whose weights would have to be downloaded."""


def test_the_notebook_has_no_outputs_and_installs_only_what_is_missing() -> None:
    """A reader would see somebody's figures as their own; or a runtime that has autofit get another one."""
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells if cell.outputs or cell.execution_count] == []
    installing = [cell.source for cell in cells if "pip" in cell.source]
    assert len(installing) == 1
    assert "if importlib.util.find_spec" in installing[0]
    assert [cell.metadata.get("tags") for cell in cells].count(["parameters"]) == 1


@pytest.mark.slow
@pytest.mark.whole
def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that a newcomer opens would stop at a cell, or train to less than it says."""
    monkeypatch.setenv("PYTHONPATH", AUTOFIT_PATH)
    shown = {}
    with running_kernel(tmp_path) as kernel:
        for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
            if cell.cell_type == "code":
                source = SMALL if "parameters" in cell.metadata.get("tags", []) else cell.source
                shown[source.splitlines()[-1]] = kernel.run(source)
                assert shown[source.splitlines()[-1]].error == []
        accuracy = kernel.run("print(result.history['val_accuracy'][result.best_epoch - 1])").text()
    assert float(accuracy) > 0.9
    assert "<table" in shown["result"].html
    assert shown["result.confusion_matrix().plot()"].text("image/png")
    assert "<img" in shown["result.worst(9)"].html
    assert "autofit-sample/7/0" in shown["found.to_dataframe().head()"].html
    assert (tmp_path / "digits.keras").stat().st_size > 100_000
    with Image.open(next((tmp_path / "autofit-sample/7").iterdir())) as image:
        assert image.size == (32, 32)
