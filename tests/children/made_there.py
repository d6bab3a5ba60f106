"""What scripts beside this one send to a worker without importing Keras themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class MadeThere:
    """Becomes what a function returns, in the process that unpickles it."""

    def __init__(self, function: Callable[..., Any], *given: Any) -> None:
        self.made_by = function, given

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """How it is pickled."""
        return self.made_by
