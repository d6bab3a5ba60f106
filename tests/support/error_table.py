"""Print the tables of docs/promises.md: which errors of the system, in which pieces of work, with which outcomes.

python -m tests.support.error_table [PIECE ...]

Each PIECE is a part of a name; without one all pieces are done. A row is printed as soon as its piece is done; what
fails, on stderr.
"""

# ruff: noqa: T201 - its output is for people

from __future__ import annotations

import errno
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from tests.support.error_cases import OUTCOMES, Bench
from tests.support.given_run import given_run
from tests.support.pieces_of_work import PIECES, Piece

RULE = "|---" * (3 + len(OUTCOMES)) + "|"


def main(parts: Collection[str]) -> int:
    """Try all cases, and print the outcomes by piece of work and by error; returns the number of failures."""
    by_error: dict[str, Counter[str]] = defaultdict(Counter)
    failures = 0
    _print_row("piece of work", "places", "cases", OUTCOMES)
    print(RULE)
    with tempfile.TemporaryDirectory() as name:
        given_run(Path(name) / "given", ends="complete")
        bench = Bench(Path(name))
        for piece in PIECES:
            if not parts or any(part in piece.name for part in parts):
                failures += _tried(bench, piece, by_error)
    print()
    _print_row("error", "cases", None, OUTCOMES)
    print(RULE.removesuffix("---|"))
    for error, counts in sorted(by_error.items()):
        _print_row(error, str(counts.total()), None, (counts[outcome] for outcome in OUTCOMES))
    return failures


def _tried(bench: Bench, piece: Piece, by_error: dict[str, Counter[str]]) -> int:
    """Try the cases of one piece of work, print its row, and return how many failed."""
    counts, places, failures = Counter[str](), set[object](), 0
    cases = list(bench.cases(piece))
    for case in cases:
        try:
            outcome = bench.outcome(case)
        except (AssertionError, OSError, RuntimeError) as error:
            failures += 1
            print(f"{case}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            continue
        if outcome:
            counts[outcome] += 1
            by_error[errno.errorcode[case.code]][outcome] += 1
            places.add(case.call)
    met = f"{counts.total():,} of {len(cases):,}"
    _print_row(piece.name, str(len(places)), met, (counts[outcome] for outcome in OUTCOMES))
    return failures


def _print_row(name: str, first: str, second: str | None, others: Iterable[object]) -> None:
    cells = [name, first, *([second] if second is not None else []), *map(str, others)]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
