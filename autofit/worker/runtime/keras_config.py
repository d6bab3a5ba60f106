"""The settings in a user's `keras.json` that autofit does not follow: it trains in float32 with channels last."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autofit.errors import UserError
from autofit.machine.keras_settings import settings_file
from autofit.printable import one_line, printable

FLOATX, CHANNELS = "float32", "channels_last"
OWN = {"floatx": FLOATX, "image_data_format": CHANNELS}


def use_own_settings() -> str:
    """Set what autofit needs in a worker process; returns a message if a setting was different, else nothing."""
    import keras  # noqa: PLC0415 - after its settings are made

    found = {"floatx": keras.config.floatx(), "image_data_format": keras.config.image_data_format()}
    others = [f"{name} {found[name]!r}" for name, own in OWN.items() if found[name] != own]
    own_words = " and ".join(f"{own!r}" for own in OWN.values())
    keras.config.set_floatx(FLOATX)
    keras.config.set_image_data_format(CHANNELS)
    return f"Keras is set to {' and '.join(others)} (keras.json); autofit trains with {own_words}" if others else ""


def require_own_settings() -> None:
    """Check that Keras in the user's own process has the settings that autofit needs.

    Raises:
        UserError: it has others.
    """
    import keras  # noqa: PLC0415 - after its settings are made

    if keras.config.image_data_format() != CHANNELS:
        raise UserError(f'Keras is set to "channels_first": keras.config.set_image_data_format("{CHANNELS}") mends it')
    if keras.config.floatx() != FLOATX:
        raise UserError(f'Keras is set to "{keras.config.floatx()}": keras.config.set_floatx("{FLOATX}") mends it')


READS_THEM = ("keras", "src", "backend", "config.py")
"""The end of the path of the module that reads `keras.json` when Keras is imported."""


@contextmanager
def naming_the_settings() -> Iterator[None]:
    """Name the file to mend if Keras cannot be imported because of its settings.

    A path that is no regular file is refused before Keras opens it: Keras would wait for ever for a named pipe.

    Raises:
        UserError: the settings cannot be read, or Keras refuses a value in them.
    """
    path = settings_file()
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 - these raise nothing
        raise UserError(f"{printable(str(path))}, where Keras has its settings, is no file: remove it")
    try:
        yield
    except Exception as error:
        files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
        if READS_THEM not in [file.parts[-len(READS_THEM) :] for file in files]:
            raise
        why = one_line(error)[:200]
        raise UserError(
            f"Keras cannot use its settings in {printable(str(path))} ({why}): mend or remove that file"
        ) from error
