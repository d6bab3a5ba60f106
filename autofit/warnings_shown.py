"""Warnings that are errors (`PYTHONWARNINGS=error`, `python -W error`), shown instead while autofit works.

Packages below warn of what will change in their next release: that ends no training.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Show each warning once that would be raised as an error; others are treated as before."""
    if not any(action == "error" for action, *_ in warnings.filters):
        yield
        return
    with warnings.catch_warnings():
        warnings.filters[:] = [(_shown(action), *rest) for action, *rest in warnings.filters]  # type: ignore[index]
        warnings.simplefilter("default", append=True)  # a change that Python's caches notice
        yield


def _shown(action: str) -> str:
    return "default" if action == "error" else action
