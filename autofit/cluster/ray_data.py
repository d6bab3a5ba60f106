"""Runs tasks on a Ray cluster by Ray Data, with one actor for each device; Ray repeats the tasks of a lost node.

This is the only module that imports Ray (`pip install 'autofit-keras[ray]'`).
https://docs.ray.io/en/latest/data/transforming-data.html#stateful-transforms
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import ray
import ray.exceptions
from ray.data import ActorPoolStrategy, DataContext

from autofit.cluster.devices import Devices, devices_of
from autofit.errors import TrainingFailedError, UserError
from autofit.printable import last_line

Row = dict[str, Any]

LOG_LEVEL = "RAY_BACKEND_LOG_LEVEL"
"""The variable for the lowest severity of messages that Ray's C++ code logs."""

SCHEMA = pa.schema([("task", pa.int64()), ("text", pa.large_string()), ("data", pa.large_binary())])
"""The schema of what a task returns: any number of rows, each a text and some bytes."""


class Answer(NamedTuple):
    """A row of what a task returns."""

    task: int
    text: str
    data: bytes


class Doer(Protocol):
    """Does tasks on a node, one after another."""

    def __call__(self, task: int, /) -> Iterator[tuple[str, bytes]]:
        """Do a task; another doer repeats it if Ray loses this node."""

    def close(self) -> None:
        """End what it has started."""


class _Actor:
    """The actor class for Ray Data: in its process it makes a `Doer`, which does the tasks."""

    def __init__(self, begin: Any) -> None:
        self._doer: Doer = ray.get(begin)()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for task in batch["task"].to_pylist():
            for text, data in self._doer(task):
                yield pa.table({"task": [task], "text": [text], "data": [data]}, SCHEMA)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # the doer could not be made
            self._doer.close()


@contextlib.contextmanager
def connected() -> Iterator[Devices]:
    """Connect to the cluster of `RAY_ADDRESS`, or to the one on this machine; if there is none, start one here.

    Raises:
        UserError: the cluster cannot be reached or started, or has no device.
    """
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            with _without_false_alarm():
                ray.init(logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # Ray raises a plain Exception if a node does not start in time
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"the Ray cluster cannot be reached ({why}): look at RAY_ADDRESS and `ray status`") from error
    try:
        with _quiet():
            yield devices_of(ray.nodes())
    finally:
        if is_ours:
            ray.shutdown()


@contextlib.contextmanager
def _without_false_alarm() -> Iterator[None]:
    """Keep Ray's C++ code from printing, for each extraction, that an actor cannot restart, which is no error.

    Ray prints it for every actor of Ray Data (https://github.com/ray-project/ray/issues/57733). It reads the variable
    when it starts; a value that the user has set stays.
    """
    is_ours = LOG_LEVEL not in os.environ
    os.environ.setdefault(LOG_LEVEL, "fatal")
    try:
        yield
    finally:
        if is_ours:
            del os.environ[LOG_LEVEL]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray Data, during the block, from showing its progress bars and from logging anything but errors."""
    context, logger = DataContext.get_current(), logging.getLogger("ray.data")
    bars, level = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = bars
        logger.setLevel(level)


def done_by(devices: Devices, begin: Callable[[], Doer], tasks: Sequence[int]) -> Generator[Answer, None, None]:
    """Do tasks on all devices; yields the rows that they return as they come, those of a task in order.

    Args:
        devices: the devices of the cluster that this process is connected to.
        begin: makes a doer in the process of an actor; it is sent by value, once.
        tasks: the numbers of the tasks.

    Raises:
        TrainingFailedError: Ray gave up.
    """
    count = min(devices.number, len(tasks))
    answers = (
        ray.data.from_items([{"task": task} for task in tasks], override_num_blocks=len(tasks))
        .map_batches(
            _Actor,
            batch_size=1,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=1),
            fn_constructor_args=(ray.put(begin),),
            **devices.resources,
        )
        .iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    )
    try:
        for table in answers:
            for row in table.to_pylist():
                yield Answer(row["task"], row["text"], row["data"])
    except ray.exceptions.RayError as error:
        raise TrainingFailedError(f"Ray gave up: {last_line(error)}") from error
