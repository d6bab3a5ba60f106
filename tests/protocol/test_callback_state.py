"""The state of a callback whose functions share objects with the code around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autofit.protocol.callback_state import packed_parts, parts_of, set_parts
from autofit.protocol.object_state import Packer


class Callback:
    """As Keras's `LambdaCallback`: its functions are its attributes."""

    def __init__(self, **functions: Callable[..., Any]) -> None:
        vars(self).update(functions)


def recorder(values: list[float], name: str) -> Callable[..., None]:
    """A lambda that keeps a figure."""
    return lambda _, logs: values.append(logs[name])


def test_lambdas_of_one_line_keep_a_list_each() -> None:
    """All but the last would be empty after the run, and after a restart."""
    losses: list[float] = []
    rates: list[float] = []
    callback: Any = Callback(on_epoch_begin=recorder(rates, "rate"), on_epoch_end=recorder(losses, "loss"))
    callback.on_epoch_begin(0, {"rate": 0.1})
    callback.on_epoch_end(0, {"loss": 2.0})
    packer = Packer(0)
    parts, unkeepable = packed_parts(callback, packer)
    losses.clear()
    rates.clear()
    assert set_parts(callback, parts, packer.arrays) == unkeepable == set()
    assert (rates, losses) == ([0.1], [2.0])


def test_what_two_lambdas_share_is_kept_once() -> None:
    """It would take twice the room in each checkpoint."""
    kept: list[str] = []
    callback = Callback(on_epoch_begin=lambda *_: kept.append("begin"), on_epoch_end=lambda *_: kept.append("end"))
    assert list(parts_of(callback)) == ["<lambda>.kept"]
