"""The one line of an error: short enough for a terminal, and with what to do."""

from __future__ import annotations

import errno
import pickle

from autofit.errors import MOST_CHARACTERS, AutofitError, DoesNotFitError, StorageError
from autofit.storage.system_errors import REMEDIES, explained


def test_a_long_path_is_shortened_and_not_what_to_do() -> None:
    """The advice, or the cause, would be cut out of the line, and a path without end be left."""
    path = "/runs/" + "/".join(["a" * 200] * 20) + "/checkpoints"
    text = str(StorageError(explained(OSError(errno.EACCES, "Permission denied"), f"{path} cannot be written")))
    assert text.endswith(f"/checkpoints cannot be written (Permission denied): {REMEDIES[errno.EACCES]}")
    assert text.startswith("/runs/aaa")
    assert len(text) <= MOST_CHARACTERS


def test_what_is_long_without_a_path_keeps_both_ends() -> None:
    """The value of an argument would push out what to do about it."""
    text = str(AutofitError(f"layers is {list(range(1000))}: give a number"))
    assert text.startswith("layers is [0, 1")
    assert text.endswith(": give a number")
    assert len(text) <= MOST_CHARACTERS


def test_a_line_that_fits_is_left_alone() -> None:
    """A path that a user has to copy would be useless."""
    line = f"/{'a' * 300} cannot be written"
    assert str(AutofitError(line)) == line


def test_what_does_not_fit_has_a_reason_of_its_own() -> None:
    """A run that goes on without its fine-tuning would advise what nobody has to do."""
    error = DoesNotFitError("not even one image: take a smaller one", "not even one image")
    assert (str(error), error.why) == ("not even one image: take a smaller one", "not even one image")
    assert DoesNotFitError("not even one image").why == "not even one image"
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - as a cluster's worker would send it
    assert (type(again), str(again), again.why) == (DoesNotFitError, str(error), error.why)
