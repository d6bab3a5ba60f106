"""The part of an extraction that runs on one node of a cluster: it extracts the shards that it is asked for, by number.

The node finds out whether it sees the caller's cache folder. If so, it commits its shards there; otherwise it sends
their rows to the caller and keeps none.
"""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from autofit.api.extractions import fitting_size
from autofit.api.new_run import new_run
from autofit.api.workers import import_paths, launcher_for, machine_for, profile_store
from autofit.cache.entry import EntryInUseError
from autofit.cache.identity import Identities, identities_of
from autofit.cache.known_images import Known, write_known
from autofit.cache.moved_shard import DamagedPieceError, PieceHead, pieces_of
from autofit.cache.store import CacheStore
from autofit.config.batch_schedule import DETERMINISTIC_EXTRACTION
from autofit.config.options import Options
from autofit.dataset import ImageIndex
from autofit.errors import AutofitError, StorageError, UserError
from autofit.process.launch import Launcher
from autofit.protocol.cache_job import CacheJob, ShardAnswer, ShardJob
from autofit.protocol.job import Event
from autofit.report.views import ProgressView
from autofit.runs.asked_extraction import AskedExtraction
from autofit.runs.memory_budget import largest_decoded_batch, memory_budget
from autofit.runs.model_source import workload
from autofit.runs.supervisor import Supervisor
from autofit.storage.records import Record
from autofit.storage.run_directory import RunDirectory
from autofit.storage.safe_files import read_bounded
from autofit.storage.scratch import scratch_folder
from autofit.storage.system_errors import naming_system_errors

MOST_MARKER_BYTES = 64
"""The largest size of the marker file, by which a node recognises the caller's cache folder."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeWork:
    """The work as it is described to each node.

    Attributes:
        index: the images.
        options: the options of the extraction.
        cache: the caller's cache folder.
        limit_bytes: the size limit of that cache.
        marker: the name of the marker file that the caller has made in that folder.
        shards: how the images are cut; its `owner` is the content of the marker file.
        sample: the numbers of some images.
        sample_identities: the identities of these images as the caller computed them, uint64 (n, 2).
        known: the images whose rows are in the caller's cache already, for nodes that do not see that folder.
    """

    index: ImageIndex
    options: Options
    cache: Path
    limit_bytes: int
    marker: str
    shards: ShardJob
    sample: tuple[int, ...]
    sample_identities: Identities
    known: Known


class NodeReport(Record):
    """A node's report on a shard: first one for each piece of its rows, if rows are sent, then one on the whole shard.

    Attributes:
        node: the name of the machine.
        piece: describes the rows that are sent with this report; None in the last report.
        is_shared: whether the node has committed the shard itself; otherwise the rows were sent before this report.
        answer: the answer of the node's worker; None after an error.
        unreadable: the images that could not be decoded.
        messages: the messages of the node's workers.
        error_kind: the class of the error that ends the extraction; empty without an error.
        error: the message of that error.
    """

    node: str
    piece: PieceHead | None = None
    is_shared: bool = False
    answer: ShardAnswer | None = None
    unreadable: list[str] = Field(default_factory=list)
    messages: list[str] = Field(default_factory=list)
    error_kind: str = ""
    error: str = ""


class _Noting(ProgressView):
    """Keeps the messages of workers until they are asked for."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._messages: list[str] = []

    def message(self, text: str) -> None:
        self._messages.append(text)

    def passthrough(self, text: str) -> None:
        """Drop what was printed: no code of the user's runs in these workers."""

    def taken(self) -> list[str]:
        """The messages since the last call."""
        taken, self._messages = self._messages, []
        return taken


