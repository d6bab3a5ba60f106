"""`extract(engine="ray")` up to where Ray begins: what is refused, and what the caller makes of reports."""

from __future__ import annotations

import dataclasses
import errno
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit import api, dataset
from autofit.api import extracting_by_ray
from autofit.api.node_extraction import NodeExtraction, NodeReport, NodeWork
from autofit.cache.identity import identities_of
from autofit.cache.moved_shard import ShardReceiver
from autofit.cache.store import CacheStore
from autofit.config.options import make_options
from autofit.dataset import ImageIndex
from autofit.errors import DoesNotFitError, StorageError, TrainingFailedError, UserError
from autofit.protocol.cache_job import ShardAnswer, ShardJob
from tests.support.views import RecordingView

KEY = "ab" * 8


def test_without_ray_one_line_says_what_to_install(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback would name a module."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"engine 'ray' needs Ray: pip install 'autofit-keras\[ray\]'"):
        api.extract(photos, engine="ray")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"engine": "dask"}, "engine 'dask' is not known: give one of local, ray"),
        ({"engine": "ray", "shard": "1/2"}, "shard is for"),
    ],
)
def test_what_cannot_be_is_refused(photos: Path, given: dict[str, Any], words: str) -> None:
    """Something else would be done than was asked for."""
    with pytest.raises(UserError, match=words):
        api.extract(photos, **given)


def work(folder: Path, photos: Path, **changes: Any) -> NodeWork:
    """What a node is told of these photos."""
    options = make_options(backbone="MobileNet", image_size=32, feature_cache="on")
    index = indexed(photos)
    numbers = tuple(range(0, len(index.paths), 20))
    given: dict[str, Any] = {
        "index": index,
        "options": options,
        "cache": folder / "cache",
        "limit_bytes": 10**9,
        "marker": ".marker",
        "shards": ShardJob(shard_images=20, owner="0123456789abcdef", lease_seconds=60.0),
        "sample": numbers,
        "sample_identities": identities_of([index.path(number) for number in numbers], "stat"),
        "known": {},
    }
    return NodeWork(**(given | changes))


def indexed(photos: Path) -> ImageIndex:
    """The photos as a training finds them."""
    return dataset.scan(photos, None, validation=0.2, seed=0)


def only_report(node: NodeExtraction) -> NodeReport:
    """What a node says of shard 0, where it cannot go on."""
    ((text, data),) = node(0)
    assert data == b""
    return NodeReport.model_validate_json(text)


def test_a_node_without_the_photos_says_so(photos: Path, tmp_path: Path) -> None:
    """Its shards would count as done, with no row in them."""
    here = indexed(photos)
    elsewhere = dataclasses.replace(here, root=str(tmp_path / "not-mounted"))
    report = only_report(NodeExtraction(work(tmp_path, photos, index=elsewhere)))
    assert report.error_kind == "UserError"
    assert "cannot be read there: mount the photos at the same path on all nodes" in report.error
    assert "cache_by" not in report.error


def test_a_node_with_other_photos_says_so(photos: Path, tmp_path: Path) -> None:
    """Its rows would be those of images that the caller never finds again."""
    given = work(tmp_path, photos)
    others = given.sample_identities + np.uint64(1)
    report = only_report(NodeExtraction(dataclasses.replace(given, sample_identities=others)))
    assert (
        "is another file there: mount the photos at the same path on all nodes or give cache_by 'content'"
        in report.error
    )


