"""Every file of a run, named once."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autofit.errors import StorageError, UserError
from autofit.printable import printable
from autofit.storage.attempt_directory import AttemptDirectory
from autofit.storage.system_errors import explained

__all__ = ["AttemptDirectory", "RunDirectory", "writing_in"]

_MOST_DIGITS = 8
"""The most digits of an attempt's number."""

RUNS_FOLDER = "runs"
"""The folder, in the working folder, for runs to which the user gives no run directory."""

OTHER_FEATURES = ("views", "fine-tune", "refit")
"""The stages that have features of their own: those of augmented views, or the activations at a cut."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Everything that one run reads and writes."""

    path: Path

    @property
    def run(self) -> Path:
        """The request, validated, and the plan."""
        return self.path / "run.json"

    @property
    def probe(self) -> Path:
        """The probe's report."""
        return self.path / "probe.json"

    @property
    def fine_tune_probe(self) -> Path:
        """The report of the probe for fine-tuning."""
        return self.path / "probe-fine-tune.json"

    @property
    def images(self) -> Path:
        """The folder of images that were given in memory."""
        return self.path / "images"

    @property
    def samples(self) -> Path:
        """The images in their order, one row each: index, path, label, split."""
        return self.path / "samples.csv"

    @property
    def checkpoints(self) -> Path:
        """The generations of checkpoints."""
        return self.path / "checkpoints"

    @property
    def audit(self) -> Path:
        """The audit log: a line for each applied update."""
        return self.path / "audit.jsonl"

    @property
    def features(self) -> Path:
        """The record of the head's features: which cache entries hold them, and how they were computed."""
        return self.features_of("head")

    def features_of(self, stage: str) -> Path:
        """The record of the features of a stage."""
        return self.path / (f"features-{stage}.json" if stage in OTHER_FEATURES else "features.json")

    def feature_records(self) -> tuple[Path, ...]:
        """The records of the features of all stages."""
        return self.features, *map(self.features_of, OTHER_FEATURES)

    @property
    def history(self) -> Path:
        """The figures of the epochs, one row each."""
        return self.path / "history.csv"

    @property
    def model(self) -> Path:
        """The best epoch's model, ready to use."""
        return self.path / "model.keras"

    @property
    def validation(self) -> Path:
        """The best epoch's probabilities for the validation images; not those of a refit, which trains on them."""
        return self.path / "validation.npy"

    @property
    def test(self) -> Path:
        """The probabilities for the test images by the final model."""
        return self.path / "test.npy"

    @property
    def equal_images(self) -> Path:
        """The groups of images that are equal byte for byte, if there are any and the features are cached."""
        return self.path / "equal-images.json"

    @property
    def doubts(self) -> Path:
        """The training images, the most doubtful labels first, if the run looks for wrong labels."""
        return self.path / "doubts.npz"

    @property
    def labels(self) -> Path:
        """The class names in the order of the model's outputs."""
        return self.path / "labels.json"

    @property
    def report(self) -> Path:
        """The HTML page."""
        return self.path / "report.html"

    @property
    def result(self) -> Path:
        """How the run ended."""
        return self.path / "result.json"

    def outputs(self) -> tuple[Path, ...]:
        """What a run writes for its user, and a mirror copies: a folder that has one of these is no empty one."""
        saved = self.model, self.labels, self.validation, self.test
        return (*saved, self.audit, self.history, self.report, self.result)

    def attempts(self) -> list[AttemptDirectory]:
        """The attempts so far, oldest first.

        Raises:
            StorageError: their folder cannot be read.
        """
        folder = self.path / "attempts"
        try:
            names = [entry.name for entry in folder.iterdir() if not entry.is_symlink()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(explained(error, f"{folder} cannot be read")) from error
        numbered = [name for name in names if name.isascii() and name.isdigit() and len(name) <= _MOST_DIGITS]
        return [AttemptDirectory(folder / name) for name in sorted(numbered, key=int)]

    def new_attempt(self) -> tuple[int, AttemptDirectory]:
        """Make the folder of the next attempt; attempts count from one.

        Raises:
            StorageError: it cannot be made.
        """
        with writing_in(self.path):
            earlier = self.attempts()
            number = int(earlier[-1].path.name) + 1 if earlier else 1
            path = self.path / "attempts" / f"{number:04d}"
            path.mkdir(parents=True)
        return number, AttemptDirectory(path)

    def refuse_links_out(self) -> None:
        """Refuse a run directory with entries through which something outside of it would be read or written.

        Through a link that leads out of it, or a hard link to the audit log, another file would be written or
        truncated; at a named pipe the process would wait.

        Raises:
            UserError: there is such an entry, or the directory cannot be read.
        """
        try:
            entries = sorted(self.path.iterdir())
            links = [entry for entry in entries if entry.is_symlink()]
            for entry in entries:
                _refuse_special(entry)
            attempts = self.path / "attempts"
            for entry in sorted(attempts.iterdir()) if attempts.is_dir() and attempts not in links else ():
                if entry.is_symlink():
                    raise UserError(f"{printable(str(entry))} is a link where an attempt has a folder: remove it")
            if self.audit not in links and self.audit.exists() and self.audit.stat().st_nlink > 1:
                raise UserError(
                    f"{self.audit} is a hard link, and the other file would change with it: put a copy in its place"
                )
        except OSError as error:
            raise UserError(explained(error, f"{self.path} cannot be read")) from None
        home = os.path.realpath(self.path)
        for link in links:
            if not Path(os.path.realpath(link)).is_relative_to(home):
                raise UserError(f"{link} is a link that leads out of the run directory: put the file itself there")

    def create(self) -> None:
        """Make the directory itself.

        Raises:
            UserError: it cannot be made there.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(explained(error, f"run directory {self.path} cannot be made")) from None


def _refuse_special(path: Path) -> None:
    """Refuse a pipe, a socket or a device.

    Raises:
        UserError: it is one.
        OSError: it cannot be looked at.
    """
    mode = path.lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
        raise UserError(f"{printable(str(path))} is a pipe, a socket or a device, and no file: remove it")


@contextlib.contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Turn an OSError of the block, which writes files of a run, into a StorageError.

    Raises:
        StorageError: a file could not be written.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(explained(error, f"{folder} cannot be written")) from error
