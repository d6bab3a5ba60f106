"""Keras set to something else than what autofit trains with."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import pytest

from autofit.errors import UserError
from autofit.worker.runtime.keras_config import require_own_settings, use_own_settings

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
