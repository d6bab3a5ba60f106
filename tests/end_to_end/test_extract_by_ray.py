"""`autofit extract --engine ray` on a real Ray cluster of several nodes on this machine, of which nodes are killed.

`make test-ray` installs Ray and runs these; without Ray they are left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autofit import api
from autofit.api import extracting_by_ray
from autofit.errors import InterruptedRunError, UserError
from autofit.protocol.messages import Progress
from autofit.storage.leases import LEASE_SECONDS
from tests.support.extractions import IMAGES, SHARDS, flags, network, rows_of, with_key_of
from tests.support.processes import autofit_command
from tests.support.views import RecordingView
from tests.support.waiting import wait_until

ray = pytest.importorskip("ray")
ray_data = pytest.importorskip("autofit.cluster.ray_data")

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("default"),  # Ray's own
]

OBJECT_STORE_BYTES = 80 * 2**20
START_SECONDS = 100.0
STARTS = 3


class LocalCluster:
    """A Ray cluster of processes on this machine: a head without a device, and nodes with a CPU each."""

    def __init__(self, nodes: int) -> None:
        from ray.cluster_utils import Cluster  # noqa: PLC0415 - only where Ray is

        args = {"num_cpus": 0, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=args)
        self.address: str = self._cluster.address
        try:
            self.nodes = [self.add() for _ in range(nodes)]
        except BaseException:
            self.shutdown()
            raise

    def add(self) -> Any:
        """Add a node."""
        return self._cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)

    def kill(self, node: Any) -> None:
        """Kill a node with SIGKILL: its raylet, and with it its actors."""
        self._cluster.remove_node(node, allow_graceful=False)

    def shutdown(self) -> None:
        """End all nodes."""
        with contextlib.suppress(Exception):
            ray.shutdown()
        self._cluster.shutdown()


def started_cluster(nodes: int) -> LocalCluster:
    """A cluster, whose processes may miss each other on a busy machine: then another one."""
    for _ in range(STARTS - 1):
        with contextlib.suppress(Exception):
            return LocalCluster(nodes)
    return LocalCluster(nodes)


def let_nodes_start_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait longer for a node: Ray gives it 30 s to start, which is too little on a busy machine."""
    from ray._private import services  # noqa: PLC0415 - only where Ray is

    once = services.get_node

    def patiently(*given: Any) -> Any:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return once(*given)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    monkeypatch.setattr(services, "get_node", patiently)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    """Two nodes, of which the extraction knows by the usual variable."""
    let_nodes_start_slowly(monkeypatch)
    cluster = started_cluster(2)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    try:
        yield cluster
    finally:
        cluster.shutdown()


@contextlib.contextmanager
def hidden_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no node see that the folder of the cache is the caller's, as if it were another one of that name."""

    @contextlib.contextmanager
    def unmarked(_cache: Path, _owner: str) -> Iterator[str]:
        _cache.mkdir(parents=True, exist_ok=True)
        yield ".no-such-file"

    with monkeypatch.context() as patch:
        patch.setattr(extracting_by_ray, "_marked", unmarked)
        yield


@pytest.mark.parametrize(
    "error", [ConnectionError("refused"), Exception("The current node timed out.\nMore.")], ids=str
)
def test_a_cluster_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """It would be called a defect of autofit: Ray raises a bare exception where a node does not start in time."""

    def fails(**_: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", fails)
    with pytest.raises(UserError) as caught, ray_data.connected():
        pytest.fail("there is none")
    first = str(error).splitlines()[0]
    assert str(caught.value) == f"the Ray cluster cannot be reached ({first}): look at RAY_ADDRESS and `ray status`"
    assert ray_data.LOG_LEVEL not in os.environ


@pytest.mark.parametrize("is_shared", [True, False], ids=["a shared folder", "rows to the head"])
def test_a_lost_node_costs_no_row_and_no_bit(
    few_photos: Path,
    alone: Path,
    weights: Path,
    tmp_path: Path,
    cluster: LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_shared: bool,
) -> None:
    """Features would be missing, be there twice, or depend on the machines that were there."""
    cache = with_key_of(alone, tmp_path / "cache")
    view = RecordingView()
    killed: list[int] = []

    def kill_in_the_middle() -> None:
        wait_until(lambda: len(rows_of(cache)) >= 2, seconds=300)
        cluster.kill(cluster.nodes[0])
        killed.append(len(rows_of(cache)) // 2)

    killer = threading.Thread(target=kill_in_the_middle, daemon=True)
    killer.start()
    with contextlib.nullcontext() if is_shared else hidden_folder(monkeypatch):
        done = api.extract(few_photos, cache=cache, engine="ray", view=view, **network(weights))
    killer.join()
    assert rows_of(cache) == rows_of(alone)
    assert killed[0] < SHARDS, "the node was killed before the end"
    assert (done.images, done.shards + done.shards_of_others) == (IMAGES, SHARDS)
    assert done.shards_of_others <= is_shared, "the lost node may have committed its shard, and not have told"
    assert done.extracted == IMAGES or done.shards_of_others
    assert view.messages[0] == f"Ray: {SHARDS} shards on 2 nodes"
    assert view.updates[-1].step == view.updates[-1].steps == IMAGES


class StoppingView(RecordingView):
    """Shows the first shard, and then Ctrl-C comes."""

    def update(self, progress: Progress, *, epochs: int) -> None:
        """Record the heartbeat, and stop."""
        super().update(progress, epochs=epochs)
        raise KeyboardInterrupt


@pytest.mark.usefixtures("cluster")
def test_after_ctrl_c_no_shard_waits(few_photos: Path, alone: Path, weights: Path, tmp_path: Path) -> None:
    """Ray kills the processes in the middle of their shards: the same call again would wait for their leases."""
    cache = with_key_of(alone, tmp_path / "cache")
    with pytest.raises(InterruptedRunError):
        api.extract(few_photos, cache=cache, engine="ray", view=StoppingView(), **network(weights))
    assert not list((cache / "leases").iterdir())
    began = time.monotonic()
    done = api.extract(few_photos, cache=cache, engine="ray", view=RecordingView(), **network(weights))
    assert done.images == IMAGES
    assert rows_of(cache) == rows_of(alone)
    assert time.monotonic() - began < LEASE_SECONDS


def test_the_command_on_a_cluster_with_the_rows_there(
    few_photos: Path, alone: Path, weights: Path, tmp_path: Path, cluster: LocalCluster
) -> None:
    """A call that was stopped would extract all once more, or the command have no such engine."""
    assert cluster.address
    cache = with_key_of(alone, tmp_path / "cache")
    entries = sorted(path for path in alone.iterdir() if not path.name.startswith(".") and path.name != "leases")
    for entry in entries[2:]:
        shutil.copytree(entry, cache / entry.name)
    command = autofit_command(
        "extract", few_photos, "--engine", "ray", "--cache", cache, "--json", "-", *flags(weights)
    )
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    done = json.loads(ended.stdout)
    assert (done["images"], done["shards"], done["shards_of_others"]) == (IMAGES, 2, 0)
    assert rows_of(cache) == rows_of(alone)
    assert f"Ray: {SHARDS} shards on 2 nodes" in ended.stderr
