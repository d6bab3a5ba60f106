"""How much of a GPU other processes hold."""

import os

import pytest

from autofit.machine.gpu_others import bytes_of_others, others_reader
from autofit.machine.nvml import GpuProcess


def on_gpu(pid: int, used_bytes: int | None) -> GpuProcess:
    return GpuProcess(pid=pid, name=f"process-{pid}", bytes=used_bytes)


@pytest.mark.parametrize(
    ("processes", "expected"),
    [
        ([], 0),
        ([on_gpu(7, 3), on_gpu(100, 50)], 3),  # ours is named: all the rest are others
        ([on_gpu(7, 3), on_gpu(8, 4), on_gpu(100, 50)], 7),  # one that began meanwhile
        ([on_gpu(7, 3), on_gpu(31_000, 50)], 3),  # the host's numbers: 31000 may be our own worker
        ([on_gpu(7, None), on_gpu(100, None)], 0),  # the driver does not say
    ],
)
def test_our_own_workers_are_not_counted(processes: list[GpuProcess], expected: int) -> None:
    """All that a trial takes would be headroom, in a container whose driver counts processes as the host does."""
    assert bytes_of_others(processes, own={1, 100}, known={7}) == expected


def test_without_a_gpu_there_are_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe on a machine without NVIDIA's driver would fail when it asks."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert others_reader([on_gpu(os.getpid(), 3)])() == 0
