"""Words and figures can be read: their contrast is that of WCAG 2.2, in pages and in cells, light and dark."""

from __future__ import annotations

import re

import pytest

from autofit.report.style import FRAGMENT, PAGE, PARTS

Colour = tuple[float, float, float]

LEAST_OF_TEXT, LEAST_OF_MARKS = 4.5, 3.0
"""WCAG 2.2, success criteria 1.4.3 and 1.4.11."""
NOTEBOOKS = {"light": ("#000000", "#ffffff"), "dark": ("#ffffff", "#111111"), "grey": ("#cccccc", "#1e1e1e")}
"""The text and the background of JupyterLab's two themes, and of an editor's dark one."""


def colour(text: str) -> Colour:
    red, green, blue = (int(text[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def mixed(share: float, one: Colour, other: Colour) -> Colour:
    red, green, blue = (share * a + (1 - share) * b for a, b in zip(one, other, strict=True))
    return red, green, blue


def luminance(of: Colour) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in of]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: Colour, other: Colour) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def full_cell() -> float:
    """The share of the accent in the darkest cell of a confusion matrix."""
    found = re.search(r"var\(--accent\) calc\((\.\d+) \* var\(--share\)\)", PARTS[".cell"])
    assert found
    return float(found[1])


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_a_page_can_be_read(scheme: int) -> None:
    """Paths and notes would be a shade of the paper; or a count be lost in its own cell."""
    of_scheme = re.findall(r":root \{([^}]*)\}", PAGE)[scheme]
    colours = {name: colour(value) for name, value in re.findall(r"--(\w+): (#\w{6})", of_scheme)}
    assert len(colours) == 7
    for background in ("paper", "card"):
        for name in ("ink", "soft", "bad"):
            assert contrast(colours[name], colours[background]) >= LEAST_OF_TEXT, (name, background)
        assert contrast(colours["accent"], colours[background]) >= LEAST_OF_MARKS
    cell = mixed(full_cell(), colours["accent"], colours["paper"])
    assert contrast(colours["ink"], cell) >= LEAST_OF_TEXT


@pytest.mark.parametrize("theme", NOTEBOOKS)
def test_a_cell_of_a_notebook_can_be_read(theme: str) -> None:
    """A notebook does not tell whether it is dark: grey on grey in one of the two."""
    ink, paper = map(colour, NOTEBOOKS[theme])
    soft = re.search(r"--soft: color-mix\(in srgb, currentColor (\d+)%, transparent\)", FRAGMENT)
    bad = re.search(r"--bad: color-mix\(in srgb, currentColor (\d+)%, (#\w{6})\)", FRAGMENT)
    accent = re.search(r"--accent: (#\w{6})", FRAGMENT)
    card = re.search(r"--card: rgba\((\d+), (\d+), (\d+), (\.\d+)\)", FRAGMENT)
    assert soft
    assert bad
    assert accent
    assert card
    red, green, blue = (int(card[place]) / 255 for place in (1, 2, 3))
    for background in (paper, mixed(float(card[4]), (red, green, blue), paper)):
        assert contrast(mixed(int(soft[1]) / 100, ink, background), background) >= LEAST_OF_TEXT
        assert contrast(mixed(int(bad[1]) / 100, ink, colour(bad[2])), background) >= LEAST_OF_TEXT
        assert contrast(colour(accent[1]), background) >= LEAST_OF_MARKS
    assert contrast(ink, mixed(full_cell(), colour(accent[1]), paper)) >= LEAST_OF_TEXT