def test_an_error_of_the_system_on_a_node_is_one_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would show the traceback of another machine, and try again for ever."""
    monkeypatch.setattr(tempfile, "mkdtemp", raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "folder")))
    report = only_report(NodeExtraction(work(tmp_path, photos)))
    assert report.error_kind == "StorageError"
    assert "No space left on device" in report.error


def raising(error: Exception) -> Callable[..., None]:
    """A function that raises."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("content", "is_shared"), [("0123456789abcdef", True), ("of another call", False), (None, False)]
)
def test_a_node_sees_whether_the_folder_is_the_caller_s(
    photos: Path, tmp_path: Path, content: str | None, *, is_shared: bool
) -> None:
    """Rows would be left on the node's own disk, under the same path, and the caller never have them."""
    (tmp_path / "cache").mkdir()
    if content:
        (tmp_path / "cache" / ".marker").write_text(content)
    others = np.zeros((len(work(tmp_path, photos).sample), 2), np.uint64)
    node = NodeExtraction(work(tmp_path, photos, sample_identities=others))
    assert only_report(node).is_shared is is_shared


@pytest.fixture
def gathering(tmp_path: Path) -> Iterator[tuple[extracting_by_ray._Gathering, RecordingView]]:
    """What the caller gathers of 30 images."""
    view = RecordingView()
    with ShardReceiver(CacheStore(tmp_path / "cache", 10**9)) as receiver:
        yield extracting_by_ray._Gathering(30, receiver, view), view


def report(number: int, images: int = 10, *, node: str = "one", key: str = KEY, is_first: bool = True) -> NodeReport:
    """Of a shard that a node has committed."""
    entry = f"{key}-{number}-12345678"
    answer = ShardAnswer(number=number, entry=entry, images=images, extracted=images, is_first=is_first)
    return NodeReport(node=node, is_shared=True, answer=answer)


def test_reports_are_added_up_and_shown(
    gathering: tuple[extracting_by_ray._Gathering, RecordingView], tmp_path: Path
) -> None:
    """The summary, or the bar, would say something else than was done."""
    gathered, view = gathering
    said = {"messages": ["weights loaded"], "unreadable": ["b.jpg"]}
    gathered.add(report(0).model_copy(update=said), b"")
    gathered.add(report(1, is_first=False).model_copy(update=said | {"node": "two"}), b"")
    gathered.add(NodeReport(node="two", is_shared=True, answer=ShardAnswer(number=2, images=10)), b"")
    done = gathered.extracted(tmp_path, 5.0)
    assert (done.images, done.extracted, done.shards, done.shards_of_others) == (30, 10, 1, 1)
    assert done.unreadable == ["b.jpg"]
    assert view.messages == ["one: weights loaded"]
    assert [(update.step, update.steps) for update in view.updates] == [(10, 30), (20, 30), (30, 30)]


def test_rows_that_did_not_arrive_are_missed(gathering: tuple[extracting_by_ray._Gathering, RecordingView]) -> None:
    """A shard would count as done, and not be there."""
    with pytest.raises(StorageError, match="rows that one has sent did not arrive: give the same call again"):
        gathering[0].add(report(0).model_copy(update={"is_shared": False}), b"")


def test_another_kind_of_features_is_said_once(
    gathering: tuple[extracting_by_ray._Gathering, RecordingView],
) -> None:
    """A training would extract again what a node with another TensorFlow has extracted, and nobody know why."""
    gathered, view = gathering
    for number, key in enumerate([KEY, "cd" * 8, "cd" * 8]):
        gathered.add(report(number, node=f"node{number}", key=key), b"")
    assert len(view.messages) == 1
    assert view.messages[0].startswith("node1: its features have another key")


@pytest.mark.parametrize(
    ("kind", "error"),
    [("DoesNotFitError", DoesNotFitError), ("KeyError", TrainingFailedError), ("printable", TrainingFailedError)],
)
def test_an_error_of_a_node_has_its_kind_and_its_place(
    gathering: tuple[extracting_by_ray._Gathering, RecordingView], kind: str, error: type[Exception]
) -> None:
    """The command would end with another exit code, or nobody know on which machine to look."""
    with pytest.raises(error, match=r"^node7: not even one image fits$"):
        gathering[0].add(NodeReport(node="node7", error_kind=kind, error="not even one image fits"), b"")
