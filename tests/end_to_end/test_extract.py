"""`autofit extract`: processes that share a cache, what a killed one costs, and the training that follows."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from autofit import api, dataset
from autofit.api import extracting_by_ray
from autofit.api.node_extraction import NodeExtraction, NodeReport, NodeWork
from autofit.cache.moved_shard import ShardReceiver
from autofit.cache.store import CacheStore
from autofit.config.options import make_options
from autofit.errors import UserError
from autofit.protocol.cache_job import ShardJob
from tests.support.extractions import IMAGES, SHARDS, flags, network, rows_of, with_key_of
from tests.support.processes import autofit_command, forking, kill_with_children
from tests.support.views import RecordingView

pytestmark = pytest.mark.slow

LEASE_SECONDS = 2.0


def begin(photos: Path, weights: Path, cache: Path, json_file: Path) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    shared = ["--cache", cache, "--lease-seconds", LEASE_SECONDS, "--json", json_file, "--quiet"]
    return subprocess.Popen(forking(autofit_command("extract", photos, *flags(weights), *shared)), text=True)


def ended(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Wait for all, which have to end well."""
    assert [process.wait(300) for process in processes] == [0] * len(processes)


def test_two_processes_give_the_same_bytes_and_extract_nothing_twice(
    few_photos: Path, alone: Path, weights: Path, tmp_path: Path
) -> None:
    """Features would depend on how many machines were there, or machines would do each other's work."""
    cache = with_key_of(alone, tmp_path / "cache")
    files = [tmp_path / f"{number}.json" for number in range(2)]
    ended([begin(few_photos, weights, cache, file) for file in files])
    done = [json.loads(file.read_text()) for file in files]
    assert rows_of(cache) == rows_of(alone)
    assert len(rows_of(cache)) == 2 * SHARDS
    assert sum(one["extracted"] for one in done) == IMAGES
    assert not list((cache / "leases").iterdir())


@pytest.mark.forked_workers
def test_a_cache_that_was_copied_without_its_key_is_filled_again(
    few_photos: Path, alone: Path, weights: Path, tmp_path: Path
) -> None:
    """No row in it could be used, and it would be told each time that all is there."""
    cache = shutil.copytree(alone, tmp_path / "cache", ignore=shutil.ignore_patterns(".key"))
    done = api.extract(few_photos, cache=cache, view=RecordingView(), **network(weights))
    assert (done.extracted, done.shards, done.shards_of_others) == (IMAGES, SHARDS, 0)
    assert len(CacheStore(cache, 10**9).listing().entries) == SHARDS


@pytest.mark.forked_workers
def test_features_beyond_the_limit_are_refused_before_the_first_shard(
    few_photos: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first shards would be removed for the last ones, and it would be said that all are there."""
    monkeypatch.setenv("AUTOFIT_CACHE_LIMIT", "300kB")
    why = r"^the features take 371\.2 KB, and the cache may have 300 KB: set AUTOFIT_CACHE_LIMIT$"
    with pytest.raises(UserError, match=why):
        api.extract(few_photos, cache=tmp_path / "cache", view=RecordingView(), **network(weights))
    assert rows_of(tmp_path / "cache") == {}


def test_a_training_begins_with_the_head(
    few_photos: Path, alone: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features would be extracted once more."""
    monkeypatch.setenv("AUTOFIT_CACHE", str(alone))
    view, given = RecordingView(), network(weights)
    del given["shard_images"]
    api.run(few_photos, run_dir=tmp_path / "run", epochs=2, fine_tune_epochs=0, view=view, **given)
    assert any(f"features of {IMAGES} images: all extracted before" in line for line in view.messages)
    assert len(CacheStore(alone, 10**9).listing().entries) == SHARDS


@pytest.mark.forked_workers
def test_two_nodes_of_a_cluster_give_the_same_bytes(
    few_photos: Path, alone: Path, weights: Path, tmp_path: Path, *, whole: bool
) -> None:
    """Rows that a node commits or sends would differ, be extracted twice, or end with a worker that is killed.

    One node sees the folder of the cache; the other does not, and knows only what was there before.
    """
    cache = with_key_of(alone, tmp_path / "cache")
    store, view = CacheStore(cache, 10**9), RecordingView()
    given = network(weights)
    of_shards = ShardJob(shard_images=given.pop("shard_images"), owner="0123456789abcdef", lease_seconds=60.0)
    options = make_options(**given, feature_cache="on")
    index = dataset.scan(few_photos, None, validation=0.2, seed=options.seed)
    with extracting_by_ray._marked(cache, of_shards.owner) as marker, ShardReceiver(store) as receiver:
        gathering = extracting_by_ray._Gathering(IMAGES, receiver, view)

        def extract(work: NodeWork, numbers: Sequence[int], killed_before: int | None = None) -> None:
            with contextlib.closing(NodeExtraction(work)) as node:
                for number in numbers:
                    if number == killed_before:
                        os.kill(node._asked._launcher._worker.pid, signal.SIGKILL)  # type: ignore[union-attr]
                    for text, data in node(number):
                        report = NodeReport.model_validate_json(text)
                        gathering.add(report.model_copy(update={"messages": []}), data)

        extract(extracting_by_ray._work(index, options, store, of_shards, marker), range(0, SHARDS, 2))
        blind = extracting_by_ray._work(index, options, store, of_shards, ".not-there")
        extract(blind, range(SHARDS), killed_before=3 if whole else None)
    done = gathering.extracted(cache, 0.0)
    assert rows_of(cache) == rows_of(alone)
    assert (done.extracted, done.shards, done.shards_of_others, done.unreadable) == (IMAGES, SHARDS, 0, [])
    assert not list((cache / "leases").iterdir())
    assert {path.name for path in cache.iterdir() if path.name.startswith(".")} == {".key"}


@pytest.mark.whole
@pytest.mark.timeout(5400)  # 25 minutes on a quiet machine of two cores
def test_each_of_200_random_kills_costs_at_most_its_shard(
    few_photos: Path, alone: Path, weights: Path, tmp_path: Path
) -> None:
    """A killed machine would lose what was committed, leave a shard undone or commit it twice, or damage the cache."""
    chance, kills, round_number = random.Random(0), 0, 0
    while kills < 200:
        cache = with_key_of(alone, tmp_path / f"cache-{round_number}")
        processes: list[subprocess.Popen[str]] = []
        there: dict[str, tuple[int, bytes]] = {}
        while len(rows_of(cache)) < 2 * SHARDS:
            processes = [process for process in processes if process.poll() is None]
            while len(processes) < 2:
                processes.append(begin(few_photos, weights, cache, tmp_path / f"{len(processes)}.json"))
            time.sleep(chance.uniform(0.5, 12.0))
            if kills < 200:
                victim = chance.choice(processes)
                kills += victim.poll() is None
                kill_with_children(victim)
            now = {name: ((cache / name).stat().st_ino, rows) for name, rows in rows_of(cache).items()}
            assert there.items() <= now.items(), "what was committed is as it was, and was not committed again"
            there = now
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            kill_with_children(process)
        assert rows_of(cache) == rows_of(alone)
        shutil.rmtree(cache)
        round_number += 1
