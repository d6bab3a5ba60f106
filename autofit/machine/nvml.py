"""The GPU as NVIDIA's driver reports it: name, memory, and the processes that use it. CUDA is not started."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from types import ModuleType
from typing import TypeVar

from autofit.printable import one_line
from autofit.storage.records import Record

T = TypeVar("T")

NO_PERMISSION = "NVMLError_NoPermission"
REFUSALS = frozenset({NO_PERMISSION, "NVMLError_LibRmVersionMismatch"})
"""NVML's errors at its start where there is a GPU and its driver: this user may not use them, or the driver was updated
and is not yet loaded. Without a GPU, its library or the driver is missing.
https://docs.nvidia.com/deploy/nvml-api/group__nvmlInitializationAndCleanup.html"""

MIG_ENABLED = 1
"""NVML_DEVICE_MIG_ENABLE of https://docs.nvidia.com/deploy/nvml-api/group__nvmlMultiInstanceGPU.html"""


class GpuProcess(Record):
    """A process on the GPU. `bytes` is None if the driver does not report its memory, as in many containers."""

    pid: int
    name: str
    bytes: int | None


def gpu_processes(*, nvml: ModuleType | None = None) -> list[GpuProcess]:
    """All processes on the first visible GPU, also this one; empty without a GPU, or if the driver does not tell."""
    visible = _visible()
    if visible is None:
        return []
    return list((_with_nvml(nvml, lambda nvml: _processes(nvml, _handle(nvml, visible))) or {}).values())


def gpu_count(*, nvml: ModuleType | None = None) -> int | None:
    """How many GPUs this process may use, also hidden ones; None if NVML cannot be used."""
    return _with_nvml(nvml, lambda nvml: len(list(_open_numbers(nvml))))


def cards(*, nvml: ModuleType | None = None) -> list[Card]:
    """All GPUs that this process may use, also hidden ones, in PCI order; empty if NVML cannot be used."""
    return _with_nvml(nvml, lambda nvml: [_card(nvml, number) for number in _open_numbers(nvml)]) or []


def gpu_error(*, nvml: ModuleType | None = None) -> str:
    """Why the first visible GPU cannot be described, in the driver's words, such as `GPU is lost`.

    Empty if it can, if there is no GPU, or if `CUDA_VISIBLE_DEVICES` hides all or names one that is not there.
    """
    visible = _visible()
    if visible is None:
        return ""

    def ask(nvml: ModuleType) -> str:
        try:
            _describe(nvml, _handle(nvml, visible), inline=False)
        except StopIteration:
            return ""
        except Exception as error:  # noqa: BLE001 - NVML's errors
            return _words(error)
        return ""

    return _with_nvml(nvml, ask, _refusal) or ""


def missing_gpu(*, nvml: ModuleType | None = None) -> str:
    """What `CUDA_VISIBLE_DEVICES` names first, if there are GPUs and this is none of them; else empty."""
    visible = _visible()
    if visible is None:
        return ""

    def ask(nvml: ModuleType) -> str:
        try:
            _handle(nvml, visible)
        except StopIteration:
            return visible if any(True for _ in _open_numbers(nvml)) else ""
        except Exception:  # noqa: BLE001 - NVML's errors: it is there, and cannot be described
            return ""
        return ""

    return _with_nvml(nvml, ask) or ""


def _refusal(error: Exception) -> str:
    """Why NVML cannot be started although there is a GPU, in its words; empty if there is none."""
    return _words(error) if type(error).__name__ in REFUSALS else ""


def _words(error: Exception) -> str:
    return one_line(error).removesuffix(".") or type(error).__name__


def cuda_of_driver(*, nvml: ModuleType | None = None) -> str | None:
    """The newest CUDA version that the driver supports, such as `12.4`; None if it does not tell."""
    number = _with_nvml(nvml, lambda nvml: int(nvml.nvmlSystemGetCudaDriverVersion()))
    return None if not number else f"{number // 1000}.{number % 1000 // 10}"


# the GPU


class Card(Record):
    """A GPU of this machine; `memory_bytes` is 0 if the driver does not tell."""

    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """The GPU that a worker would use; `visible` says how many it could use."""

    name: str
    memory_bytes: int
    free_bytes: int
    others: list[GpuProcess]
    driver: str | None
    compute_capability: str | None
    visible: int = 1


