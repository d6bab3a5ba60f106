"""Each error of the system at each place where a piece of work calls it: what came of it, as one of a few outcomes."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autofit.errors import MOST_CHARACTERS, AutofitError
from autofit.storage.system_errors import remedy
from tests.support.injected_errors import ERRORS, Call, Injector, injecting
from tests.support.pieces_of_work import Piece

GOES_ON, WITH_A_LINE, DONE_AGAIN, REFUSED = "goes on", "goes on, with a line", "done again", "ends with its line"
OUTCOMES = (GOES_ON, WITH_A_LINE, DONE_AGAIN, REFUSED)


@dataclass(frozen=True, slots=True)
class Case:
    """An error at one call of a piece of work."""

    piece: Piece
    call: Call
    occurrence: int
    code: int
    for_good: bool = False

    def __str__(self) -> str:
        name = errno.errorcode[self.code]
        return f"{self.piece.name}: {name} at {self.call.kind} {self.occurrence} in {self.call.place}:{self.call.line}"


class Bench:
    """A folder with what each piece of work needs, and what comes of it without an error."""

    def __init__(self, folder: Path) -> None:
        """Take a folder that has a finished run in `given`."""
        self._folder = folder
        self._expected: dict[str, object] = {}

    def cases(self, piece: Piece) -> Iterator[Case]:
        """Each error that may come, at the first and the last call of each place, once and for good."""
        self._prepare(piece)
        self._do(piece, Injector())  # what is imported at the first time is no part of it
        injector = Injector()
        self._expected[piece.name], _ = self._do(piece, injector)
        for call, times in injector.calls.items():
            for code in ERRORS[call.kind]:
                yield Case(piece, call, 1, code)
                if code != errno.ELOOP:  # a link stands at one place
                    yield Case(piece, call, 1, code, for_good=True)
                if times > 1:
                    yield Case(piece, call, times, code)

    @property
    def work(self) -> Path:
        """Where the last piece of work was done."""
        return self._folder / "work"

    def undisturbed(self, piece: Piece) -> tuple[object, list[str]]:
        """Do a piece of work without an error; what came of it, and what was said."""
        self._prepare(piece)
        return self._do(piece, Injector())

    def _prepare(self, piece: Piece) -> None:
        prepared = self._folder / "prepared"
        shutil.rmtree(prepared, ignore_errors=True)
        piece.prepare(prepared)

    def outcome(self, case: Case) -> str | None:
        """What came of an error; None where the call was not made this time.

        Raises:
            AssertionError: the error is not told, or not rightly; or something is lost that was complete.
        """
        injector = Injector(case.call, case.occurrence, case.code, case.for_good)
        came, said = self._do(case.piece, injector)
        if not injector.was_hit:
            return None
        case.piece.assert_whole(self.work)
        told = _told(said, case.code)
        if isinstance(came, AutofitError):
            _require_line(str(came), case.code)
            return REFUSED
        if came == self._expected[case.piece.name]:
            return WITH_A_LINE if told else GOES_ON
        if case.piece.may_be(came):
            return DONE_AGAIN
        assert told, f"{came!r} instead of {self._expected[case.piece.name]!r}, and nothing is said but {said}"
        if isinstance(came, tuple) and isinstance(came[0], int) and came[0] and len(said):
            _require_line(said[-1], case.code)
            return REFUSED
        return WITH_A_LINE

    def _do(self, piece: Piece, injector: Injector) -> tuple[object, list[str]]:
        work, said = self.work, list[str]()
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self._folder / "prepared", work)
        with injecting(injector):
            try:
                return piece.do(work, said), said
            except AutofitError as error:
                return error, said


def _told(said: list[str], code: int) -> bool:
    for line in said:
        assert "defect of autofit" not in line, line
        assert "Traceback" not in line, line
    return any(os.strerror(code) in line or "cannot lock" in line for line in said)


def _require_line(text: str, code: int) -> None:
    """Check that a line has the error's meaning, and what to do that fits it."""
    assert "\n" not in text
    assert len(text) <= MOST_CHARACTERS
    assert os.strerror(code) in text, f"no meaning: {text}"
    assert remedy(OSError(code, "")) in text, f"nothing to do about it: {text}"
    assert "defect of autofit" not in text, text
    assert text.count("checkpoint is kept") <= 1, text
