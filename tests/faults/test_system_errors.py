"""Each error of the system at each place where the parent calls it: told with its meaning, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autofit.profiles.store import ProfileStore
from tests.support.error_cases import OUTCOMES, Bench
from tests.support.given_run import given_run
from tests.support.pieces_of_work import PIECES, Piece

SHARE = 15
"""Cases of each piece of work in `make test`."""

SECONDS_BETWEEN_SIGNALS = 0.0005
STORMS = 10

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


@contextlib.contextmanager
def a_storm_of_signals() -> Iterator[Counter[str]]:
    """Interrupt this thread two thousand times a second, as a profiler does; calls are not restarted by the kernel."""
    arrived = Counter[str]()

    def note(_number: int, _frame: object) -> None:
        arrived["signals"] += 1

    before = signal.signal(signal.SIGALRM, note)
    signal.siginterrupt(signal.SIGALRM, True)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_BETWEEN_SIGNALS, SECONDS_BETWEEN_SIGNALS)
    try:
        yield arrived
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES, ids=[piece.name for piece in PIECES])
def test_a_storm_of_signals_changes_nothing(
    piece: Piece, bench: Bench, count: Callable[..., None], *, whole: bool
) -> None:
    """A profiler's timer, or a library's, would end what goes on: calls that C code makes may not be repeated."""
    expected, quiet = bench.undisturbed(piece)
    for _ in range(STORMS if whole else 1):
        count(promise=20)
        with a_storm_of_signals() as arrived:
            came, said = bench.undisturbed(piece)
        piece.assert_whole(bench.work)
        assert came == expected
        assert len(said) == len(quiet)
        assert arrived["signals"] > 0


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
