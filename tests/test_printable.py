"""Text from untrusted sources made safe for one line."""

from __future__ import annotations

import pytest

from autofit.printable import last_line


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Traceback\n  File\nValueError:  the   cause\n\n", "ValueError: the cause"),
        ("one line", "one line"),
        ("", "OSError"),
        (" \n\t\n", "OSError"),
        ("above\n\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
    ],
    ids=["a traceback", "one line", "none", "white", "for a terminal"],
)
def test_the_last_line_of_an_error(message: str, line: str) -> None:
    """An error without a message would end in an IndexError of autofit's own; a colour would stay on the terminal."""
    assert last_line(OSError(message)) == line
