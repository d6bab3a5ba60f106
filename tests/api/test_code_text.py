"""What is read in source code, and by which hash it is known."""

from __future__ import annotations

import pytest

from autofit.api.code_text import normal, syntax_sha256, syntax_tree

SOURCE = r'''
def build(shape, *, width: int = 8, **given) -> "model":
    """Builds."""
    name = f"{width!r:>{shape}} {width=} it's" 'a' f''
    return {**given, "name": name}, None, ..., 0xff, 1e400, u"\N{BULLET}", b"\0", f"{given['a']:%H:%M}\n"


async def wait():
    async with a as b, c:
        pass


class Held:
    x: int
    empty = [], (), {}, ""


match build:
    case {"a": 1, **rest} if rest:
        pass
'''


def identity(source: str) -> str:
    return syntax_sha256(syntax_tree(source))


def test_the_hash_of_source_code_is_the_same_in_each_version_of_python() -> None:
    """After an update of Python each run with an own module would be another request."""
    assert identity(SOURCE) == "f82cd2379bc5ebc8790b27189ed0ba00f1a4f1fd3c78f12498c60abe4e36a859"


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ('""', '"", ""'),
        ("(), {}", "(None,), {}"),
        ("it's", "its"),
        ("!r", "!s"),
        ("None", "'None'"),
        ("x: int", "x = int"),
    ],
)
def test_other_code_has_another_hash(was: str, now: str) -> None:
    """An edited helper would return the old model."""
    assert was in SOURCE
    assert identity(SOURCE.replace(was, now)) != identity(SOURCE)


@pytest.mark.parametrize(
    ("was", "now"), [("pass", "pass  # why"), ("'a' f''", "'' f'a'"), ("0xff", "(255)"), ('"name"', "'name'")]
)
def test_comments_and_layout_do_not_count(was: str, now: str) -> None:
    """A formatter that the user runs over a helper would make another request."""
    assert was in SOURCE
    assert identity(SOURCE.replace(was, now)) == identity(SOURCE)


def test_an_old_escape_is_not_warned_of() -> None:
    """Python 3.12 would print a warning about the user's function at each call."""
    assert normal("DIGITS = '\\d'") == "DIGITS = '\\\\d'"
