"""The folder in which CUDA keeps compiled kernels, so that only the first start on a GPU compiles them.

TensorFlow's packages hold machine code for some GPUs, and code in an intermediate language (PTX) for newer ones, which
the driver compiles when a kernel is first used. By default the driver keeps the results in `~/.nv/ComputeCache`, which
is lost with a container or a notebook's machine. CUDA reads these variables when it starts:
https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#cuda-environment-variables
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PATH_VARIABLE = "CUDA_CACHE_PATH"
LIMIT_VARIABLE = "CUDA_CACHE_MAXSIZE"
OFF_VARIABLE = "CUDA_CACHE_DISABLE"
FOLDER = "cuda"
"""CUDA's folder in autofit's cache folder. The limit of the feature cache, and its commands, do not apply to it."""

LIMIT_BYTES = 2 * 2**30
"""CUDA's default limit is 1 GiB (the most is 4 GiB). All kernels of TensorFlow and cuDNN for one GPU may exceed that,
and those that do not fit are compiled again at each start."""


@dataclass(frozen=True, slots=True)
class KernelCache:
    """The folder in which the kernels of a worker are kept, its size, and its limit; None if the limit is unknown."""

    path: str
    size_bytes: int
    limit_bytes: int | None


def settings(environ: Mapping[str, str], cache_folder: Path) -> dict[str, str]:
    """The variables for a worker: the user's values, and autofit's for those that the user has not set."""
    ours = {PATH_VARIABLE: str(cache_folder / FOLDER), LIMIT_VARIABLE: str(LIMIT_BYTES)}
    return {name: environ.get(name) or value for name, value in ours.items()}


def kernel_cache(environ: Mapping[str, str], cache_folder: Path) -> KernelCache | None:
    """The folder as it is now; None if the user has switched this cache of CUDA off."""
    if environ.get(OFF_VARIABLE, "0").strip() not in {"", "0"}:
        return None
    there = settings(environ, cache_folder)
    limit = there[LIMIT_VARIABLE]
    path = Path(there[PATH_VARIABLE])
    return KernelCache(str(path), folder_bytes(path), int(limit) if limit.isdecimal() else None)


def folder_bytes(folder: Path) -> int:
    """The size of all files in a folder and those below it; 0 if there is none."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # removed meanwhile
            status = path.lstat()
            total += status.st_size if path.is_file() and not path.is_symlink() else 0
    return total
