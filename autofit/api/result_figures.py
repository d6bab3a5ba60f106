"""What a `Result` shows of its model: curves, the confusion matrix, the figures of each class, the worst images."""

from __future__ import annotations

import io
import shutil
from array import array
from pathlib import Path
from typing import Any, Literal, NamedTuple

from autofit.api.directories import absolute
from autofit.api.display import ClassReport, ConfusionMatrix, Plot, WorstImages
from autofit.config.validators import choice, whole_number
from autofit.dataset import ImageIndex
from autofit.errors import StorageError, UserError
from autofit.protocol.epoch_stages import stages_of_epochs
from autofit.report.plots import history_plot
from autofit.report.result_card import result_card
from autofit.runs.history import best_epoch, finished_epochs
from autofit.runs.multi_label_evaluation import label_figures
from autofit.runs.predicted_images import PredictedImages, readable
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord, listed_images
from autofit.storage.probabilities import read_probabilities
from autofit.storage.run_directory import RunDirectory
from autofit.storage.safe_files import file_of_user, open_plain
from autofit.storage.system_errors import said_of

Split = Literal["validation", "test"]
SPLITS = ("validation", "test")


class _KeptPredictions(NamedTuple):
    """The predictions that a run has kept for a split: images, labels, and probabilities, float32 (n, classes)."""

    images: ImageIndex
    paths: list[str]
    labels: array[int]
    rows: Any


class ResultFigures:
    """The base class of `Result` that reads the stored predictions of a run; nothing here loads TensorFlow.

    Args:
        files: the run directory.
        record: the content of `result.json`.
        run: the content of `run.json`.

    Attributes:
        record: as given.
    """

    def __init__(self, files: RunDirectory, record: ResultRecord, run: RunRecord) -> None:
        self._files, self.record, self._run = files, record, run
        self._read: dict[str, PredictedImages] = {}

    @property
    def run_record(self) -> RunRecord:
        """The content of `run.json`."""
        return self._run

    @property
    def class_names(self) -> list[str]:
        """The class names, in the order of the model's outputs."""
        return list(self._run.data.class_names)

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have any number of labels; probabilities are then independent of each other."""
        return self._run.options.multi_label

    @property
    def epoch_stages(self) -> list[str]:
        """The stage of each epoch of `history`: `head`, `views` or `fine-tune`; `training` if there are no stages.

        A refit, which repeats the fine-tuning on all images, has no epochs in the history.
        """
        last = self.record.attempts[-1].stage if self.record.attempts else ""
        return [*stages_of_epochs(finished_epochs(self.record.history), self.record.stages, last or "training")]

    @property
    def best_epoch(self) -> int | None:
        """The epoch, from zero, whose model was the best by validation; None before one was finished."""
        return best_epoch(self.record.history, self.record.best_epoch)

    def plot(self) -> Plot:
        """Loss and accuracy over the epochs as a picture.

        Raises:
            UserError: no epoch was finished.
        """
        if not self.record.history:
            raise UserError("no epoch of this run was finished: there is nothing to plot")
        buffer = io.BytesIO()
        history_plot(self.record.history, buffer, self.record.best_epoch, self.record.stages)
        return Plot(buffer.getvalue())

    def confusion_matrix(self, split: Split = "validation") -> ConfusionMatrix:
        """How many images of each true class the model predicted as each class.

        The predictions for the validation images are those of the best epoch, before any refit on all images.

        Args:
            split: `"validation"` or `"test"`.

        Raises:
            UserError: the run has no such images, or has kept no predictions of them.
        """
        images = self.predicted_images(split)
        return ConfusionMatrix(images.confusion_counts(), images.class_names, f"{len(images):,} {split} images")

    def per_class(self, split: Split = "validation") -> ClassReport:
        """Precision, recall and F1 of each class, in the order of the model's outputs; see `confusion_matrix`."""
        if self.is_multi_label:
            kept = self._kept_predictions(choice("split", split, SPLITS))
            sets = [kept.images.classes_of(label) for label in kept.labels]
            return ClassReport(label_figures(kept.rows, sets, self.class_names))
        return ClassReport(self.predicted_images(split).class_figures())

    def worst(self, n: int = 9, split: Split = "validation") -> WorstImages:
        """The n images whose true class got the lowest probability, as pictures in a notebook; see `confusion_matrix`.

        They are mistakes of the model, or wrong labels.
        """
        return WorstImages(self.predicted_images(split).worst(whole_number("n", n, 1)))

    def save(self, path: str | Path) -> Path:
        """Copy the model to a file, whose name ends in `.keras`; returns its path.

        Raises:
            UserError: the run has no model yet, or the name has another ending.
            StorageError: the file cannot be written.
        """
        target = absolute(path)
        if target.suffix != ".keras":
            raise UserError(f"{target.name} does not end in .keras, the only format of a whole model: name it so")
        if not self._files.model.is_file():
            raise UserError(f"this run has no model yet ({self.record.status}): finish it first")
        try:
            with open_plain(self._files.model) as model, file_of_user(target) as copy:
                shutil.copyfileobj(model, copy)
        except OSError as error:
            raise StorageError(said_of(error, f"{target} cannot be written", "give another path")) from None
        return target

    def predicted_images(self, split: Split = "validation") -> PredictedImages:
        """The images of a split with their classes and the model's probabilities; see `confusion_matrix`."""
        split = choice("split", split, SPLITS)
        if self.is_multi_label:
            raise UserError(
                "images of this run have several labels each, and are not right or wrong as a whole: "
                "per_class() gives the figures of each label"
            )
        if split not in self._read:
            self._read[split] = self._read_predictions(split)
        return self._read[split]

    def _read_predictions(self, split: str) -> PredictedImages:
        kept = self._kept_predictions(split)
        images = readable(kept.paths, kept.labels, kept.rows, kept.images.class_names)
        if not images:
            raise self._no_predictions(split)
        return images

    @property
    def images(self) -> ImageIndex:
        """The images of the run with their classes and splits; no image is opened.

        Raises:
            UserError: their list cannot be read.
        """
        return listed_images(self._files, self._run.data)

    def _kept_predictions(self, split: str) -> _KeptPredictions:
        index = self.images
        if split == "validation":
            file, first = self._files.validation, index.validation_from
            paths, labels = [index.path(number) for number in range(first, len(index.paths))], index.labels[first:]
        else:
            file, labels = self._files.test, index.test_labels
            paths = [index.test_path(number) for number in range(index.test_count)]
        if not paths:
            raise UserError(f"this run has no {split} images: evaluate(folder) judges the model by other images")
        rows = read_probabilities(file, len(paths), len(index.class_names))
        if rows is None:
            raise self._no_predictions(split)
        return _KeptPredictions(index, paths, labels, rows)

    def _no_predictions(self, split: str) -> UserError:
        return UserError(
            f"{self._files.path} has no predictions of the {split} images: evaluate(folder) judges the model anew"
        )

    def _repr_html_(self) -> str:
        places = {"run_dir": self._files.path, "model_path": self._files.model}
        return result_card(self.record, **places, has_worst=self._files.validation.is_file())