def first_visible_gpu(nvml: ModuleType | None, *, inline: bool) -> Gpu | None:
    """The first GPU that CUDA would show this process; None if there is none, or asking fails in any way."""
    visible = _visible()
    return (
        None
        if visible is None
        else _with_nvml(nvml, lambda nvml: _describe(nvml, _handle(nvml, visible), inline=inline))
    )


def _visible() -> str | None:
    """The first device that `CUDA_VISIBLE_DEVICES` names; None if it hides all."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    return None if visible in {"", "-1"} else visible


def _visible_count(nvml: ModuleType) -> int:
    """How many GPUs CUDA shows this process: those in `CUDA_VISIBLE_DEVICES` before the first invalid one, or all.

    If GPUs are divided (MIG), CUDA shows a single part.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    known = list(_open_numbers(nvml))
    if any(any(_parts(nvml, nvml.nvmlDeviceGetHandleByIndex(number))) for number in known):
        return 1
    every = ",".join(str(place) for place in range(len(known)))
    names = [name.strip() for name in (every if named is None else named).split(",")]
    handles = (_or_none(partial(_handle, nvml, name)) if name not in {"", "-1"} else None for name in names)
    return sum(1 for _ in takewhile(lambda handle: handle is not None, handles))


def _with_nvml(
    nvml: ModuleType | None, ask: Callable[[ModuleType], T], if_not: Callable[[Exception], T | None] = lambda _: None
) -> T | None:
    """Start NVML, ask it, and shut it down; None if it fails, and the result of `if_not` if it cannot be started.

    On a node with many GPUs whose driver is not kept loaded, each start takes seconds.
    """
    try:
        nvml = _imported(nvml)
        nvml.nvmlInit()
    except Exception as error:  # noqa: BLE001 - NVML's errors, and a missing or broken package
        return if_not(error)
    with suppress(Exception):
        try:
            return ask(nvml)
        finally:
            nvml.nvmlShutdown()
    return None


def _imported(nvml: ModuleType | None) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the deprecated package of the same name warns when imported
        return nvml or importlib.import_module("pynvml")


def _handle(nvml: ModuleType, visible: str) -> object:
    """NVML's handle of a device as `CUDA_VISIBLE_DEVICES` names it: by its number or by the first digits of its UUID.

    NVML numbers devices in PCI order, as CUDA does with `CUDA_DEVICE_ORDER=PCI_BUS_ID`. Of a GPU that is divided (MIG),
    CUDA shows a process the first part, or the one whose UUID is given. Older drivers name a part
    `MIG-GPU-UUID/INSTANCE/PART`, which NVML resolves.

    Raises:
        Exception: NVML's errors, or StopIteration, if there is no such device.
    """
    numbers = _open_numbers(nvml)
    if visible.isdecimal():
        number = next(number for place, number in enumerate(numbers) if place == int(visible))
        return _first_part(nvml, nvml.nvmlDeviceGetHandleByIndex(number))
    asked = [partial(nvml.nvmlDeviceGetHandleByIndex, number) for number in numbers]
    handles = [handle for handle in map(_or_none, asked) if handle is not None]  # another GPU may be lost
    for named in _named(nvml, handles, visible):
        return named
    for ask in asked:
        ask()  # raises what is wrong with the one that may be meant
    raise StopIteration


def _named(nvml: ModuleType, handles: Sequence[object], visible: str) -> Iterator[object]:
    """The devices, or their parts, whose UUID begins so."""
    if not visible.startswith("MIG-"):
        yield from (_first_part(nvml, one) for one in handles if nvml.nvmlDeviceGetUUID(one).startswith(visible))
        return
    if (named := _or_none(partial(nvml.nvmlDeviceGetHandleByUUID, visible))) is not None:
        yield named
    parts = (part for handle in handles for part in _parts(nvml, handle))
    yield from (part for part in parts if nvml.nvmlDeviceGetUUID(part).startswith(visible))


