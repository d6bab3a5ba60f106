"""The folder in which CUDA keeps the kernels that it has compiled for a GPU, so that only a first start compiles them.

TensorFlow's packages hold machine code for some GPUs and an intermediate language (PTX) for newer ones, from which the
driver compiles when a kernel is first used. By itself it keeps the results in `~/.nv/ComputeCache`, which a container
or a notebook service loses. CUDA reads these variables when it starts:
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
"""CUDA's folder in autofit's cache folder. The limit and the commands of the other caches leave it alone."""

LIMIT_BYTES = 2 * 2**30
"""CUDA's own limit is 1 GiB and at most 4: with every kernel of TensorFlow and cuDNN for one GPU it may be too small,
and what is over it is compiled again in each start."""


@dataclass(frozen=True, slots=True)
class KernelCache:
    """The folder that the kernels of a worker are kept in, and its size; `limit_bytes` is None if it is unknown."""

    path: str
    size_bytes: int
    limit_bytes: int | None


def settings(environ: Mapping[str, str], cache_folder: Path) -> dict[str, str]:
    """The variables for a worker: those that the user has set, and the rest by autofit."""
    ours = {PATH_VARIABLE: str(cache_folder / FOLDER), LIMIT_VARIABLE: str(LIMIT_BYTES)}
    return {name: environ.get(name) or value for name, value in ours.items()}


def kernel_cache(environ: Mapping[str, str], cache_folder: Path) -> KernelCache | None:
    """The folder as it is now; None if the user has switched it off."""
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
