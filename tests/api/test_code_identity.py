"""One function or callback told from another, by its code and by the values that this uses."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit.api.code_identity import IMPORTS, IN_FULL, code_of, code_of_module, differing, user_code
from autofit.protocol.payload import Payload

NETWORK = """
ACTIVATION = "relu"

def block(x):
    return x + 1

def build(input_shape, num_classes, *, width=8):
    def inner(x):
        return block(x) * width
    return ACTIVATION, inner(num_classes)
"""

CALLBACKS = """
import functools

class Stopper:
    LIMIT = 3

    def __init__(self, patience, on_end=None):
        self.patience = patience
        self.on_end = on_end
        self.waited = 0

    def on_epoch_end(self, epoch, logs=None):
        self.waited += 1

    @property
    def left(self):
        return self.patience - self.waited

    @functools.cached_property
    def twice(self):
        return 2 * self.patience

class Sub(Stopper):
    pass
"""


def function_of(source: str, name: str = "build") -> Callable[..., Any]:
    """A function as a notebook cell defines it."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), space)  # noqa: S102 - as a notebook does
    made: Callable[..., Any] = space[name]
    return made


def callback_of(source: str, made: str = "Sub(2)") -> Any:
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), space)  # noqa: S102
    return eval(made, space)  # noqa: S307


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ('"relu"', '"tanh"'),
        ("x + 1", "x + 2"),
        ("width=8", "width=9"),
        ("block(x) * width", "block(x) + width"),
        ("return x + 1", "return x"),
    ],
)
def test_other_code_and_other_values_that_it_uses_make_another_function(was: str, now: str) -> None:
    """An edited network would return the old model without a word."""
    assert was in NETWORK
    assert code_of([function_of(NETWORK)]) == code_of([function_of(NETWORK)])
    assert code_of([function_of(NETWORK)]) != code_of([function_of(NETWORK.replace(was, now))])


def test_values_around_a_function_count() -> None:
    """A function made by another one, or with some arguments given, would not be told from its siblings."""

    def made(value: Any) -> Callable[[], Any]:
        return lambda: value

    assert code_of([made(1)]) == code_of([made(1)]) != code_of([made(2)])
    assert code_of([functools.partial(print, 1)]) != code_of([functools.partial(print, 2)])
    assert code_of([made(np.arange(3))]) == code_of([made(np.arange(3))]) != code_of([made(np.arange(1, 4))])
    assert code_of([made({"b", "a", "c"})]) == code_of([made({"c", "b", "a"})])
    assert code_of([made(code_of)]) == code_of([made(code_of)])


@pytest.mark.parametrize(
    ("source", "made"),
    [
        (CALLBACKS, "Sub(3)"),
        (CALLBACKS, "Stopper(2)"),
        (CALLBACKS.replace("+= 1", "+= 2"), "Sub(2)"),
        (CALLBACKS.replace("LIMIT = 3", "LIMIT = 4"), "Sub(2)"),
        (CALLBACKS.replace("patience - self", "patience + self"), "Sub(2)"),
        (CALLBACKS.replace("2 * self", "3 * self"), "Sub(2)"),
        (CALLBACKS, "Sub(2, on_end=lambda: 1)"),
    ],
)
def test_another_callback_is_told_by_its_class_and_what_it_was_made_with(source: str, made: str) -> None:
    """A run would go on with the rules of another callback."""
    assert code_of([callback_of(source, made)]) != code_of([callback_of(CALLBACKS)])


def test_a_callback_that_was_used_is_still_the_same() -> None:
    """A cell that is run again with the same object would be another request."""
    callback = callback_of(CALLBACKS)
    before = code_of([callback])
    callback.on_epoch_end(0)
    assert code_of([callback]) == before


def test_comments_and_layout_do_not_count(tmp_path: Path) -> None:
    """A run could not be resumed after a comment was added."""
    (tmp_path / "net.py").write_text(NETWORK)
    first = code_of_module("net", [str(tmp_path)])
    (tmp_path / "net.py").write_text("# a comment\n" + NETWORK.replace("x + 1", "(x  +  1)  # so"))
    assert code_of_module("net", [str(tmp_path)]) == first
    (tmp_path / "net.py").write_text(NETWORK.replace("x + 1", "x + 2"))
    assert code_of_module("net", [str(tmp_path)]) != first


def test_a_module_is_read_and_never_imported(tmp_path: Path) -> None:
    """The parent would run a stranger's code, or import TensorFlow."""
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit(3)")
    (package / "net.py").write_text("raise SystemExit(4)\n" + NETWORK)
    found = user_code("pack.net:build", None, ["/nowhere", str(tmp_path)])
    assert found["model"] == code_of_module("pack.net", [str(tmp_path)])
    assert found.keys() == {"model", f"model{IMPORTS}"}
    assert user_code("missing:build", None, [str(tmp_path)]) == {}
    (package / "net.py").write_text("no python")
    assert user_code("pack.net:build", None, [str(tmp_path)]) == {}


