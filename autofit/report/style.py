"""The style of pages, and of the same parts in a cell of a notebook; light or dark, as the reader has set it."""

from __future__ import annotations

PARTS = {
    ".lead": "color: var(--soft);",
    ".bad": "color: var(--bad);",
    ".soft": "color: var(--soft);",
    "ul": "padding-left: 1.2rem; overflow-wrap: anywhere;",
    ":is(.error, .notice)": "background: var(--card); border-left: .25rem solid var(--accent); "
    "border-radius: 0 .5rem .5rem 0; margin: 1.25rem 0; padding: .6rem 1rem; overflow-wrap: anywhere;",
    ".error": "border-left-color: var(--bad);",
    ":is(.error, .notice) pre": "background: var(--paper);",
    ".facts": "display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 .75rem;",
    ".facts div": "flex: 1 0 8.5rem; max-width: 18rem; background: var(--card); "
    "border-radius: .5rem; padding: .7rem .9rem;",
    ".facts dt": "color: var(--soft); font-size: .82rem; float: none; width: auto; font-weight: 400;",
    ".facts dd": "margin: 0; display: block; width: auto; padding: 0; font-size: 1.2rem; "
    "font-variant-numeric: tabular-nums; overflow-wrap: anywhere;",
    ".wide": "overflow-x: auto;",
    "table": "border-collapse: collapse; table-layout: auto; width: 100%; font-size: .92rem; "
    "font-variant-numeric: tabular-nums;",
    ":is(th, td)": "text-align: left; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--rule); "
    "vertical-align: top; overflow-wrap: anywhere;",
    "td:not(.number)": "min-width: 6.25rem;",
    "table.pairs": "width: auto; min-width: 60%;",
    ".pairs td:first-child": "color: var(--soft); padding-right: 1.25rem; min-width: 8.5rem;",
    ".pairs td:last-child": "min-width: 11rem;",
    "th": "color: var(--soft); font-weight: 500; white-space: nowrap; overflow-wrap: normal;",
    ":is(td, th).number": "text-align: right;",
    "td.number": "white-space: nowrap;",
    "table.whole td": "overflow-wrap: normal;",
    ".whole .bad": "display: inline-block; min-width: 14rem;",
    "svg": "display: block; width: 100%; height: auto; margin-top: 1rem;",
    ".figures": "display: flex; flex-wrap: wrap; gap: 0 1.5rem;",
    ".figures > div": "flex: 1 1 20rem; max-width: 36rem; min-width: 0;",
    ".chart": "overflow-x: auto;",
    ".chart svg": "min-width: 36rem;",
    ":is(code, pre)": 'font-family: ui-monospace, "DejaVu Sans Mono", monospace;',
    "pre": "background: var(--card); border-radius: .5rem; padding: .8rem 1rem; font-size: .9rem; "
    "white-space: pre-wrap; overflow-wrap: anywhere;",
    ".flag": "white-space: nowrap;",
    ".bar": "display: block; height: .5rem; min-width: 6rem; border-radius: .25rem; background: var(--rule); "
    "margin-top: .5rem;",
    ".bar i": "display: block; height: 100%; border-radius: .25rem; background: var(--accent);",
    ".soft .bar i": "opacity: .5;",
    ".pictures": "display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1rem;",
    ".pictures figure": "margin: 0; width: 9.5rem; font-size: .82rem; overflow-wrap: anywhere;",
    ".pictures img": "display: block; max-width: 100%; max-height: 7rem; border-radius: .25rem;",
    ".pictures figcaption > *": "display: block;",
    ".groups": "display: flex; flex-wrap: wrap; gap: 0 2.5rem;",
    ".cell": "display: inline-block; min-width: 2rem; padding: 0 .3rem; border-radius: .25rem; "
    "background: color-mix(in srgb, var(--accent) calc(.5 * var(--share)), transparent);",
}
"""CSS selectors and their declarations, for the elements that `markup` makes."""

PAGE = """
:root { color-scheme: light dark; --ink: #24292f; --soft: #626b76; --rule: #d9dee4; --paper: #ffffff; --card: #f5f7f9;
  --accent: #2f6fad; --bad: #b93a32; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7ec; --soft: #98a2ae; --rule: #353c45; --paper: #16191d;
  --card: #1f242a; --accent: #6aa7dd; --bad: #ee7f77; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { margin: 0; font-size: 1.65rem; line-height: 1.25; text-wrap: balance; overflow-wrap: anywhere; }
h2, h3 { margin: 2.5rem 0 .75rem; font-size: 1.1rem; border-bottom: 1px solid var(--rule); padding-bottom: .3rem; }
h3 { margin-top: 1.5rem; font-size: 1rem; border-bottom: 0; }
p { margin: .5rem 0; }
footer { margin-top: 3rem; color: var(--soft); font-size: .82rem; }
@media (max-width: 30rem) { body :is(th, td) { padding-right: .5rem; } body td:not(.number) { min-width: 4.5rem; }
  body table { font-size: .86rem; } body .whole td:not(.number) { min-width: 0; } body .whole .bad { min-width: 6rem; }
  body .whole .bar { min-width: 2rem; } body .whole :is(th, td) { padding-right: .4rem; }
  body th { white-space: normal; } body .cell { min-width: 1.4rem; } }
"""

FRAGMENT = """
.autofit { --soft: color-mix(in srgb, currentColor 72%, transparent); --rule: rgba(128, 136, 146, .35);
  --card: rgba(128, 136, 146, .12); --accent: #4a8cc9; --bad: color-mix(in srgb, currentColor 40%, #d0453c);
  max-width: 62rem; }
.autofit * { box-sizing: border-box; }
"""
"""Colours that are mixed from the notebook's own, since a notebook does not say whether it is light or dark."""


def _rules(within: str) -> str:
    return "".join(f"{within}{selector} {{ {rules} }}\n" for selector, rules in PARTS.items())


PAGE_STYLE = PAGE + _rules("")
FRAGMENT_STYLE = FRAGMENT + _rules(".autofit.autofit ")
"""The class stands twice, so that the rules outrank a notebook's, such as JupyterLab's `.jp-RenderedHTMLCommon dt`."""
