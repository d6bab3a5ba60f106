"""Made-up machines."""

from __future__ import annotations

from typing import Any

from autofit.machine.hardware import Hardware

GB = 10**9


def make_hardware(**changes: Any) -> Hardware:
    """A machine with two cores and 16 GB of memory, of which 12 GB are free, without a GPU; or one that differs."""
    fields: dict[str, Any] = {
        "device": "cpu",
        "device_name": "Some CPU",
        "device_memory_bytes": None,
        "device_free_bytes": None,
        "other_gpu_processes": [],
        "driver_version": None,
        "compute_capability": None,
        "cpu_model": "Some CPU",
        "cores": 2,
        "host_memory_bytes": 16 * GB,
        "host_limit_bytes": 16 * GB,
        "host_available_bytes": 12 * GB,
        "limited_by": "host memory",
        "tensorflow_version": "2.21.0",
        "keras_version": "3.15.1",
        "python_version": "3.13.1",
    }
    return Hardware(**(fields | changes))
