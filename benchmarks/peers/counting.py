"""Counting what a finder tries, without its noticing."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from memory_limit import memory_bytes

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Count:
    """Trials are calls of the function that a finder tries, out-of-memories the calls that raised."""

    trials: int = 0
    ooms: int = 0
    began: float = field(default_factory=time.monotonic)

    def counted(self, function: Callable[P, T]) -> Callable[P, T]:
        """The same function, counted; what it raises goes on to the finder."""

        @functools.wraps(function)
        def count(*args: P.args, **kwargs: P.kwargs) -> T:
            self.trials += 1
            try:
                return function(*args, **kwargs)
            except (RuntimeError, MemoryError):
                self.ooms += 1
                raise

        return count

    def report(self, answer: int) -> None:
        """Print the one line that the benchmark reads."""
        print(
            json.dumps(
                {
                    "answer": answer,
                    "trials": self.trials,
                    "ooms": self.ooms,
                    "seconds": time.monotonic() - self.began,
                    "peak_bytes": memory_bytes()["VmHWM"],
                }
            )
        )
