"""Every error that autofit raises on purpose.

Each is one line: what happened, which value, what to do. `cli/` alone turns them into exit codes.

    AutofitError
    ├── UserError            exit 2   bad input or usage; nothing was started, nothing is lost
    ├── DoesNotFitError      exit 3   not even the smallest size fits, after all that was tried
    ├── TrainingFailedError  exit 4   failed for a reason that is not memory
    │   └── StorageError     exit 4   the disk is full or broken; a checkpoint that is there is kept
    └── InterruptedRunError  exit 130 asked to stop; the run can be resumed
"""

from __future__ import annotations

from autofit.printable import one_line, printable

MOST_CHARACTERS = 500


_PATH_ENDS = 60


def _with_a_short_middle(word: str) -> str:
    """A word whose path is long, without the path's middle: what to do about it stands behind it."""
    before, slash, rest = word.partition("/")  # no pattern: a file of the user's could hide the module `re`
    path = slash + rest
    return f"{before}{path[:_PATH_ENDS]}…{path[-_PATH_ENDS:]}" if len(rest) >= 2 * _PATH_ENDS else word


class AutofitError(Exception):
    """Base of all errors that autofit raises on purpose.

    The message has at most `MOST_CHARACTERS`, on one line; what a terminal would act on, as a file's name may have it,
    is written out.
    """

    exit_code = 4

    def __init__(self, message: object = "") -> None:
        text = str(message)
        text = one_line(text) if "\n" in text else printable(text)
        if len(text) > MOST_CHARACTERS:
            text = " ".join(map(_with_a_short_middle, text.split(" ")))
        if len(text) > MOST_CHARACTERS:  # such as with the value of an argument in it
            half = MOST_CHARACTERS // 2 - 1
            text = f"{text[:half]}…{text[-half:]}"  # what to do stands at the end
        super().__init__(text)

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows in place of a traceback: the message says all that the caller can act on."""
        return [f"{type(self).__name__}: {self}"]


class UserError(AutofitError):
    """An input of the user cannot be used: the message names it and says what to do."""

    exit_code = 2


class DoesNotFitError(AutofitError):
    """Not even one image at a time fits into the available memory.

    Attributes:
        why: the message without its advice, for a run that goes on without what does not fit.
    """

    exit_code = 3

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why or str(self)


class TrainingFailedError(AutofitError):
    """The run ended for a reason that is not memory."""

    exit_code = 4


class StorageError(TrainingFailedError):
    """The run directory cannot be written: a full disk or an input/output error."""


class InterruptedRunError(AutofitError):
    """The run was asked to stop, has committed its progress, and can be resumed."""

    exit_code = 130
