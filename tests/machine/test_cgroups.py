"""The limits of the cgroups, on fake trees of /proc and cgroups."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from autofit.machine.cgroups import MemoryLeft, memory_left_reader, oom_kill_counter
from autofit.machine.hardware import Hardware
from tests.support.fake_machine import CORES, MB, TOTAL, Tree

UNLIMITED_V1 = 9223372036854771712


def limits(found: Hardware) -> tuple[int, int, str]:
    return found.host_limit_bytes, found.host_available_bytes, found.limited_by


def test_without_cgroups_the_host_counts(tree: Tree) -> None:
    """Else a plain machine, or macOS, would have no limit or a wrong one."""
    found = tree.detect()
    assert (found.host_memory_bytes, found.host_limit_bytes, found.limited_by) == (TOTAL, TOTAL, "host memory")
    assert found.host_available_bytes == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    assert found.cores == CORES


def test_cgroup_v2(tree: Tree) -> None:
    """Else a container's limit would be missed, or file cache that the kernel drops be taken for used memory."""
    tree.belongs("0::/job")
    stat = f"anon 1\nfile_mapped {3 * MB}\ninactive_file {13 * MB}\nactive_file {10 * MB}"
    tree.group("job", memory_max=100 * MB, memory_current=50 * MB, memory_high=MB, memory_stat=stat)
    assert limits(tree.detect()) == (100 * MB, 70 * MB, "cgroup limit /job")
    assert tree.memory_left() == MemoryLeft(70 * MB, "cgroup limit /job")


def test_cgroup_v1(tree: Tree) -> None:
    """Else older hosts and their containers would count as having the whole host's memory."""
    tree.belongs("9:name=systemd:/x", "4:memory,hugetlb:/docker/1", "3:cpuset:/")
    below = f"total_mapped_file {3 * MB}\ntotal_inactive_file {13 * MB}\ntotal_active_file {10 * MB}"
    stat = f"inactive_file 1\nactive_file 1\nmapped_file 0\n{below}"
    files = {"memory_limit_in_bytes": 100 * MB, "memory_usage_in_bytes": 50 * MB, "memory_stat": stat}
    tree.group("memory/docker/1", **files)
    assert limits(tree.detect()) == (100 * MB, 70 * MB, "cgroup limit /docker/1")
    assert tree.memory_left() == MemoryLeft(70 * MB, "cgroup limit /docker/1")


def test_hybrid(tree: Tree) -> None:
    """Else the limit would be looked for in the half of a hybrid host that has no memory controller."""
    tree.belongs("4:memory:/job", "1:name=systemd:/job", "0::/job")
    tree.group("unified/job", memory_pressure="")
    tree.group("memory/job", memory_limit_in_bytes=100 * MB, memory_usage_in_bytes=0)
    assert limits(tree.detect()) == (100 * MB, 100 * MB, "cgroup limit /job")
    tree.group("unified/job", memory_max=50 * MB)
    assert limits(tree.detect()) == (50 * MB, 50 * MB, "cgroup limit /job")


@pytest.mark.parametrize(
    ("folder", "line", "files"),
    [
        ("job", "0::/job", {"memory_max": "max", "memory_current": 50 * MB}),
        ("memory/job", "4:memory:/job", {"memory_limit_in_bytes": UNLIMITED_V1, "memory_usage_in_bytes": 50 * MB}),
        ("job", "0::/job", {"memory_max": "garbage"}),
        ("job", "0::/job", {"memory_max": ""}),
        ("job", "garbage", {"memory_max": 100 * MB}),
    ],
)
def test_no_limit_is_the_host(tree: Tree, folder: str, line: str, files: dict[str, Any]) -> None:
    """Else `max`, or version 1's huge number for it, would be reported as a limit or end the run."""
    tree.belongs(line)
    tree.group(folder, **files)
    found = tree.detect()
    assert (found.host_limit_bytes, found.limited_by) == (TOTAL, "host memory")
    assert found.host_available_bytes > 100 * MB


