"""Functions, classes and objects told from another by all that is described of them."""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from autofit.api.code_identity import IMPORTS, IN_FULL, code_of, differing, hashes_of
from tests.api.test_code_identity import callback_of, function_of

RENAMED = """
class Warmup:
    def __init__(self, steps, folder="a"):
        super().__init__()
        self.{} = steps
        self.started = id(self), folder
"""


@pytest.mark.parametrize("attribute", ["steps", "_steps", "steps_", "count"])
def test_a_callback_may_keep_its_arguments_under_other_names(attribute: str) -> None:
    """`Warmup(1000)` would be taken for `Warmup(100)`, and the result be that of the run before."""
    made = [callback_of(RENAMED.format(attribute), f"Warmup({steps})") for steps in (100, 100, 1000)]
    codes = [code_of([callback]) for callback in made]
    assert codes[0] == codes[1] != codes[2]


DECORATED = """
import functools
def around(function):
    @functools.wraps(function)
    def made(*args):
        return [function(*args)]
    return made
@around
def build(*args):
    return WIDTH
WIDTH = 8
"""


def imported(folder: Path, source: str) -> types.ModuleType:
    """A module of the user's own, imported anew."""
    (folder / "own_nets").mkdir(exist_ok=True)
    path = folder / "own_nets" / "blocks.py"
    path.write_text(source)
    os.utime(path, (len(source), len(source)))  # its bytecode is made anew
    for name in [name for name in sys.modules if name.startswith("own_nets")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    return importlib.import_module("own_nets.blocks")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which modules are found."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_nets")]:
        del sys.modules[name]


def test_a_decorator_counts(folder: Path) -> None:
    """A network around which another decorator puts something would be taken for the same."""
    sources = [DECORATED, "# a comment\n" + DECORATED, DECORATED.replace("[function", "2 * [function")]
    codes = [code_of([imported(folder, source).build]) for source in sources]
    assert codes[0] == codes[1] != codes[2]


@pytest.mark.parametrize("used", ["own_nets.blocks.WIDTH", "own_nets.blocks.build()"])
def test_what_is_used_of_a_module_of_ones_own_counts(used: str, folder: Path) -> None:
    """With `import nets` and `nets.build()`, an edited network would be taken for the same."""

    def identity(source: str) -> str:
        imported(folder, source)
        return code_of([function_of(f"import os\nimport own_nets.blocks\ndef build(*_):\n    return {used}, os.sep\n")])

    first = identity(DECORATED)
    assert identity(DECORATED + "UNUSED = 3\n") == first
    assert identity(DECORATED.replace("8", "9")) != first


@pytest.mark.parametrize(
    "statement",
    ["import own_nets.blocks as b", "from own_nets.blocks import build", "from own_nets import blocks"],
)
def test_what_a_function_imports_when_it_is_called_counts(folder: Path, statement: str) -> None:
    """With `import nets` inside the function, an edited network would return the old model without a word."""
    source = f"def build(*_):\n    import json\n    {statement}\n"
    function = function_of(source)
    package = folder / "own_nets"
    package.mkdir()

    def identity(blocks: str, deeper: str = "WIDTH = 8") -> dict[str, str]:
        (package / "blocks.py").write_text(f"raise SystemExit(3)  # never imported\nimport own_nets.deeper\n{blocks}")
        (package / "deeper.py").write_text(deeper)
        return hashes_of("model", [function])

    first = identity(DECORATED)
    assert differing(first, identity("# a comment\n" + DECORATED)) == []
    assert differing(first, identity(DECORATED.replace("8", "9"))) == ["model"]
    assert differing(first, identity(DECORATED, "WIDTH = 9")) == ["model"]


@pytest.mark.parametrize("held", ["build", "type('Held', (), {'build': build})()", "functools.partial(build)"])
def test_a_run_that_was_begun_before_imports_counted_goes_on(folder: Path, held: str) -> None:
    """With the next version of autofit, each unchanged function with an import inside would be another request."""
    source = f"import functools\ndef build(*_):\n    import own_nets.blocks\nheld = {held}"
    value = function_of(source, "held")
    without = hashes_of("callbacks", [value])
    imported(folder, "WIDTH = 8")
    now = hashes_of("callbacks", [value])
    assert now.keys() == {"callbacks", f"callbacks{IN_FULL}", f"callbacks{IMPORTS}"}
    earlier = {key: sha256 for key, sha256 in without.items() if not key.endswith(IMPORTS)}
    assert differing(earlier, now) == []
    assert differing(without, now) == ["callbacks"]


@pytest.mark.parametrize(
    "source", ["class held:\n    size = 3\n    sizes = ({}, 2)", RENAMED.format("_n") + "held = Warmup({})"]
)
def test_the_earlier_hash_stays_what_it_was(source: str) -> None:
    """A run of an earlier version with the same code would be refused."""
    held = [callback_of(source.replace("{}", str(value)), "held") for value in (1, 2)]
    assert code_of([held[0]], in_full=False) == code_of([held[1]], in_full=False)


MADE = "    def __init__(self, n):\n        super().__init__()\n        self."

OWN_OF_KERAS = {
    "layer": f"class Own(keras.layers.Layer):\n{MADE}n = n\n",
    "loss": f"class Own(keras.losses.Loss):\n{MADE}scale = n\n",
    "metric": f"class Own(keras.metrics.Mean):\n{MADE}_n = n\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("source", OWN_OF_KERAS.values(), ids=OWN_OF_KERAS)
def test_an_object_of_ones_own_class_of_keras_is_the_same_when_it_is_made_again(source: str) -> None:
    """Keras numbers such objects: a cell that makes one and is run again would be another request."""

    def identity(value: int, source: str = source) -> str:
        return code_of([function_of(f"import keras\n{source}held = Own({value})\ndef build(*_):\n    return held")])

    assert identity(1) == identity(1)
    assert identity(1) != identity(2)
    assert identity(1, source + "    def call(self, *_):\n        return 1\n") != identity(1)
