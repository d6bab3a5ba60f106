"""`Result`: a run that has ended, with its history, its events, its model, and predictions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from autofit.api.evaluation_result import EvaluationResult
from autofit.api.prediction import evaluated, load_images, predicted, predicted_in_parts
from autofit.api.predictions import Predictions
from autofit.api.predictions_csv import CsvFile, PredictedFile
from autofit.api.result_figures import ResultFigures
from autofit.errors import UserError
from autofit.machine.keras_settings import other_backend
from autofit.printable import printable
from autofit.protocol.messages import BadImage, OomEvent
from autofit.report.model_usage import reading_of
from autofit.report.progress import showing
from autofit.report.run_text import resume_command, run_summary
from autofit.report.views import ProgressView
from autofit.runs.model_worker import output_kind, require_there
from autofit.runs.result_record import AttemptRecord, ResultRecord
from autofit.runs.run_record import RunRecord
from autofit.runs.warm_model import WARM
from autofit.storage.format_version import NewerFormatError
from autofit.storage.run_directory import RunDirectory
from autofit.storage.system_errors import naming_system_errors, said_of
from autofit.storage.user_path import user_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from autofit.api.export_result import ExportResult


class Result(ResultFigures):
    """What `autofit.run()` returns; in a notebook it shows its figures.

    Attributes:
        run_dir: the run directory.
        record: the content of `result.json`.
    """

    def __init__(self, run_dir: str | Path) -> None:
        """Open a run directory.

        Raises:
            UserError: it holds no run that has ended.
        """
        files = RunDirectory(user_path(run_dir, "run_dir").absolute())
        self.run_dir = files.path
        try:
            run = RunRecord.load(files.run)
            super().__init__(files, _ended(files), run)
        except FileNotFoundError:
            if not files.run.is_file():
                raise UserError(f"{self.run_dir} holds no run: give the run directory of one") from None
            again = resume_command(shown_path(self.run_dir))
            raise UserError(f"{self.run_dir} holds no run that has ended: {again}") from None
        except (OSError, ValueError) as error:
            raise UserError(
                said_of(error, f"{self.run_dir} cannot be read", "give the run directory of another run")
            ) from None

    @property
    def status(self) -> str:
        """`completed`, `failed` or `interrupted`."""
        return self.record.status

    @property
    def history(self) -> dict[str, list[float]]:
        """Each metric's value at the end of each epoch, in the form of `keras.callbacks.History.history`."""
        return self.record.history

    @property
    def attempts(self) -> list[AttemptRecord]:
        """The attempts of the run, in order; each is one worker process."""
        return self.record.attempts

    @property
    def oom_events(self) -> list[OomEvent]:
        """The out-of-memory errors from which the run recovered."""
        return self.record.oom_events

    @property
    def quarantined(self) -> list[BadImage]:
        """The images that could not be decoded, and why."""
        return self.record.quarantined

    @property
    def result_changed(self) -> bool:
        """Whether running out of memory changed the result."""
        return self.record.result_changed

    @property
    def warnings(self) -> list[str]:
        """Warnings about what the validation figures do not show; `summary()` has them, too."""
        return self.record.warnings

    @property
    def weights_sha256(self) -> str | None:
        """SHA-256 of all weights at the end of the last epoch, in model order."""
        return self.record.weights_sha256

    @property
    def labels(self) -> list[str]:
        """The same as `class_names`."""
        return self.class_names

    @property
    def model_path(self) -> Path:
        """The path of the best epoch's model; plain `keras.models.load_model` opens it."""
        return self._files.model

    @cached_property
    def model(self) -> Any:
        """The best epoch's model, a `keras.Model` that takes raw 0..255 images; loads Keras into this process."""
        from autofit.worker.model.saved_model import load_saved_model  # noqa: PLC0415 - Keras is imported only on request

        require_there(self.model_path)
        return load_saved_model(self.model_path)

    def summary(self) -> str:
        """The run as text, as the command line shows it at the end."""
        return run_summary(
            self.record,
            labels=self.labels,
            model_path=shown_path(self.model_path),
            outputs=output_kind(self.model_path),
            other_backend=other_backend(),
            reading=reading_of(self._run),
        )

    def predict(self, images: Any, *, views: int = 1, view: ProgressView | None = None) -> Predictions:
        """Predict images in a worker process; they are decoded as in training.

        The worker stays for five minutes to answer further calls at once. It ends with this process, when another run
        or probe begins, and with `close()`. For too many images: `predict_to_csv` and `predict_in_parts`.

        Args:
            images: a path, a folder (all images in it, at any depth, by path), a pattern such as `"new/*.jpg"`, an
                array of one image or of several (uint8, or floating point from 0 to 1 or 0 to 255, told apart),
                a PIL image, the bytes of an image file, a list of these, or a `tf.data.Dataset` or `PyDataset`, whose
                labels do not count and may be missing.
            views: how many views of each image are predicted; the result is the mean of their probabilities. The first
                is the whole image; then come its mirror image, unless the run has `flip` off, and mild crops. The time
                grows in proportion.
            view: shows the progress, as in `run`.

        Returns:
            Probabilities, float32 `(n, classes)`, a NumPy array with `labels`, `confidence`, `paths` and `top(k)`. An
            image that cannot be read has a row of NaN and the label None, is named as it is found, and is listed in
            `unreadable`. With `multi_label` probabilities are independent of each other, and a label is the tuple of
            the names whose probability is at least 0.5.

        Raises:
            UserError: a path does not exist, or the images are something else; nothing was predicted.
            AutofitError: the prediction failed; the message says why.
        """
        return predicted(self.model_path, self._run, images, views, view)

    def predict_in_parts(
        self,
        images: Any,
        *,
        views: int = 1,
        view: ProgressView | None = None,
        go_on: Callable[[str], int] | None = None,
    ) -> Generator[Predictions, None, None]:
        """Predict any number of images in a bounded amount of memory: a few thousand at a time.

        Args:
            images: as in `predict`.
            views: as in `predict`.
            view: as in `predict`.
            go_on: for callers that store the parts and want to go on after a kill: called with a hash of model, images
                and options, it returns how many images an earlier call with that hash has predicted; these are skipped.

        Yields:
            The predictions of a part of the images, as `predict` returns them; the parts are in order.

        Raises:
            As `predict`.
        """
        with naming_system_errors(), showing(view) as shown:
            yield from predicted_in_parts(self.model_path, self._run, images, views, shown, go_on)

    def predict_to_csv(
        self, images: Any, path: str | Path, *, views: int = 1, view: ProgressView | None = None
    ) -> PredictedFile:
        """Predict any number of images into a CSV file, in a bounded amount of memory.

        The file has a row for each image, in order: `path`, `label`, `confidence`, and the probability of each class.
        Several labels of an image are `cat|dog`, or a JSON list where a name has a `|` or begins with `[`; the column
        of a class `path` is `probability of path`. For an image that cannot be read, all cells but the path are empty.
        The file grows as `PATH.part` and gets its name when it is complete. After a kill or Ctrl-C the same call goes
        on after the last part that was written (of up to 4,096 images); with another model, other or changed images or
        other views it begins anew.

        Args:
            images: as in `predict`.
            path: the file; what was there before is replaced at the end.
            views: as in `predict`.
            view: as in `predict`.

        Returns:
            How many images it has, by class, and how many could not be read.

        Raises:
            StorageError: the file cannot be written.
            AutofitError: as `predict`.
        """
        with CsvFile(path) as file, closing(self._parts_after(file, images, views, view)) as parts:
            for part in parts:
                file.add(part)
        return file.summary

    def _parts_after(
        self, file: CsvFile, images: Any, views: int, view: ProgressView | None
    ) -> Generator[Predictions, None, None]:
        return self.predict_in_parts(images, views=views, view=view, go_on=file.go_on)

    def close(self) -> None:
        """End the worker that `predict` and `evaluate` keep for further calls, and free its memory.

        The result can still be used: the next call starts another worker. `with autofit.run(...) as result:` closes it
        at the end of the block.
        """
        WARM.close(self.model_path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def preprocess(self, images: Any) -> NDArray[np.uint8]:
        """Read images as the array that the saved model expects: upright, RGB, stretched to its size as in training.

        `keras.models.load_model(result.model_path).predict(result.preprocess(images))` gives the probabilities of
        `result.predict(images)`. Where there is no run directory, `autofit.load_images` does the same.

        Args:
            images: as in `predict`.

        Returns:
            uint8 `(n, height, width, 3)`, 0 to 255.

        Raises:
            UserError: an image does not exist or cannot be read.
        """
        return load_images(images, self._run.options.image_size, self._run.plan.value_ranges)

    def evaluate(
        self,
        data: Any,
        labels: Iterable[object] | None = None,
        *,
        views: int = 1,
        path_column: str | None = None,
        label_column: str | Sequence[str] | None = None,
        images_in: str | Path | None = None,
        view: ProgressView | None = None,
    ) -> EvaluationResult:
        """Judge the model on images with known classes, in a worker process; unreadable images are left out.

        The worker stays for further calls, as in `predict`.

        Args:
            data: as in `run`: a folder with one subfolder for each class, a CSV or JSON file or a DataFrame with the
                columns `path` and `label`, a list of paths, arrays or PIL images or an array with `labels`, or a
                dataset of pairs. Not every class has to have images.
            labels: for each image its class: the name, or the index in `Result.labels`. If the class names are numbers
                (as they are if the labels of training were numbers), a number is a name. With `multi_label` a list of
                names for each image, or rows of 0 and 1.
            views: as in `predict`.
            path_column: the column of a table that holds the paths, as in `run`.
            label_column: the column of a table that holds the labels, as in `run`.
            images_in: the folder that a table's relative paths are relative to, as in `run`.
            view: shows the progress, as in `run`.

        Raises:
            UserError: lengths differ, a class is unknown to this run, or no image can be read.
            AutofitError: the prediction failed; the message says why.
        """
        figures = evaluated(
            self.model_path,
            self._run,
            data,
            labels,
            views=views,
            path_column=path_column,
            label_column=label_column,
            images_in=images_in,
            view=view,
        )
        return EvaluationResult.of(figures)

    def export(self, format: str = "litert", path: str | Path | None = None, *, int8: bool = False) -> ExportResult:  # noqa: A002 - as in Keras
        """Write the model for another runtime and compare the two on validation images; see `autofit.api.export`.

        Args:
            format: `litert` (phones, Raspberry Pi), `onnx` or `savedmodel` (TensorFlow Serving).
            path: the file, or folder; by default in the run directory.
            int8: LiteRT only: 8-bit integers, a quarter of the size.

        Raises:
            AutofitError: it cannot be exported; the message says why.
        """
        from autofit.api.export import export  # noqa: PLC0415 - it imports this module

        return export(self.run_dir, format, path, int8=int8)

    def to_json(self) -> str:
        """The content of `result.json`."""
        return self.record.to_json().rstrip()

    def __repr__(self) -> str:
        epochs = len(self.history.get("loss", []))
        return printable(f"<autofit.Result {self.status}, {epochs} epoch{'s' if epochs != 1 else ''}, {self.run_dir}>")


def _ended(files: RunDirectory) -> ResultRecord:
    """The content of `result.json`.

    Raises:
        UserError: it is damaged, and can be made again.
        OSError: it cannot be read, or is not there.
        ValueError: a newer autofit wrote it.
    """
    try:
        return ResultRecord.load(files.result)
    except NewerFormatError:
        raise
    except ValueError as error:
        again = resume_command(shown_path(files.path))
        raise UserError(f"{files.result} is damaged ({printable(str(error))}): {again} makes it again") from None


def shown_path(path: Path) -> Path:
    """A path as a person would write it: relative if it is in the working folder; absolute also if that is gone."""
    try:
        here = Path.cwd()
    except OSError:
        return path
    return path.relative_to(here) if path.is_relative_to(here) else path