class NodeExtraction:
    """Extracts shards on this node; the worker and its network are kept for the next shard.

    Args:
        work: what to extract.
    """

    def __init__(self, work: NodeWork) -> None:
        self._work, self._node = work, platform.node()
        self._view, self._unreadable = _Noting(), list[str]()
        self._stack = contextlib.ExitStack()
        self._asked: AskedExtraction | None = None
        self._is_shared = _text_of(work.cache / work.marker) == work.shards.owner
        self._cache = work.cache

    def __call__(self, number: int, /) -> Iterator[tuple[str, bytes]]:
        """Extract a shard; yields pairs of a `NodeReport` as JSON and rows, which are empty in the last pair."""
        report = NodeReport(node=self._node, is_shared=self._is_shared)
        try:
            with naming_system_errors():
                if self._asked is None:
                    self._asked = self._begun()
                answer = self._asked.extract(number)
                if answer.entry and not self._is_shared:
                    yield from self._rows(answer.entry)
        except AutofitError as error:
            report = report.model_copy(update={"error_kind": type(error).__name__, "error": str(error)})
        else:
            report = report.model_copy(update={"answer": answer})
        unreadable, self._unreadable = self._unreadable, []
        said = {"unreadable": unreadable, "messages": self._view.taken()}
        yield report.model_copy(update=said).to_json(), b""

    def _rows(self, entry: str) -> Iterator[tuple[str, bytes]]:
        try:
            for piece, data in pieces_of(self._cache / entry):
                yield NodeReport(node=self._node, piece=piece).to_json(), data
        except (OSError, ValueError, EntryInUseError, DamagedPieceError) as error:
            raise StorageError(f"the rows of a shard cannot be read again: {error}") from error
        CacheStore(self._cache, self._work.limit_bytes).remove(entry)

    def _begun(self) -> AskedExtraction:
        self._require_same_photos()
        folder = self._stack.enter_context(scratch_folder("autofit-extract-"))
        shards = self._work.shards.model_copy(update={"on_request": True})
        if not self._is_shared:
            self._cache = folder / "cache"
            write_known(folder / "known.npz", self._work.known)
            shards = shards.model_copy(update={"known": str(folder / "known.npz")})
        files = RunDirectory(folder / "run")
        files.create()
        options, machine = self._work.options, machine_for(self._work.options)
        record = new_run(files, options, self._work.index, machine, None, self._view)
        memory = memory_budget(options, machine, largest_decoded_batch(record.plan, machine), extracts=True)
        most = DETERMINISTIC_EXTRACTION[machine.device]
        network = workload(record.settled_options, len(record.data.class_names))
        job = CacheJob(
            folder=str(self._cache),
            limit_bytes=self._work.limit_bytes,
            by=options.cache_by,
            fixed_size=fitting_size(network, machine, memory, profile_store(options, self._view), most),
            shards=shards,
        )

        def supervise(launcher: Launcher, sleep: Callable[[float], None]) -> AutofitError | None:
            paths = import_paths(options, None)
            return Supervisor(
                files, record, memory, launcher, view=self._view, import_paths=paths, cache=job, sleep=sleep
            ).run()

        return AskedExtraction(files, launcher_for(options, machine), supervise, self._note)

    def _require_same_photos(self) -> None:
        """Check that this node sees the same photos as the caller.

        Raises:
            UserError: a photo cannot be read here, or is another file.
        """
        paths = [self._work.index.path(number) for number in self._work.sample]
        here = identities_of(paths, self._work.options.cache_by)
        others = np.flatnonzero((here != self._work.sample_identities).any(axis=1))
        if len(others):
            path, is_there = paths[others[0]], here[others[0]].any()
            what = "is another file there" if is_there else "cannot be read there"
            advice = "mount the photos at the same path on all nodes"
            by_content = " or give cache_by 'content'" if is_there and self._work.options.cache_by == "stat" else ""
            raise UserError(f"{path} {what}: {advice}{by_content}")

    def _note(self, event: Event) -> None:
        if event.quarantined:
            self._unreadable.append(event.quarantined.path)

    def close(self) -> None:
        """End the worker and remove its folder."""
        if self._asked is not None:
            self._asked.close()
            self._asked = None
        self._stack.close()


def _text_of(path: Path) -> str:
    """The content of a small file; empty if there is none."""
    with contextlib.suppress(OSError, ValueError):
        return read_bounded(path, MOST_MARKER_BYTES).decode("ascii")
    return ""
