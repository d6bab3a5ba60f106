"""The memory that the limits of a shell or a batch system leave to a worker."""

from __future__ import annotations

import pytest

from autofit.machine import hardware
from autofit.machine.process_limits import ADDRESS_SPACE, DATA_SEGMENT, MAPPED_BYTES, ProcessLimits, memory_within
from tests.support.fake_machine import Tree, fake_nvml

GB = 10**9


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (ProcessLimits(cpu_seconds=9, stack_bytes=9), None),
        (ProcessLimits(address_space_bytes=8 * GB), (8 * GB - MAPPED_BYTES, ADDRESS_SPACE)),
        (ProcessLimits(address_space_bytes=GB), (0, ADDRESS_SPACE)),
        (ProcessLimits(address_space_bytes=8 * GB, data_bytes=7 * GB), (8 * GB - MAPPED_BYTES, ADDRESS_SPACE)),
        (ProcessLimits(address_space_bytes=8 * GB, data_bytes=5 * GB), (5 * GB, DATA_SEGMENT)),
    ],
    ids=str,
)
def test_what_is_mapped_and_not_used_is_left_out(limits: ProcessLimits, expected: tuple[int, str] | None) -> None:
    """TensorFlow's allocator would take all that may be mapped, and leave no room for threads and libraries."""
    assert memory_within(limits) == expected


def test_a_limit_of_the_shell_is_one_of_the_machine(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `ulimit -v` of 8 GB, sizes failed that fit easily, and a small network was recomputed in segments."""
    found = tree.detect()
    monkeypatch.setattr(hardware, "process_limits", lambda: ProcessLimits(address_space_bytes=4 * GB))
    limited = tree.detect()
    room = 4 * GB - MAPPED_BYTES
    assert (limited.host_limit_bytes, limited.host_available_bytes, limited.limited_by) == (room, room, ADDRESS_SPACE)
    monkeypatch.setattr(hardware, "process_limits", lambda: ProcessLimits(address_space_bytes=4000 * GB))
    assert tree.detect().limited_by == found.limited_by


@pytest.mark.usefixtures("gpus")
def test_a_gpu_has_its_own_memory(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of a card would be another one in each shell, and none of its profiles be found."""
    monkeypatch.setattr(hardware, "process_limits", lambda: ProcessLimits(address_space_bytes=4 * GB))
    found = tree.detect(fake_nvml())
    assert (found.device, found.host_limit_bytes) == ("gpu", found.host_memory_bytes)
