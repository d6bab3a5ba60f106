"""What the installed TensorFlow was compiled for, read from its files without importing it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import util
from pathlib import Path

LARGEST_FILE_BYTES = 2**20
CAPABILITIES = re.compile(r"'cuda_compute_capabilities', \[([^\]]*)\]")
CUDA = re.compile(r"'cuda_version', '(\d+\.\d+)")


def cuda_targets() -> tuple[str, ...]:
    """The targets of its CUDA kernels, such as `sm_80` (machine code) or `compute_90` (PTX); empty if unknown."""
    found = CAPABILITIES.search(_build_info())
    return tuple(re.findall(r"'(\w+)'", found[1])) if found else ()


def cuda_version() -> str | None:
    """The CUDA version that it was built with, such as `12.5`; None if it was built without CUDA, or if unknown."""
    found = CUDA.search(_build_info())
    return found[1] if found else None


def _build_info() -> str:
    """The text of `build_info.py`, in which a TensorFlow package describes its build; empty if there is none."""
    try:
        spec = util.find_spec("tensorflow")
        if spec is None or not spec.origin:
            return ""
        file = Path(spec.origin).parent / "python" / "platform" / "build_info.py"
        with file.open(encoding="utf-8") as stream:
            return stream.read(LARGEST_FILE_BYTES)
    except (OSError, ValueError):
        return ""


def has_machine_code(capability: str | None, targets: Sequence[str]) -> bool:
    """Whether there is machine code for a GPU of this compute capability; if not, its first start compiles PTX.

    True if it is unknown. Machine code runs on GPUs of the same major version and the same or a higher minor version:
    https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#binary-compatibility
    """
    if capability is None or not targets or not re.fullmatch(r"\d+\.\d+", capability):
        return True
    major, minor = map(int, capability.split("."))
    codes = [divmod(int(target[3:]), 10) for target in targets if re.fullmatch(r"sm_\d{2,3}", target)]
    return any(major == at_major and minor >= at_minor for at_major, at_minor in codes)
