"""What of the user's own code a worker is sent to open a model."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autofit.api.own_objects import code_to_open
from tests.support.keras_files import keras_file


def test_an_edited_module_of_a_layer_or_of_what_it_imports_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that stays for the next prediction would answer with the code of before the edit."""
    helper, layers = tmp_path / "helper_of_layers.py", tmp_path / "own_layers.py"
    helper.write_text("FACTOR = 2\n")
    layers.write_text("import helper_of_layers\nclass Layer: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    layer = importlib.import_module("own_layers").Layer
    saving = SimpleNamespace(get_custom_objects=lambda: {"own>Layer": layer})
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(saving=saving))
    run: Any = SimpleNamespace(options=SimpleNamespace(model=None), seal=None)
    model = keras_file(tmp_path / "model.keras", {"registered_name": "own>Layer"})
    before = code_to_open(run, model)
    assert before.payload is not None
    assert code_to_open(run, model).files == before.files
    for edited in (layers, helper):
        known = code_to_open(run, model).files
        edited.write_text(f"{edited.read_text()}# edited\n")
        assert code_to_open(run, model).files != known
    other = keras_file(tmp_path / "other.keras")
    assert code_to_open(run, other).files == ()
