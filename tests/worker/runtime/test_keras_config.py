"""Keras set to something else than what autofit trains with."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import keras
import pytest

from autofit.errors import UserError
from autofit.machine.keras_settings import settings_file
from autofit.worker.runtime.keras_config import READS_THEM, naming_the_settings, require_own_settings, use_own_settings

pytestmark = pytest.mark.slow  # loads Keras


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")


def test_a_worker_trains_as_ever_and_says_what_it_does_not_follow() -> None:
    """A `keras.json` of another project would end each run with a TypeError of TensorFlow."""
    assert use_own_settings() == ""
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    said = use_own_settings()
    assert "floatx 'float16' and image_data_format 'channels_first' (keras.json)" in said
    assert (keras.config.floatx(), keras.config.image_data_format()) == ("float32", "channels_last")
    require_own_settings()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: keras.config.set_floatx("float64"), r'"float64": keras.config.set_floatx\("float32"\)'),
        (lambda: keras.config.set_image_data_format("channels_first"), r"set_image_data_format"),
    ],
    ids=["floatx", "channels"],
)
def test_a_users_own_process_is_not_changed(change: object, words: str) -> None:
    """With isolation="inline" the rest of a notebook would compute with other types than before."""
    assert callable(change)
    change()
    with pytest.raises(UserError, match=words):
        require_own_settings()


@pytest.mark.parametrize("home", ["{}", "/proc/self"], ids=["a home", "a home that cannot be written"])
def test_the_file_is_the_one_that_keras_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """A release of Keras that keeps it elsewhere would leave all words about it wrong."""
    monkeypatch.setenv("HOME", home.format(tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    export = SimpleNamespace(keras_export=lambda *_: lambda exported: exported)  # as it is there already
    monkeypatch.setitem(sys.modules, "keras.src.api_export", cast("ModuleType", export))
    module = Path(keras.__file__).parent.joinpath(*READS_THEM[1:])
    assert runpy.run_path(str(module))["_config_path"] == str(settings_file())


IMPORTING = """
from autofit.errors import UserError
from autofit.worker.runtime.tf_settings import import_keras
try:
    import_keras(isolated=True)
except UserError as error:
    print(error)
"""

MADE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a list": (lambda path: path.write_text("[]"), " ('list' object has no attribute 'get'): mend or remove that file"),
    "a type": (lambda path: path.write_text('{"floatx": "bfloat16"}'), "Received: floatx=bfloat16): mend or remove"),
    "a folder": (Path.mkdir, " is no file: remove it"),
    "a pipe": (os.mkfifo, " is no file: remove it"),
}


@pytest.mark.parametrize(
    "name", [name if name in {"a list", "a pipe"} else pytest.param(name, marks=pytest.mark.whole) for name in MADE]
)
def test_settings_that_keras_cannot_use_are_named(tmp_path: Path, name: str) -> None:
    """A broken `keras.json` would be a defect of autofit, and a pipe in its place a worker that never starts."""
    make, words = MADE[name]
    make(tmp_path / "keras.json")
    [line] = said_with(tmp_path)
    assert str(tmp_path / "keras.json") in line
    assert words in line


@pytest.mark.whole
@pytest.mark.parametrize("content", [b"\xff", b"{", b""])
def test_settings_that_keras_passes_over_end_nothing(tmp_path: Path, content: bytes) -> None:
    """Keras goes on with its own settings where the file is no JSON or no text."""
    (tmp_path / "keras.json").write_bytes(content)
    assert said_with(tmp_path) == []


def said_with(keras_home: Path) -> list[str]:
    """The lines that are said when Keras is imported with the settings in a folder."""
    environment = os.environ | {"KERAS_HOME": str(keras_home), "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_another_error_while_keras_is_imported_is_not_of_its_settings() -> None:
    """A broken installation would be taken for a broken file."""
    with pytest.raises(ValueError, match="else"), naming_the_settings():
        raise ValueError("something else")
