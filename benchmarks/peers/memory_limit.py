"""A limit on resident memory that raises instead of killing.

Linux has none, but it limits a process's data (RLIMIT_DATA: heap and private writable mappings, which is where tensors
live), by address space and not by what was touched; past it malloc fails, and PyTorch raises the error that both peers
look for. Resident memory is data that was touched, plus pages of files and shared memory. So data may grow by what
resident memory is short of the limit. What was mapped before and never touched (stacks of threads, buffers of NumPy's
linear algebra) is not charged; that the limit held all the same is seen in the peak that each run reports.
"""

from __future__ import annotations

import resource
from pathlib import Path

KIBIBYTE = 1024


def limit_resident_memory(limit_bytes: int) -> None:
    """From now on malloc fails where resident memory would pass `limit_bytes`; call it with all libraries loaded."""
    sizes = memory_bytes()
    data_bytes = sizes["VmData"] + limit_bytes - sizes["VmRSS"]
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))


def memory_bytes() -> dict[str, int]:
    """What the kernel counts for this process: `VmRSS` (resident now), `VmHWM` (its highest), `VmData` and the like."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    fields = (line.split() for line in lines)
    return {field[0].rstrip(":"): int(field[1]) * KIBIBYTE for field in fields if field[-1] == "kB"}
