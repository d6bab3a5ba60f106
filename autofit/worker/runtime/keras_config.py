"""The settings in a user's `keras.json` that autofit does not follow: it trains in float32 with the channels last."""

from __future__ import annotations

from autofit.errors import UserError

FLOATX, CHANNELS = "float32", "channels_last"
OWN = {"floatx": FLOATX, "image_data_format": CHANNELS}


def use_own_settings() -> str:
    """Set what autofit needs in a process of its own; returns what to say if a setting was another, else nothing."""
    import keras  # noqa: PLC0415 - after its settings are made

    found = {"floatx": keras.config.floatx(), "image_data_format": keras.config.image_data_format()}
    others = [f"{name} {found[name]!r}" for name, own in OWN.items() if found[name] != own]
    own_words = " and ".join(f"{own!r}" for own in OWN.values())
    keras.config.set_floatx(FLOATX)
    keras.config.set_image_data_format(CHANNELS)
    return f"Keras is set to {' and '.join(others)} (keras.json); autofit trains with {own_words}" if others else ""


def require_own_settings() -> None:
    """Refuse a user's own process in which Keras is set to something else.

    Raises:
        UserError: it is.
    """
    import keras  # noqa: PLC0415 - after its settings are made

    if keras.config.image_data_format() != CHANNELS:
        raise UserError(f'Keras is set to "channels_first": keras.config.set_image_data_format("{CHANNELS}") mends it')
    if keras.config.floatx() != FLOATX:
        raise UserError(f'Keras is set to "{keras.config.floatx()}": keras.config.set_floatx("{FLOATX}") mends it')
