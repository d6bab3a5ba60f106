"""The HTML elements of a page, which is self-contained: no scripts, no network requests.

File and class names are untrusted. `Html` is a type of its own: only `escaped` makes it from a plain string, escaped,
so the type checker finds any place where unescaped text would enter.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import NewType

from autofit.printable import printable
from autofit.report.style import FRAGMENT_STYLE, PAGE_STYLE

Html = NewType("Html", str)

MAX_ROWS = 500
"""The most rows in a table: ten thousand broken images must not make a page too large for a browser."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Content security policy: even if some text were not escaped, the browser would load and run nothing."""


def escaped(plain: str) -> Html:
    """Any text as HTML that shows it: the only way to make `Html` from a string."""
    return Html(html.escape(printable(plain)))


def breakable(name: str) -> Html:
    """The name of a class or a file, escaped, with `<wbr>` where a narrow column may break it.

    A browser does not copy `<wbr>` with the text.
    """
    return Html(re.sub(r"(?<=[\w;])([_/-]+)(?=\w)", r"\1<wbr>", escaped(name)))


def command_line(command: str) -> Html:
    """A command to copy, whose flags stay on one line: a browser would break `--json` after its hyphens."""
    shown = re.sub(r"(?<= )(--[\w-]+)", r'<span class="flag">\1</span>', escaped(command))
    return element("pre", Html(shown))


def join(parts: Iterable[Html]) -> Html:
    """Parts one below the other."""
    return Html("\n".join(parts))


def element(tag: str, body: Html, kind: str = "") -> Html:
    """An element; `tag` and `kind` are constants of this package, never user input."""
    attribute = f' class="{kind}"' if kind else ""
    return Html(f"<{tag}{attribute}>{body}</{tag}>")


def picture(uri: str, path: str = "") -> Html:
    """An image of a `data:` URI that was made here; a browser shows the path of its file under the pointer."""
    title = f' title="{escaped(path)}"' if path else ""
    return Html(f'<img alt=""{title} src="{html.escape(uri)}">')


def document(title: str, sections: Sequence[Html]) -> str:
    """The whole page."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escaped(title)}</title>
<style>{PAGE_STYLE}</style>
</head>
<body>
{join(sections)}
<footer>Made by autofit. GB is 10<sup>9</sup> bytes.</footer>
</body>
</html>
"""


def fragment(parts: Sequence[Html]) -> str:
    """Parts for a cell of a notebook, with their own style, which does not affect the rest of the notebook."""
    return f'<div class="autofit"><style>{FRAGMENT_STYLE}</style>\n{join(parts)}\n</div>'


def section(title: str, body: Html, level: int = 2) -> Html:
    """A section with a heading; nothing if the body is empty."""
    return join([element(f"h{level}", escaped(title)), body]) if body else Html("")


def cards(facts: Iterable[tuple[str, str]]) -> Html:
    """A few highlighted figures, given as pairs of a name and a value."""
    boxes = (element("div", Html(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>")) for name, value in facts)
    return element("dl", join(boxes), "facts")


def figures(drawings: Iterable[str]) -> Html:
    """Drawings, each an `<svg>`, side by side where there is room, else one below the other."""
    boxes = [element("div", Html(drawing)) for drawing in drawings]
    return element("div", join(boxes), "figures") if boxes else Html("")


def bullets(lines: Iterable[str]) -> Html:
    """A list of sentences; nothing if there are none."""
    items = [element("li", escaped(line)) for line in lines]
    return element("ul", join(items)) if items else Html("")


def table(headers: Sequence[str], rows: Sequence[Sequence[Html]], numbers: int = 0, kind: str = "") -> Html:
    """A table whose last `numbers` columns are figures; cut at `MAX_ROWS` with a note.

    Without headers it is a list of names and values. In a table of the kind `whole` words are not broken, however long.
    """
    if not rows:
        return Html("")
    first_number = len(rows[0]) - numbers
    head = _row("th", [breakable(header) for header in headers], first_number) if headers else Html("")
    body = [_row("td", row, first_number) for row in rows[:MAX_ROWS]]
    more = element("p", escaped(f"and {len(rows) - MAX_ROWS:,} more."), "lead") if len(rows) > MAX_ROWS else Html("")
    return join([element("div", element("table", join([head, *body]), kind if headers else "pairs"), "wide"), more])


def _row(tag: str, cells: Sequence[Html], first_number: int) -> Html:
    marked = (element(tag, cell, "number" if place >= first_number else "") for place, cell in enumerate(cells))
    return element("tr", Html("".join(marked)))


def bar(share: float) -> Html:
    """A bar filled by a share from 0 to 1."""
    return Html(f'<span class="bar"><i style="width:{100 * min(max(share, 0.0), 1.0):.1f}%"></i></span>')
