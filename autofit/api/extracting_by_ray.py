"""The caller's part of `extract` with `engine="ray"`: it hands out shards and collects what the nodes report."""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from autofit import errors
from autofit.api.extracted import Extracted
from autofit.api.node_extraction import NodeExtraction, NodeReport, NodeWork
from autofit.cache.identity import identities_of
from autofit.cache.known_images import images_with_features
from autofit.cache.moved_shard import DamagedPieceError, ShardReceiver
from autofit.cache.shards import shard_count
from autofit.cache.store import CacheStore, NoRoomError, default_limit_bytes
from autofit.config.options import Options
from autofit.dataset import ImageIndex
from autofit.errors import AutofitError, InterruptedRunError, StorageError, TrainingFailedError, UserError
from autofit.protocol.cache_job import ShardJob
from autofit.protocol.messages import Phase, Progress
from autofit.report.views import ProgressView
from autofit.report.words import count_of
from autofit.runs.model_source import model_source
from autofit.storage.system_errors import reason

SAMPLE = 64
"""The number of images that each node compares with those of the caller."""


def require_ray() -> None:
    """Check that Ray is installed, before the data is scanned.

    Raises:
        UserError: Ray is not installed.
    """
    if any(importlib.util.find_spec(name) is None for name in ("ray", "pyarrow")):
        raise UserError("engine 'ray' needs Ray: pip install 'autofit-keras[ray]'")


def extracted_by_ray(
    index: ImageIndex, options: Options, cache: Path, shards: ShardJob, view: ProgressView
) -> Extracted:
    """Extract on the nodes of a Ray cluster.

    Args:
        index: the images.
        options: of the extraction.
        cache: the folder of the cache.
        shards: how the images are cut, all in one part.
        view: shows the progress.

    Raises:
        InterruptedRunError: Ctrl-C stopped it; the shards that are committed stay.
        AutofitError: the extraction failed; the shards that are committed stay, too.
    """
    from autofit.cluster import ray_data  # noqa: PLC0415 - Ray is there only where somebody wants it

    began, store = time.monotonic(), CacheStore(cache, default_limit_bytes())
    count = shard_count(len(index.paths), shards.shard_images)
    with _one_line_if_stopped(), _marked(cache, shards.owner) as marker, ray_data.connected() as devices:
        work = _work(index, options, store, shards, marker)
        nodes = count_of(devices.nodes, "node")
        where = nodes if devices.kind == "CPU" else f"{count_of(devices.number, 'GPU')} of {nodes}"
        view.message(f"Ray: {count_of(count, 'shard')} on {where}")
        with ShardReceiver(store) as receiver:
            gathering = _Gathering(len(index.paths), receiver, view)
            answers = ray_data.done_by(devices, partial(NodeExtraction, work), range(count))
            with contextlib.closing(answers):
                for answer in answers:
                    gathering.add(NodeReport.model_validate_json(answer.text), answer.data)
    return gathering.extracted(cache, time.monotonic() - began)


def _work(index: ImageIndex, options: Options, store: CacheStore, shards: ShardJob, marker: str) -> NodeWork:
    sample = tuple(np.unique(np.linspace(0, len(index.paths) - 1, SAMPLE).astype(int)).tolist())
    network = model_source(options, len(index.class_names)).spec.about | {"views": "1"}
    return NodeWork(
        index=index,
        options=options,
        cache=store.folder,
        limit_bytes=store.limit_bytes,
        marker=marker,
        shards=shards,
        sample=sample,
        sample_identities=identities_of([index.path(number) for number in sample], options.cache_by),
        known=images_with_features(store, network),
    )


@contextlib.contextmanager
def _one_line_if_stopped() -> Iterator[None]:
    """Turn Ctrl-C into an error of autofit, also while a cluster is being started or shut down."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError("the extraction was stopped: give the same call again") from None


@contextlib.contextmanager
def _marked(cache: Path, owner: str) -> Iterator[str]:
    """Make a file in the cache's folder by which a node sees that the folder is the same; yields its name.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = cache / f".ray-{owner}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(owner, encoding="ascii")
    except OSError as error:
        raise StorageError(f"the features cannot be cached: {cache} cannot be written ({reason(error)})") from error
    try:
        yield path.name
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


class _Gathering:
    """Collects the reports and rows that the nodes send."""

    def __init__(self, images: int, receiver: ShardReceiver, view: ProgressView) -> None:
        self._images, self._receiver, self._view = images, receiver, view
        self._began = time.monotonic()
        self._done = self._extracted = self._shards = self._of_others = 0
        self._unreadable: set[str] = set()
        self._received: dict[str, bool] = {}
        self._keys: set[str] = set()
        self._said: set[str] = set()

    def add(self, report: NodeReport, data: bytes) -> None:
        """Add a report, and the rows that came with it.

        Raises:
            AutofitError: the node could not go on, or the rows cannot be kept.
        """
        if report.piece is not None:
            self._receive(report, data)
            return
        for line in report.messages:
            if line not in self._said:  # each node says that it has loaded the weights
                self._view.message(f"{report.node}: {line}")
        self._said.update(report.messages)
        self._unreadable.update(report.unreadable)
        if report.error:
            raise _error(report)
        assert report.answer is not None  # noqa: S101 - there is one or an error
        answer = report.answer
        self._done += answer.images
        if answer.entry:
            self._note_key(report.node, answer.entry)
            is_first = answer.is_first if report.is_shared else self._received.pop(answer.entry, None)
            if is_first is None:
                raise StorageError(f"rows that {report.node} has sent did not arrive: give the same call again")
            self._shards += is_first
            self._of_others += not is_first
            self._extracted += answer.extracted if is_first else 0
        self._show()

    def _receive(self, report: NodeReport, data: bytes) -> None:
        assert report.piece is not None  # noqa: S101 - as `add` has seen
        try:
            is_first = self._receiver.accept(report.piece, data)
        except (NoRoomError, DamagedPieceError, OSError) as error:
            raise StorageError(f"the features cannot be cached: {error}") from error
        if is_first is not None:
            self._received[report.piece.entry] = is_first

    def _note_key(self, node: str, entry: str) -> None:
        """Say once per node if its features have another key: the key includes releases and the kind of device."""
        key = entry.partition("-")[0]
        if self._keys and key not in self._keys:
            self._view.message(
                f"{node}: its features have another key, as its kind of device or its releases of TensorFlow, Keras "
                "or Pillow are others; a training uses those of its own"
            )
        self._keys.add(key)

    def _show(self) -> None:
        seconds = max(time.monotonic() - self._began, 1e-6)
        progress = Progress(
            time=time.time(),
            monotonic_seconds=time.monotonic(),
            phase=Phase.EXTRACT,
            counts="images",
            step=min(self._done, self._images),
            steps=self._images,
            images_per_second=self._extracted / seconds,
        )
        self._view.update(progress, epochs=0)

    def extracted(self, cache: Path, seconds: float) -> Extracted:
        """The result."""
        return Extracted(
            images=self._done,
            extracted=self._extracted,
            shards=self._shards,
            shards_of_others=self._of_others,
            unreadable=sorted(self._unreadable),
            cache=str(cache),
            seconds=seconds,
        )


def _error(report: NodeReport) -> AutofitError:
    """The error of a node, as one of this process."""
    kind = getattr(errors, report.error_kind, TrainingFailedError)
    is_known = isinstance(kind, type) and issubclass(kind, AutofitError)
    return (kind if is_known else TrainingFailedError)(f"{report.node}: {report.error}")
