"""Sends classes and functions that the user has registered with Keras to a worker, where they get the same names.

A class of a notebook cell is sent by value. Without its registration, the worker's Keras would save it under another
name, and the saved model could not be opened where the user has registered it. Imports Keras only when it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from autofit.errors import UserError


def missing_object(error: Exception) -> str | None:
    """The name of the class or function that Keras did not find, from its error; None for another error."""
    found = re.search(r"Could not locate \w+ '([^']*)'", str(error))
    return found[1] if found else None


def not_registered(error: Exception) -> UserError | None:
    """The error for the user if Keras does not find a class or function of the user's; None for another error."""
    name = missing_object(error)
    if not name:
        return None
    return UserError(
        f"{name} is not known here: decorate it with @keras.saving.register_keras_serializable(), and run that before "
        "this call"
    )


class RegisteredObjects:
    """Registered classes and functions; unpickling one registers them.

    Attributes:
        by_name: the objects, by the names under which they are registered, such as `my_package>MyLayer`.
    """

    def __init__(self, by_name: Mapping[str, Any]) -> None:
        self.by_name = dict(by_name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle so that unpickling registers the objects at once: others in the same pickle may need them."""
        return registered, (self.by_name,)


def registered(by_name: Mapping[str, Any]) -> RegisteredObjects:
    """Register objects with Keras in this process."""
    import keras  # noqa: PLC0415 - the parent imports this module and never Keras

    for name, found in by_name.items():
        package, _, short = name.rpartition(">")
        if package:
            keras.saving.register_keras_serializable(package, short)(found)
        else:
            keras.saving.get_custom_objects()[name] = found
    return RegisteredObjects(by_name)