def test_the_smallest_on_the_path_counts(tree: Tree) -> None:
    """Else a batch job inside a smaller slice would be killed at a limit that nobody looked at; a sibling's is none."""
    tree.belongs("0::/slice/job/step")
    tree.group("", memory_max=900 * MB, memory_current=0)
    tree.group("slice", memory_max=100 * MB, memory_current=10 * MB)
    tree.group("slice/job", memory_max="max", memory_current=5 * MB)
    tree.group("slice/job/step", memory_max=200 * MB, memory_current=150 * MB)
    tree.group("slice/sibling", memory_max=MB)
    assert limits(tree.detect()) == (100 * MB, 50 * MB, "cgroup limit /slice/job/step")


def test_more_used_than_allowed_leaves_nothing(tree: Tree) -> None:
    """Else a lowered limit would make the available memory negative."""
    tree.belongs("0::/job")
    tree.group("job", memory_max=100 * MB, memory_current=150 * MB)
    assert limits(tree.detect()) == (100 * MB, 0, "cgroup limit /job")
    assert tree.memory_left() == MemoryLeft(0, "cgroup limit /job")


def test_mapped_files_beyond_the_cache_do_not_count_as_used_memory(tree: Tree) -> None:
    """Mapped shared memory is in no file cache: subtracted from it all the same, it would be counted twice as used."""
    tree.belongs("0::/job")
    stat = f"file_mapped {30 * MB}\ninactive_file {10 * MB}\nactive_file 0"
    tree.group("job", memory_max=100 * MB, memory_current=50 * MB, memory_stat=stat)
    assert tree.memory_left() == MemoryLeft(50 * MB, "cgroup limit /job")


def test_without_cgroups_the_memory_left_is_the_hosts(tree: Tree) -> None:
    """Else the guard would read no memory, or unlimited memory, on a machine without cgroups."""
    left = tree.memory_left()
    assert left.of == "host memory"
    assert left.bytes == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_the_least_that_is_left_counts_and_not_the_smallest_limit(tree: Tree) -> None:
    """Else a full slice around a half-empty small job would be missed, and the kernel would kill the job."""
    tree.belongs("4:memory:/slice/job", "0::/")
    tree.group("memory", memory_limit_in_bytes=UNLIMITED_V1, memory_usage_in_bytes=TOTAL)
    tree.group("memory/slice", memory_limit_in_bytes=900 * MB, memory_usage_in_bytes=880 * MB)
    tree.group("memory/slice/job", memory_limit_in_bytes=100 * MB, memory_usage_in_bytes=50 * MB)
    assert tree.memory_left() == MemoryLeft(20 * MB, "cgroup limit /slice")
    assert tree.memory_left().share == pytest.approx(20 / 900)
    found = tree.detect()
    assert limits(found) == (100 * MB, 20 * MB, "cgroup limit /slice")
    assert found.nearest_limit_bytes == 900 * MB


