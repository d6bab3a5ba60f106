"""What is read in the code of a function: its source without comments, and by its bytecode what it reads and sets."""

from __future__ import annotations

import ast
import dis
import hashlib
import inspect
import json
import textwrap
import types
import warnings
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
        return ast.unparse(syntax_tree(textwrap.dedent(source)))
    except (SyntaxError, RecursionError) as error:
        raise ValueError(str(error)) from None


def syntax_tree(source: str | bytes) -> ast.Module:
    """The syntax tree of source code, without Python's warnings about it: they were shown when the user's code ran.

    Raises:
        SyntaxError: the text is not Python source.
        ValueError: likewise.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def syntax_sha256(tree: ast.AST) -> str:
    """The SHA-256 of a syntax tree, which is the same in each version of Python; that of `ast.unparse` is not.

    Raises:
        RecursionError: the tree is too deep.
    """
    return hashlib.sha256(json.dumps(_plain(tree)).encode()).hexdigest()


def _plain(node: object) -> Any:
    """A part of a syntax tree as JSON, without what only some versions of Python have.

    That is empty fields, and empty texts in f-strings.
    """
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, ast.AST):
        return ascii(node)  # which characters `repr` escapes depends on the version, too
    fields = {name: item for name, item in ast.iter_fields(node) if item is not None and item != [] and name != "kind"}
    if isinstance(node, ast.JoinedStr):
        fields["values"] = [item for item in node.values if not (isinstance(item, ast.Constant) and item.value == "")]
    return [type(node).__name__, {name: _plain(item) for name, item in fields.items()}]


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
