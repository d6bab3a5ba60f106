"""Files as Keras saves them, made without Keras."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

CONFIG: dict[str, Any] = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {"layers": []},
    "registered_name": None,
}


def hdf5(fill: Callable[[h5py.File], None] | None = None) -> bytes:
    """An HDF5 file with one small array, and what `fill` puts in."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/dense/vars/0"] = np.ones((3, 4), np.float32)
        if fill:
            fill(file)
    return buffer.getvalue()


def hdf5_file(path: Path, fill: Callable[[h5py.File], None] | None = None) -> Path:
    """Write such a file."""
    path.write_bytes(hdf5(fill))
    return path


def keras_file(
    path: Path,
    config: Any = CONFIG,
    weights: bytes | None = None,
    more: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Write a `.keras` file of these parts."""
    text = config if isinstance(config, bytes | str) else json.dumps(config)
    inner = hdf5() if weights is None else weights
    with zipfile.ZipFile(path, "w", compression) as archive:
        parts = {"metadata.json": b"{}", "config.json": text, "model.weights.h5": inner, **(more or {})}
        for name, data in parts.items():
            archive.writestr(name, data)
    return path
