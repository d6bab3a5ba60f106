"""Print the table of docs/promises.md: which errors of the system, in which pieces of work, with which outcomes.

python -m tests.support.error_table
"""

# ruff: noqa: T201 - its output is for people

from __future__ import annotations

import errno
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from tests.support.error_cases import OUTCOMES, Bench
from tests.support.given_run import given_run
from tests.support.pieces_of_work import PIECES, Piece


def main() -> None:
    """Try all cases, and print the outcomes by piece of work and by error."""
    by_piece: dict[str, Counter[str]] = {}
    by_error: dict[str, Counter[str]] = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as name:
        given_run(Path(name) / "given", ends="complete")
        bench = Bench(Path(name))
        for piece in PIECES:
            by_piece[piece.name] = _tried(bench, piece, by_error)
    for heading, rows in (("piece of work", by_piece), ("error", dict(sorted(by_error.items())))):
        print(f"| {heading} | places | cases | {' | '.join(OUTCOMES)} |")
        print("|---|---|---|" + "---|" * len(OUTCOMES))
        for row, counts in rows.items():
            numbers = [counts["places"], sum(counts[outcome] for outcome in OUTCOMES)]
            numbers += [counts[outcome] for outcome in OUTCOMES]
            print(f"| {row} | {' | '.join(f'{number:,}' for number in numbers)} |")
        print()


def _tried(bench: Bench, piece: Piece, by_error: dict[str, Counter[str]]) -> Counter[str]:
    counts, places = Counter[str](), set[object]()
    of_error: dict[str, set[object]] = defaultdict(set)
    for case in list(bench.cases(piece)):
        try:
            outcome = bench.outcome(case)
        except (AssertionError, OSError) as error:
            print(f"{case}: {error}", file=sys.stderr)
            continue
        if outcome:
            counts[outcome] += 1
            name = errno.errorcode[case.code]
            by_error[name][outcome] += 1
            places.add(case.call)
            of_error[name].add(case.call)
    counts["places"] = len(places)
    for name, calls in of_error.items():
        by_error[name]["places"] += len(calls)
    return counts


if __name__ == "__main__":
    main()