def _open_numbers(nvml: ModuleType) -> Iterator[int]:
    """NVML's numbers of the GPUs that this process may use, in PCI order, as CUDA counts them.

    NVML counts all GPUs, also those of a node that a batch system has not given to this job: it has no permission to
    use them (https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html, nvmlDeviceGetCount_v2).
    """
    return (number for number in range(nvml.nvmlDeviceGetCount()) if not _is_closed(nvml, number))


def _is_closed(nvml: ModuleType, number: int) -> bool:
    try:
        nvml.nvmlDeviceGetHandleByIndex(number)
    except Exception as error:  # noqa: BLE001 - NVML's errors: a GPU that is lost is not closed
        return type(error).__name__ == NO_PERMISSION
    return False


def _first_part(nvml: ModuleType, handle: object) -> object:
    """The first part of a GPU that is divided, else the GPU itself."""
    return next(_parts(nvml, handle), handle)


def _parts(nvml: ModuleType, handle: object) -> Iterator[object]:
    """The parts of a GPU that is divided; none of one that is not."""
    mode = _or_none(partial(nvml.nvmlDeviceGetMigMode, handle)) if hasattr(nvml, "nvmlDeviceGetMigMode") else None
    if not mode or mode[0] != MIG_ENABLED:
        return
    most = _or_none(partial(nvml.nvmlDeviceGetMaxMigDeviceCount, handle)) or 0
    parts = (_or_none(partial(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)) for number in range(most))
    yield from (part for part in parts if part is not None)


def _card(nvml: ModuleType, number: int) -> Card:
    """The GPU that CUDA shows if this one is named by its number: of a divided one its first part."""
    whole = _or_none(partial(nvml.nvmlDeviceGetHandleByIndex, number))
    handle = None if whole is None else _first_part(nvml, whole)
    name = None if handle is None else _or_none(partial(nvml.nvmlDeviceGetName, handle))
    memory = None if handle is None else _or_none(partial(nvml.nvmlDeviceGetMemoryInfo, handle))
    return Card(name=name or "a GPU that the driver cannot describe", memory_bytes=memory.total if memory else 0)


def _describe(nvml: ModuleType, handle: object, *, inline: bool) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    processes = _processes(nvml, handle)
    own = processes.pop(os.getpid(), None) if inline else None
    capability = _capability(nvml, handle)
    return Gpu(
        name=nvml.nvmlDeviceGetName(handle),
        memory_bytes=memory.total,
        # not total less the others': a container does not see them, and the driver keeps some for itself
        free_bytes=min(memory.free + ((own and own.bytes) or 0), memory.total),
        others=list(processes.values()),
        driver=_or_none(nvml.nvmlSystemGetDriverVersion),
        compute_capability=capability and "{}.{}".format(*capability),
        visible=_or_none(partial(_visible_count, nvml)) or 1,
    )


def _capability(nvml: ModuleType, handle: object) -> tuple[int, int] | None:
    """The compute capability (major, minor); if a part of a divided GPU does not tell it, its GPU is asked."""
    found = _or_none(partial(nvml.nvmlDeviceGetCudaComputeCapability, handle))
    whole = getattr(nvml, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", None)
    if found is None and whole is not None:
        parent = _or_none(partial(whole, handle))
        found = parent and _or_none(partial(nvml.nvmlDeviceGetCudaComputeCapability, parent))
    return found


def _processes(nvml: ModuleType, handle: object) -> dict[int, GpuProcess]:
    """All processes on the GPU, by process id; empty if the driver does not tell."""
    found: dict[int, GpuProcess] = {}
    for kind in ("Graphics", "Compute"):  # a process that does both is in both lists, with the same total
        listing = getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses")
        for process in _or_none(partial(listing, handle)) or []:
            name = _or_none(partial(nvml.nvmlSystemGetProcessName, process.pid)) or "unknown"
            program = name.partition(" -")[0]  # some drivers add the arguments, which may be private
            found[process.pid] = GpuProcess(pid=process.pid, name=program, bytes=process.usedGpuMemory)
    return found


def _or_none(call: Callable[[], T]) -> T | None:
    """The result of the call; None if it fails: drivers and virtual GPUs each support a different part of NVML."""
    try:
        return call()
    except Exception:  # noqa: BLE001 — NVML's errors, and a missing function of an old driver's library
        return None
