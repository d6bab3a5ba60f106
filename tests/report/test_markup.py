"""Text as HTML: where a narrow screen may break it."""

from __future__ import annotations

import html
import re

import pytest

from autofit.report.markup import breakable, command_line, escaped, table
from autofit.report.style import PARTS


def plain(shown: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", shown))


@pytest.mark.parametrize("name", ["nuts_and_oil_seeds", "a/b-c.jpg", "<b>_</b>", "it's_&_more", "__", "", "cats"])
def test_a_name_that_may_break_is_the_same_text(name: str) -> None:
    """A class would be searched, or copied, under another name; or its mark-up be obeyed."""
    assert plain(breakable(name)) == name
    assert set(re.findall(r"<[^>]*>", breakable(name))) <= {"<wbr>"}


def test_a_name_breaks_at_its_parts() -> None:
    """On a phone `roots_and_tubers` would end in a line with an `s`."""
    assert breakable("roots_and_tubers") == "roots_<wbr>and_<wbr>tubers"


def test_a_command_is_copied_as_it_is_and_its_flags_stay_whole() -> None:
    """A line would end in the two hyphens of the next one's flag."""
    command = "autofit train 'a --b <c>' --image-size 96 --no-flip"
    shown = command_line(command)
    assert plain(shown) == command
    assert re.findall(r'<span class="flag">([^<]*)', shown) == ["--b", "--image-size", "--no-flip"]
    assert "nowrap" in PARTS[".flag"]


def test_a_page_is_no_wider_than_a_phone() -> None:
    """The path of a duplicate would make the page wider than 390 pixels, or a heading break between any two letters."""
    assert "overflow-wrap: anywhere" in PARTS["ul"]
    assert "overflow-wrap: normal" in PARTS["th"]
    assert "val_<wbr>accuracy</th>" in table(["val_accuracy"], [[escaped("0.9")]])


def test_code_wraps() -> None:
    """At 390 pixels the path in a call would be cut off, with a bar to scroll for each."""
    assert "pre-wrap" in PARTS["pre"]
