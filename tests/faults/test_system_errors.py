"""Each error of the system at each place where the parent calls it: told with its meaning, and nothing is lost."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.profiles.store import ProfileStore
from tests.support.error_cases import OUTCOMES, Bench
from tests.support.given_run import given_run
from tests.support.pieces_of_work import PIECES, Piece

SHARE = 15
"""Cases of each piece of work in `make test`."""

LEAST_CALLS = 20
"""Fewer would mean that the calls are not seen."""


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A folder with a finished run, and room to work in."""
    folder = tmp_path_factory.mktemp("bench")
    given_run(folder / "given", ends="complete")
    return Bench(folder)


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES, ids=[piece.name for piece in PIECES])
def test_each_error_at_each_call_is_told_and_loses_nothing(
    piece: Piece, bench: Bench, count: Callable[..., None], *, whole: bool
) -> None:
    """A drive without locks, a refused chmod or a full table of files would be a traceback, or cost a checkpoint."""
    cases = list(bench.cases(piece))
    assert len(cases) > LEAST_CALLS
    failed = []
    for case in cases if whole else random.Random(0).sample(cases, min(SHARE, len(cases))):
        count(promise=20)
        try:
            came = bench.outcome(case)
        except (AssertionError, OSError, RuntimeError) as error:
            failed.append(f"{case}: {type(error).__name__}: {error}")
        else:
            assert came is None or came in OUTCOMES
    assert failed == []


def test_an_error_that_is_not_told_is_found(bench: Bench) -> None:
    """The table would be of errors that nobody has injected."""
    piece = Piece("a page is read", lambda folder: folder.mkdir(), lambda folder, _: read_untold(folder))
    (case, *_) = (case for case in bench.cases(piece) if case.code == errno.EACCES)
    with pytest.raises(AssertionError, match="nothing is said"):
        bench.outcome(case)


def read_untold(folder: Path) -> object:
    """Read a profile's folder, and keep an error to itself."""
    (folder / "profiles").mkdir()
    (folder / "profiles" / "a.json").write_text("{}")
    warned: list[str] = []
    ProfileStore(folder / "profiles", None, warned.append).load()
    return len(warned), [line.partition("(")[2][:20] for line in warned]
