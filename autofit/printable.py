"""Text from strangers made safe for a terminal and for one line."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text on one line, with everything a terminal would act on (escapes, line ends, direction marks) written out.

    Names of files come from strangers: one could clear the screen or make a line read as another.
    """
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)


def one_line(text: object) -> str:
    """What an object says of itself, such as the message of an error, on one line: white space folded, printable."""
    return printable(" ".join(str(text).split()))
