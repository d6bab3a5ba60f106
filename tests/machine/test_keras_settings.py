"""The backend that a user's own programs get from Keras."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from autofit.machine.keras_settings import other_backend


@pytest.mark.parametrize(
    ("variable", "settings", "expected"),
    [
        (None, None, ""),
        ("", {"backend": "tensorflow"}, ""),
        ("tensorflow", {"backend": "torch"}, ""),
        ("jax", {"backend": "torch"}, "KERAS_BACKEND is jax"),
        (None, {"backend": "torch"}, "keras.json says torch"),
        ("", {"backend": "torch"}, "keras.json says torch"),
        (None, {"backend": ["a"] * 99}, f"keras.json says {str(['a'] * 99)[:40]}"),
        (None, {"backend": "\x1b[2J\nautofit: fine"}, "keras.json says \\x1b[2J autofit: fine"),
        (None, ["backend"], ""),
    ],
)
def test_the_backend_of_the_users_programs(
    tmp_path: Path, variable: str | None, settings: object, expected: str
) -> None:
    """The printed lines would open the model with a Keras that computes with something else, or none that is there."""
    environ = {"KERAS_HOME": str(tmp_path)} | ({} if variable is None else {"KERAS_BACKEND": variable})
    if settings is not None:
        (tmp_path / "keras.json").write_text(json.dumps(settings))
    assert other_backend(environ) == expected


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"\xff", b" " * 2**21])
def test_settings_that_are_none_say_nothing(tmp_path: Path, content: bytes) -> None:
    """A summary of a finished run would end with an error for a file that it does not need."""
    (tmp_path / "keras.json").write_bytes(content)
    assert other_backend({"KERAS_HOME": str(tmp_path)}) == ""


def test_a_pipe_in_its_place_holds_nothing_up(tmp_path: Path) -> None:
    """The summary of a finished run would never come."""
    os.mkfifo(tmp_path / "keras.json")
    assert other_backend({"KERAS_HOME": str(tmp_path)}) == ""