def test_a_host_with_less_free_than_a_container_allows_is_what_limits(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone whose host is full would raise the limit of a container in vain, since a probe named that."""
    full = SimpleNamespace(total=TOTAL, available=50 * MB)
    monkeypatch.setattr("autofit.machine.cgroups._machine_memory", lambda: full)
    tree.belongs("0::/job")
    tree.group("job", memory_max=TOTAL // 2, memory_current=0)
    found = tree.detect()
    assert limits(found) == (TOTAL // 2, 50 * MB, "host memory")
    assert found.nearest_limit_bytes == TOTAL


def test_a_reader_sees_changed_limits_and_usage(tree: Tree) -> None:
    """Else a limit that is lowered under a running training would be hit without a warning."""
    tree.belongs("0::/job")
    tree.group("job", memory_max="max", memory_current=50 * MB)
    read = memory_left_reader(proc=tree.proc, cgroup_root=tree.cgroup_root)
    assert read().of == "host memory"
    tree.group("job", memory_max=100 * MB)
    assert read() == MemoryLeft(50 * MB, "cgroup limit /job")
    tree.group("job", memory_current=90 * MB)
    assert read() == MemoryLeft(10 * MB, "cgroup limit /job")


def test_a_full_host_around_a_half_empty_container_counts_by_its_share(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon of the host acts by the share that is left, which in bytes is more than the container may take."""
    full = SimpleNamespace(total=100 * MB, available=8 * MB)
    monkeypatch.setattr("autofit.machine.cgroups._machine_memory", lambda: full)
    tree.belongs("0::/job")
    tree.group("job", memory_max=10 * MB, memory_current=5 * MB)
    left = tree.memory_left()
    assert left == MemoryLeft(5 * MB, "cgroup limit /job")
    assert left.share == pytest.approx(0.08)


@pytest.mark.parametrize("path", ["/docker/0123/sub", "/../outside", "/", "/../job/gone"])
@pytest.mark.parametrize("version", [1, 2])
def test_of_a_path_that_does_not_exist_the_part_that_exists_counts(tree: Tree, path: str, version: int) -> None:
    """Else a container that sees the host's path would miss its own limit, or one outside would be read."""
    if version == 1:
        tree.belongs(f"4:memory:{path}")
        tree.group("memory", memory_limit_in_bytes=100 * MB)
        tree.group("outside", memory_limit_in_bytes=MB)
    else:
        tree.belongs(f"0::{path}")
        tree.group("", memory_max=100 * MB)
        tree.group("../outside", memory_max=MB)
    assert limits(tree.detect()) == (100 * MB, 100 * MB, "cgroup limit /")


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("50000 100000", 1), ("100000 100000", 1), ("max 100000", CORES), ("", CORES), ("99900000 100000", CORES)],
)
def test_cores_v2(tree: Tree, quota: str, expected: int) -> None:
    """Else a container with half a core would start a thread for each core of the host."""
    tree.belongs("0::/job")
    tree.group("job", cpu_max=quota)
    assert tree.detect().cores == expected


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize(("quota", "expected"), [(50_000, 1), (-1, CORES)])
def test_cores_v1(tree: Tree, folder: str, quota: int, expected: int) -> None:
    """Else the quota of an older host would be missed, or its -1 for no quota leave no cores."""
    tree.belongs("2:cpu,cpuacct:/a/b")
    tree.group(f"{folder}/a", cpu_cfs_quota_us=quota, cpu_cfs_period_us=100_000)
    tree.group(f"{folder}/a/b", cpu_cfs_quota_us=-1, cpu_cfs_period_us=100_000)
    assert tree.detect().cores == expected


@pytest.mark.parametrize(
    ("line", "folder", "files", "expected"),
    [
        ("0::/job", "job", {"memory_events": "low 0\noom 9\noom_kill 3\noom_group_kill 0"}, 3),
        ("4:memory:/job", "memory/job", {"memory_oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2"}, 2),
        ("4:memory:/job", "memory/job", {"memory_oom_control": "oom_kill_disable 0\nunder_oom 0"}, None),
        ("0::/", "", {}, None),
    ],
)
def test_oom_kills(tree: Tree, line: str, folder: str, files: dict[str, Any], expected: int | None) -> None:
    """Else a SIGKILL of the kernel's OOM killer would look like any other, and the batch size shrink in vain."""
    assert tree.oom_kills() is None
    tree.belongs(line)
    tree.group(folder, **files)
    assert tree.oom_kills() == expected


def test_oom_kills_of_the_own_cgroup(tree: Tree) -> None:
    """Else the kill of a neighbour in the same slice would be taken for the kill of our worker."""
    tree.belongs("4:memory:/slice/job", "0::/slice/job")
    tree.group("unified/slice/job", cpu_pressure="")
    tree.group("memory/slice", memory_oom_control="oom_kill 8")
    tree.group("memory/slice/job", memory_oom_control="oom_kill 1")
    assert tree.oom_kills() == 1


def test_oom_kills_of_another_process_are_read_after_its_end(tree: Tree) -> None:
    """The kills where the worker was would be read where its parent is, or not at all once it is killed."""
    tree.belongs("0::/parent")
    tree.group("parent", memory_events="oom_kill 5")
    tree.group("worker", memory_events="oom_kill 1")
    tree.write(tree.proc / "4711" / "cgroup", "0::/worker\n")
    count = oom_kill_counter(4711, proc=tree.proc, cgroup_root=tree.cgroup_root)
    assert count() == 1
    (tree.proc / "4711" / "cgroup").unlink()
    tree.group("worker", memory_events="oom_kill 2")
    assert count() == 2
