"""Text from untrusted sources made safe for a terminal and for one line."""

from __future__ import annotations

from itertools import islice

TYPE_CHECKING = False  # as `typing` has it: `autofit.shadowing` needs this module where `typing` cannot be imported
if TYPE_CHECKING:
    from collections.abc import Collection

_BEGIN_OF_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """The text on one line, with everything a terminal would act on (escapes, line ends, direction marks) written out.

    A file name or a message from an untrusted source could clear the screen, or make a line read as another.
    """
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)


def one_line(text: object) -> str:
    """Text, such as the message of an error, on one line: white space folded, and printable."""
    return printable(" ".join(str(text).split()))


def last_line(error: BaseException) -> str:
    """The last line of an error's message, where the text of a traceback has its cause; its kind if it has none."""
    return one_line(next(reversed(str(error).strip().splitlines()), "")) or type(error).__name__


def first_of(texts: Collection[str], most: int) -> str:
    """Texts with commas; if they are many, the first of them and how many more there are."""
    shown = ", ".join(islice(texts, most))
    return f"{shown} and {len(texts) - most:,} more" if len(texts) > most else shown


def as_cell(text: str) -> str:
    """The text as a cell of a table for people: one that a spreadsheet would compute gets an apostrophe before it.

    So does such a text that has one already, so that no two texts have one cell. Numbers stay what they are:
    https://owasp.org/www-community/attacks/CSV_Injection
    """
    computed = text.lstrip("'")
    if not computed.startswith(_BEGIN_OF_FORMULA):
        return text
    try:
        float(computed)
    except ValueError:
        return f"'{text}"
    return text
