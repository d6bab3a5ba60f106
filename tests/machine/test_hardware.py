"""The detected machine and its fingerprint, on fake trees of /proc and cgroups and a fake NVML."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from autofit.errors import UserError
from autofit.machine.cgroups import oom_kills
from autofit.machine.hardware import Hardware, detect, fingerprint
from tests.support.fake_machine import CORES, MB, Tree, fake_nvml


def test_a_fraction_of_a_core_counts_as_one(tree: Tree) -> None:
    """Else part of the quota that was paid for could never be used."""
    tree.belongs("0::/job")
    tree.group("job", cpu_max="100001 100000")
    assert tree.detect().cores == min(2, CORES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 2.20GHz\n\nmodel name\t: Other", "Some CPU @ 2.20GHz"),
        ("Model\t\t: Raspberry Pi 5", "Raspberry Pi 5"),
        ("processor\t: 0\nmodel\t\t: 79", platform.processor() or platform.machine()),
    ],
)
def test_cpu_model(tree: Tree, text: str, expected: str) -> None:
    """Else profiles of different processors would be taken for each other's."""
    tree.write(tree.proc / "cpuinfo", text)
    found = tree.detect()
    assert (found.device, found.device_name, found.cpu_model) == ("cpu", expected, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n", True),
        ("flags\t: fpu amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t: fpu avx2 avx512f\nbugs\t: bf16\n", False),
        ("", False),
    ],
)
def test_units_for_bfloat16(tree: Tree, text: str, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    """Each run on an older processor would wait for a comparison that 16 bits cannot win."""
    tree.write(tree.proc / "cpuinfo", text)
    assert tree.detect().bfloat16_units is expected


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    def version(name: str) -> str:
        try:
            return versions[name.replace("-", "_")]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    monkeypatch.setattr("importlib.metadata.version", version)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({"tensorflow": "2.21", "tensorflow_cpu": "2.20", "keras": "3.15"}, ("2.21", "3.15", "gpu")),
        ({"tensorflow_cpu": "2.20"}, ("2.20", None, "cpu")),
        ({}, (None, None, "gpu")),
    ],
)
def test_versions(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], expected: tuple[str | None, str | None, str]
) -> None:
    """Else a profile of another TensorFlow would be used, or a GPU be planned with that this build cannot use."""
    installed(monkeypatch, **versions)
    found = tree.detect(fake_nvml())
    assert (found.tensorflow_version, found.keras_version, found.device) == expected
    assert found.python_version == platform.python_version()


def test_hardware_is_saved_and_loaded(tree: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else a profile could not say which machine it was measured on."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    found = tree.detect(fake_nvml())
    found.save(tmp_path / "hardware.json")
    assert Hardware.load(tmp_path / "hardware.json") == found


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"host_available_bytes": 1}, True),
        ({"device_free_bytes": 1}, True),
        ({"other_gpu_processes": []}, True),
        ({"limited_by": "x"}, True),
        ({"host_limit_bytes": 16 * 2**30 - 5_000_000}, True),
        ({"host_limit_bytes": 8 * 2**30}, False),
        ({"device_name": "NVIDIA L4"}, False),
        ({"device_memory_bytes": 8_000 * MB}, False),
        ({"driver_version": "590"}, False),
        ({"compute_capability": "8.0"}, False),
        ({"cpu_model": "x"}, False),
        ({"cores": 999}, False),
        ({"tensorflow_version": "1"}, False),
        ({"keras_version": None}, False),
    ],
)
def test_the_fingerprint_covers_what_decides_speed_and_memory(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], *, same: bool
) -> None:
    """Else a profile would not be found again on its own machine, or be used on another."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    one = tree.detect(fake_nvml()).model_copy(update={"host_limit_bytes": 16 * 2**30})
    other = one.model_copy(update=change)
    assert (fingerprint(one) == fingerprint(other)) is same


def test_this_machine() -> None:
    """Else detection would fail outside of fake trees."""
    found = detect()
    assert 0 < found.host_available_bytes <= found.host_limit_bytes <= found.host_memory_bytes
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.cpu_model
    assert fingerprint(found) == fingerprint(detect())
    assert (oom_kills() or 0) >= 0


def test_a_refused_call_for_the_cores_counts_those_of_the_machine(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox that forbids the call would end each command."""

    def refuse(_: int) -> set[int]:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_getaffinity", refuse)
    assert tree.detect().cores == os.cpu_count()


def test_a_machine_that_hides_its_memory_is_named(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox without /proc would end in a traceback of psutil."""

    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("psutil.virtual_memory", refuse)
    with pytest.raises(UserError, match=r"^/proc/meminfo cannot be read \(Permission denied\): "):
        tree.detect()
