"""The HTML elements of a page, which is self-contained: no scripts, no network requests.

File and class names are untrusted. `Html` is a type of its own: only `escaped` makes it from a plain string, escaped,
so the type checker finds any place where unescaped text would enter.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NewType

from autofit.printable import printable

Html = NewType("Html", str)

MAX_ROWS = 500
"""The most rows in a table: ten thousand broken images must not make a page too large for a browser."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Content security policy: even if some text were not escaped, the browser would load and run nothing."""

STYLE = """
:root { color-scheme: light dark; --ink: #24292f; --soft: #6b7480; --rule: #d9dee4; --paper: #ffffff; --card: #f5f7f9;
  --accent: #2f6fad; --bad: #b93a32; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7ec; --soft: #98a2ae; --rule: #353c45; --paper: #16191d;
  --card: #1f242a; --accent: #6aa7dd; --bad: #ee7f77; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { margin: 0; font-size: 1.65rem; line-height: 1.25; }
h2, h3 { margin: 2.5rem 0 .75rem; font-size: 1.1rem; border-bottom: 1px solid var(--rule); padding-bottom: .3rem; }
h3 { margin-top: 1.5rem; font-size: 1rem; border-bottom: 0; }
p { margin: .5rem 0; } .lead { color: var(--soft); } .bad { color: var(--bad); } .soft { color: var(--soft); }
ul { padding-left: 1.2rem; }
.facts { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 0; }
.facts div { flex: 1 0 8.5rem; background: var(--card); border-radius: .5rem; padding: .7rem .9rem; }
.facts dt { color: var(--soft); font-size: .82rem; }
.facts dd { margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--rule); vertical-align: top;
  overflow-wrap: anywhere; }
table.pairs { width: auto; min-width: 60%; } .pairs td:first-child { color: var(--soft); padding-right: 2rem; }
th { color: var(--soft); font-weight: 500; white-space: nowrap; } td.number, th.number { text-align: right; }
td.number { white-space: nowrap; } table.whole td { overflow-wrap: normal; }
.whole .bad { display: inline-block; min-width: 14rem; }
svg { display: block; width: 100%; height: auto; margin-top: 1rem; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: var(--card); border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto; font-size: .9rem; }
.bar { display: block; height: .5rem; min-width: 6rem; border-radius: .25rem; background: var(--rule);
  margin-top: .5rem; }
.soft .bar i { opacity: .5; }
.bar i { display: block; height: 100%; border-radius: .25rem; background: var(--accent); }
footer { margin-top: 3rem; color: var(--soft); font-size: .82rem; }
"""


def escaped(plain: str) -> Html:
    """Any text as HTML that shows it: the only way to make `Html` from a string."""
    return Html(html.escape(printable(plain)))


def join(parts: Iterable[Html]) -> Html:
    """Parts one below the other."""
    return Html("\n".join(parts))


def element(tag: str, body: Html, kind: str = "") -> Html:
    """An element; `tag` and `kind` are constants of this package, never user input."""
    attribute = f' class="{kind}"' if kind else ""
    return Html(f"<{tag}{attribute}>{body}</{tag}>")


def document(title: str, sections: Sequence[Html]) -> str:
    """The whole page."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escaped(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{join(sections)}
<footer>Made by autofit. GB is 10<sup>9</sup> bytes.</footer>
</body>
</html>
"""


def section(title: str, body: Html, level: int = 2) -> Html:
    """A section with a heading; nothing if the body is empty."""
    return join([element(f"h{level}", escaped(title)), body]) if body else Html("")


def cards(facts: Iterable[tuple[str, str]]) -> Html:
    """A few highlighted figures: a name and a value each."""
    boxes = (element("div", Html(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>")) for name, value in facts)
    return element("dl", join(boxes), "facts")


def bullets(lines: Iterable[str]) -> Html:
    """A list of sentences; nothing if there are none."""
    items = [element("li", escaped(line)) for line in lines]
    return element("ul", join(items)) if items else Html("")


def table(headers: Sequence[str], rows: Sequence[Sequence[Html]], numbers: int = 0, kind: str = "") -> Html:
    """A table whose last `numbers` columns are figures; cut at `MAX_ROWS` with a note.

    Without headers it is a list of names and values. In a table of the kind `whole` no word is
    broken, however long.
    """
    if not rows:
        return Html("")
    first_number = len(rows[0]) - numbers
    head = _row("th", [escaped(header) for header in headers], first_number) if headers else Html("")
    body = [_row("td", row, first_number) for row in rows[:MAX_ROWS]]
    more = element("p", escaped(f"and {len(rows) - MAX_ROWS:,} more."), "lead") if len(rows) > MAX_ROWS else Html("")
    return join([element("div", element("table", join([head, *body]), kind if headers else "pairs"), "wide"), more])


def _row(tag: str, cells: Sequence[Html], first_number: int) -> Html:
    marked = (element(tag, cell, "number" if place >= first_number else "") for place, cell in enumerate(cells))
    return element("tr", Html("".join(marked)))


def bar(share: float) -> Html:
    """A bar filled by a share from 0 to 1."""
    return Html(f'<span class="bar"><i style="width:{100 * min(max(share, 0.0), 1.0):.1f}%"></i></span>')
