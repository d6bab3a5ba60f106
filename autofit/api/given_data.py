"""The data of a call: images in memory are written to files, and all images are found as a training finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from autofit import dataset
from autofit.api.directories import absolute
from autofit.config.option_checks import GIVEN_TABLE
from autofit.config.options import Options
from autofit.dataset import ImageIndex
from autofit.dataset.asked import Asked, refuse_groups_and_weights
from autofit.input.patient_call import patiently
from autofit.report.views import ProgressView

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GivenData:
    """The arguments of `run` that say where the images are, as they were given.

    Attributes:
        data: as in `run`.
        labels: as in `run`.
        validation: as in `run`; where it is a share, that in the options is used.
        test: as in `run`.
        asked: the options about tables: columns, several labels per image, and the folder of the images.
    """

    data: Any
    labels: Iterable[Any] | None
    validation: Any
    test: Any
    asked: Asked

    @property
    def is_in_memory(self) -> bool:
        """Whether any of the images were given in memory."""
        return dataset.are_images(self.data) or any(
            dataset.stand_in(given) is not given for given in (self.validation, self.test)
        )

    def in_files(self, folder: Path, options: Options, view: ProgressView) -> GivenData:
        """The same data, with images that were given in memory written to files in a folder.

        Raises:
            UserError: they are no images, have no labels, or are to be grouped by a column, of which they have none.
            StorageError: they cannot be written.
        """
        is_in_memory = dataset.are_images(self.data)
        names = dataset.class_names_of(self.data, self.labels, multi_label=options.multi_label)
        write = partial(
            dataset.images_in_files,
            folder=folder,
            say=view.message,
            on_progress=view.scanning,
            multi_label=options.multi_label,
            class_names=names if names or not is_in_memory else None,
        )
        given = self
        if is_in_memory:
            refuse_groups_and_weights(self.asked, "images in memory")
            given = replace(self, data=write("train", (self.data, self.labels)), labels=None)
        return replace(given, validation=write("validation", self.validation), test=write("test", self.test))

    def found(self, options: Options, view: ProgressView, look: Callable[[ImageIndex], T]) -> T:
        """Find the images and return what `look` returns for them; a drive that does not answer is named.

        Raises:
            UserError: the data cannot be understood.
            InterruptedRunError: Ctrl-C stopped it.
        """
        scan = partial(
            dataset.scan,
            self.data,
            self.labels,
            validation=self.validation if options.validation == GIVEN_TABLE else options.validation,
            test=self.test,
            asked=self.asked,
            seed=options.seed,
        )
        where = str(absolute(self.data)) if isinstance(self.data, str | Path) else str(Path.cwd())
        return patiently(lambda note: look(scan(on_progress=note)), where, say=view.message, show=view.scanning)