def test_a_helper_of_a_network_given_by_name_counts(tmp_path: Path) -> None:
    """An edit of a module that the network's module imports would return the old model without a word."""
    (tmp_path / "net.py").write_text("from blocks import block\n" + NETWORK)
    (tmp_path / "blocks.py").write_text("WIDTH = 8")
    before = user_code("net:build", None, [str(tmp_path)])
    (tmp_path / "blocks.py").write_text("WIDTH = 8  # a comment")
    assert differing(before, user_code("net:build", None, [str(tmp_path)])) == []
    (tmp_path / "blocks.py").write_text("WIDTH = 9")
    assert differing(before, user_code("net:build", None, [str(tmp_path)])) == ["model"]
    earlier = {"model": before["model"]}  # of a run that was begun before helpers counted
    assert differing(earlier, user_code("net:build", None, [str(tmp_path)])) == []


def given_callbacks() -> tuple[Any, ...]:
    """A callback, a set, and a lambda with a set in it, whose texts have another order in each process."""
    return callback_of(CALLBACKS), {"a", "b", "c"}, function_of("build = lambda epoch: epoch in {'a', 'b', 'c', 'd'}")


@pytest.mark.slow
def test_the_same_code_is_the_same_in_another_process() -> None:
    """A run could not be resumed in a new kernel."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; from tests.api.test_code_identity import *; "
        "print(user_code(None, Payload(function_of(NETWORK), given_callbacks()), []))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program, str(Path(__file__).parents[2])],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert answers == {f"{user_code(None, Payload(function_of(NETWORK), given_callbacks()), [])}\n"}


def test_values_that_hold_themselves_end() -> None:
    """A network that holds itself in a list would never be compared."""
    ring: list[Any] = [1]
    ring.append(ring)
    assert code_of([ring]) == code_of([ring])


def test_globals_that_only_share_a_name_do_not_count() -> None:
    """`import keras` in another cell would make the same cell another run, from nothing and without a word."""
    function = function_of(
        "def build(size, number):\n    import json\n"
        "    class Own:\n        width = size.real + factor\n    return json.layers\n"
        "factor = 2\n"
    )
    before = code_of([function])
    function.__globals__.update(json="another", layers=[1], real=3)
    assert code_of([function]) == before
    function.__globals__["factor"] = 3
    assert code_of([function]) != before


def test_an_array_of_objects_is_known_by_what_they_are() -> None:
    """Names of classes from a table would be other code in each process: their bytes are addresses."""

    def uses(names: list[str]) -> str:
        found = np.array(["".join(list(name)) for name in names], dtype=object)  # not the same strings again
        return code_of([lambda: found])

    assert uses(["cat", "dog"]) == uses(["cat", "dog"])
    assert uses(["cat", "dog"]) != uses(["cat", "owl"])


HOLDERS = {
    "attribute": "class Settings:\n    def __init__(self):\n        self.value = {}\nheld = Settings()",
    "namespace": "import types\nheld = types.SimpleNamespace(value={})",
    "arguments": "import argparse\nheld = argparse.Namespace(value={})",
    "slots": "import dataclasses\n@dataclasses.dataclass(slots=True)\nclass Mine:\n    value: int\nheld = Mine({})",
    "path": "from pathlib import Path\nheld = Path('{}.h5')",
    "range": "held = range({})",
    "class": "class held:\n    sizes = ({}, 32)",
    "table": "class Settings:\n    class Rates:\n        steps = {{0: {}}}\nheld = Settings",
    "array": "import numpy as np\nclass held:\n    mean = np.full(3, {})",
    "value": "import enum\nclass held(enum.Enum):\n    S1 = {}",
    "member": "import enum\nclass Sizes(enum.Enum):\n    S1 = 1\n    S2 = 2\nheld = Sizes.S{}",
}


@pytest.mark.parametrize("source", HOLDERS.values(), ids=HOLDERS)
def test_what_an_object_holds_counts(source: str) -> None:
    """A cell with another setting would give the result of the run before it."""

    def identity(value: int) -> str:
        return code_of([function_of(f"{source.format(value)}\ndef build(shape, classes):\n    return held")])

    assert identity(1) == identity(1)
    assert identity(1) != identity(2)


def test_runs_of_earlier_versions_are_known_by_the_hash_that_they_have() -> None:
    """A run that was begun before could not be resumed with the same code, or be gone on with by other code."""
    was, now = ({name: str(name + at) for name in ("model", f"model{IN_FULL}")} for at in "ab")
    assert differing(was, was) == []
    assert differing({**was, "model": "other"}, was) == []  # the hash by all rules decides
    assert differing(was, now) == ["model"]
    assert differing({"model": was["model"]}, now | {"model": was["model"]}) == []
    assert differing({"model": was["model"]}, now) == ["model"]


KERAS = {
    "rate": "keras.optimizers.SGD({})",
    "loss": "keras.losses.CategoricalCrossentropy(label_smoothing={})",
    "schedule": "keras.optimizers.schedules.CosineDecay({}, 10)",
    "layer": "keras.layers.RandomRotation({})",
    "network": "keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomRotation({})])",
    "metric": "keras.metrics.AUC(num_thresholds=int({} * 100))",
    "initializer": "keras.initializers.HeNormal(seed=int({} * 10))",
}


@pytest.mark.slow
@pytest.mark.parametrize("made", KERAS.values(), ids=KERAS)
def test_an_object_of_keras_counts_by_its_settings(made: str) -> None:
    """An optimizer with another rate would be the same request, and the same one, made anew, be another."""

    def identity(rate: float) -> str:
        return code_of([function_of(f"import keras\nheld = {made.format(rate)}\ndef build(*_):\n    return held")])

    assert identity(0.1) == identity(0.1)
    assert identity(0.1) != identity(0.2)
