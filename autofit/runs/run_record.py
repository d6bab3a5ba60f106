"""`run.json`: the request of a run, validated, with its data and its plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from autofit.config.options import Options
from autofit.dataset import ImageIndex
from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import FINE_TUNING, StageName
from autofit.protocol.precision import PrecisionChoice
from autofit.storage.records import Record
from autofit.storage.run_directory import RunDirectory

WEIGHTS_FILE = "weights file"
"""The name of a weights file among the hashes of a run's code."""


def settled(options: Options, choice: PrecisionChoice | None) -> Options:
    """The request with the precision that was chosen for it, if it leaves that to autofit."""
    return options if choice is None else options.model_copy(update={"precision": choice.precision})


class DataRecord(Record):
    """The images of a run, in numbers; `samples.csv` lists them.

    `validation_counts` has the number of validation images of each class; it is empty in records of earlier versions.
    `label_separator` separates the labels in a cell of the table; it is empty if none was found. `store` is the folder
    for images that were given in memory; empty if there were none. `empty_classes` are class folders without images.
    """

    root: str
    class_names: list[str]
    train_count: int
    validation_count: int
    skipped_files: int
    fingerprint: str
    validation_counts: list[int] = Field(default_factory=list)
    test_count: int = Field(0, ge=0)
    label_separator: str = ""
    store: str = ""
    empty_classes: list[str] = Field(default_factory=list)


class DataCall(Record):
    """The arguments of the call about its data; together with the options they suffice to repeat the run.

    Attributes:
        data: the absolute path of a folder or a table; empty if a Python object held the images, table or paths.
        test: the absolute path of the test images, if a path was given.
        path_column: as given.
        label_column: as given.
        images_in: an absolute path.
        group_column: as given.
        weight_column: as given.
        objects: the names of those arguments that were objects of Python, which are not recorded.
    """

    data: str = ""
    test: str | None = None
    path_column: str | None = None
    label_column: str | list[str] | None = None
    images_in: str | None = None
    group_column: str | None = None
    weight_column: str | None = None
    objects: list[str] = Field(default_factory=list)


class RunRecord(Record):
    """The content of `run.json`: the request, validated, and the plan.

    `started` is the wall-clock time in seconds since 1970; it also distinguishes two runs of the same request.
    `seconds_before` is the time from the call to the plan, which counts for a time budget: the images were listed, and
    perhaps a probe was made. `seconds_between` is the time between its stages that is no attempt's and counts as well:
    a stage was probed, or precisions were compared. `budget_is_over` says that the run was finished and trains on with
    epochs that were named then, which its time budget does not bound.
    `seal` is the signature of the user who started the run, if it imports its model by name (`api/signature.py`).
    `code` has the hashes of the user's own code, by the argument it was given as, and of a weights file.
    `software` lists the versions with which the run was trained, in order.
    `code`, `call` and `software` are empty or None in records of earlier versions.
    """

    schema_: Literal["autofit/run/1"] = Field("autofit/run/1", alias="schema")
    options: Options
    has_callbacks: bool
    data: DataRecord
    plan: TrainingPlan
    started: float
    seconds_before: float = Field(0.0, ge=0)
    seconds_between: float = Field(0.0, ge=0)
    budget_is_over: bool = False
    seal: str = ""
    code: dict[str, str] = Field(default_factory=dict)
    call: DataCall | None = None
    software: list[str] = Field(default_factory=list)

    @property
    def settled_options(self) -> Options:
        """The request with the precision that the run has."""
        return settled(self.options, self.plan.precision_choice)

    def options_of(self, stage: StageName) -> Options:
        """The request with the precision that a stage of the run has."""
        own = self.plan.fine_tune.precision_choice if stage in FINE_TUNING and self.plan.fine_tune else None
        return settled(self.options, own or self.plan.precision_choice)


def data_record(index: ImageIndex) -> DataRecord:
    """The numbers of an index that `run.json` holds."""
    return DataRecord(
        root=index.root,
        class_names=list(index.class_names),
        train_count=index.train_count,
        validation_count=index.validation_count,
        skipped_files=index.skipped_files,
        fingerprint=index.fingerprint(),
        validation_counts=list(index.validation_counts()),
        test_count=index.test_count,
        label_separator=index.separator,
        store=index.store,
        empty_classes=list(index.empty_classes),
    )


def listed_images(files: RunDirectory, data: DataRecord) -> ImageIndex:
    """The images of a run with their classes and splits, from `samples.csv`; no image is opened.

    Images that were given in memory are in the run directory; if that was moved, their new place is used.

    Raises:
        UserError: the list cannot be read, or a line is damaged.
    """
    listed = replace(ImageIndex.read_csv(files.samples, data.root, data.class_names), store=data.store)
    has_moved = data.store and not Path(data.store).is_dir() and files.images.is_dir()
    return listed.with_store(str(files.images)) if has_moved else listed


def read_run(files: RunDirectory) -> RunRecord | None:
    """The content of `run.json`; None if there is none. It may come from an untrusted source: links are not followed.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged; one line.
    """
    try:
        return RunRecord.load(files.run, follow_links=False)
    except FileNotFoundError:
        return None
