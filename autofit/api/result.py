"""`Result`: a run that has ended, with its history, its events, its model, and predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autofit.api.own_objects import code_to_open
from autofit.api.result_figures import ResultFigures
from autofit.config.run_options import MOST_VIEWS
from autofit.config.validators import whole_number
from autofit.dataset.labelled import labelled_images
from autofit.dataset.labelled_sets import labelled_sets
from autofit.errors import UserError
from autofit.process.launch import Launcher, ProcessLauncher
from autofit.protocol.messages import BadImage, OomEvent
from autofit.report.progress import progress_view
from autofit.report.run_text import run_summary
from autofit.runs.evaluation import Evaluation, evaluation
from autofit.runs.multi_label_evaluation import multi_label_evaluation
from autofit.runs.prediction import predict_paths
from autofit.runs.result_record import AttemptRecord, ResultRecord
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import RunDirectory
from autofit.worker.inline_launcher import InlineLauncher

if TYPE_CHECKING:
    import numpy as np

    from autofit.runs.export import Export


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
        files = RunDirectory(Path(run_dir).expanduser().absolute())
        self.run_dir = files.path
        try:
            super().__init__(files, ResultRecord.load(files.result), RunRecord.load(files.run))
        except FileNotFoundError:
            raise UserError(f"{self.run_dir} holds no run that has ended: autofit resume {self.run_dir}") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{self.run_dir} cannot be read: {error}") from None

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
        """What the figures of the validation do not show, in words, as `summary()` says it too."""
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

        return load_saved_model(self.model_path)

    def summary(self) -> str:
        """The run in words, as the command line shows it at the end."""
        return run_summary(self.record, labels=self.labels, model_path=shown_path(self.model_path))

    def predict(self, paths: str | Path | Iterable[str | Path], *, views: int = 1) -> np.ndarray:
        """Predict images in a worker process; they are decoded as in training.

        Args:
            paths: one file or several.
            views: how many views of each image are predicted, with the mean of their probabilities as the answer. The
                first is the whole image, then come its mirror image, unless the run has `flip` off, and mild crops. It
                takes so many times longer.

        Returns:
            Probabilities, float32 `(n, classes)`; a row of NaN for an image that cannot be read. With
            `multi_label` they are independent of each other.

        Raises:
            AutofitError: the prediction failed; the message says why.
        """
        return self._predict([paths] if isinstance(paths, str | Path) else list(paths), views)[0]

    def evaluate(
        self,
        data: str | Path | Iterable[object],
        labels: Iterable[object] | None = None,
        *,
        views: int = 1,
    ) -> Evaluation:
        """Judge the model on images with known classes, in a worker process; unreadable images are left out.

        Args:
            data: as in `run`: a folder with one subfolder for each class, a CSV file or a DataFrame with the columns
                `path` and `label`, or a list of paths with `labels`. Not every class has to have images.
            labels: for each path its class: the name, or the index in `Result.labels`. If the class names are numbers
                (as they are if the labels of training were numbers), a number is a name. With `multi_label` a list of
                names for each path, or rows of 0 and 1.
            views: as in `predict`.

        Raises:
            UserError: lengths differ, a class is unknown to this run, or no image can be read.
            AutofitError: the prediction failed; the message says why.
        """
        if self._run.options.multi_label:
            sets = labelled_sets(data, labels, self.labels)
            rows, unreadable = self._predict(sets.paths, views)
            figures = multi_label_evaluation(rows, sets.numbers, self.labels, unreadable, views)
        else:
            images = labelled_images(data, labels, self.labels)
            rows, unreadable = self._predict(images.paths, views)
            figures = evaluation(rows, images.numbers, self.labels, unreadable, views)
        if figures is None:
            raise UserError(f"none of these {len(rows)} images can be read: give others")
        return figures

    def export(self, format: str = "litert", path: str | Path | None = None, *, int8: bool = False) -> Export:  # noqa: A002 - as in Keras
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

    def _predict(self, paths: Sequence[str | Path], views: int) -> tuple[np.ndarray, list[BadImage]]:
        options = self._run.options
        launcher: Launcher = InlineLauncher() if options.isolation == "inline" else ProcessLauncher()
        views = whole_number("views", views, 1, MOST_VIEWS)
        with progress_view() as view:
            rows, unreadable = predict_paths(
                self.model_path,
                options.image_size,
                [str(path) for path in paths],
                launcher=launcher,
                view=view,
                views=views,
                flips=options.flip,
                value_ranges=self._run.plan.value_ranges,
                code=code_to_open(self._run, self.model_path),
            )
            for image in unreadable:
                view.message(f"cannot be read and was left out: {image.path} ({image.reason})")
        return rows, unreadable

    def to_json(self) -> str:
        """The content of `result.json`."""
        return self.record.to_json().rstrip()

    def __repr__(self) -> str:
        return f"<autofit.Result {self.status}, {len(self.history.get('loss', []))} epochs, {self.run_dir}>"


def shown_path(path: Path) -> Path:
    """A path as a person would write it: relative if it is in the working folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
