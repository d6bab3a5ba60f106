"""The Python objects that a run sends to its workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Payload:
    """What crosses as Python objects, for as long as the parent lives: a model function and Keras callbacks."""

    model: Callable[..., Any] | None = None
    callbacks: Sequence[Any] = ()
