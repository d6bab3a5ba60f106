"""What is read in the code of a function: its source without comments, and by its bytecode what it reads and sets."""

from __future__ import annotations

import ast
import dis
import inspect
import json
import textwrap
import types
from collections.abc import Iterator
from typing import Any

_READS_OF_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})  # the last two in class bodies
_READS_OF_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


def normal(source: str) -> str:
    """Source code without comments and layout.

    Raises:
        ValueError: the text is not Python source.
    """
    try:
        return ast.unparse(ast.parse(textwrap.dedent(source)))
    except (SyntaxError, RecursionError) as error:
        raise ValueError(str(error)) from None


def code_text(function: types.FunctionType, *, unwraps: bool) -> str:
    """The source of a function; its bytecode if the source is not available or several lambdas share a line.

    Args:
        function: the function.
        unwraps: whether what a decorator has made has the source of the function that it wraps, not its own.
    """
    try:
        if function.__name__ != "<lambda>":
            return normal(inspect.getsource(function if unwraps else function.__code__))
    except (OSError, TypeError, ValueError):
        pass
    return json.dumps(_bytecode(function.__code__))


def _bytecode(code: types.CodeType) -> list[Any]:
    return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), list(map(_constant, code.co_consts))]


def _constant(item: Any) -> Any:
    """A constant of bytecode; a set of texts has another order in each process."""
    if isinstance(item, types.CodeType):
        return _bytecode(item)
    return ["frozenset", *sorted(map(repr, item))] if isinstance(item, frozenset) else repr(item)


def global_reads(code: types.CodeType) -> Iterator[list[str]]:
    """Each global name that code and the code within it read, followed by the attributes that it reads of its value."""
    read: list[str] = []
    for step in dis.get_instructions(code):
        if step.opname in _READS_OF_GLOBALS:
            if read:
                yield read
            read = [str(step.argval)]
        elif read and step.opname in _READS_OF_ATTRIBUTES:
            read.append(str(step.argval))
        elif read:
            yield read
            read = []
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            yield from global_reads(item)


def set_to_parameters(made: types.FunctionType) -> Iterator[str]:
    """The attributes that a constructor sets to its parameters as they came: `self.n = steps`."""
    own, *parameters = inspect.signature(made).parameters
    loaded: list[str] = []
    for step in dis.get_instructions(made):
        if step.opname.startswith("LOAD_FAST"):
            loaded += step.argval if isinstance(step.argval, tuple) else [step.argval]  # two at once since Python 3.13
            continue
        if step.opname == "STORE_ATTR" and loaded[1:] == [own] and loaded[0] in parameters:
            yield str(step.argval)
        loaded = []
