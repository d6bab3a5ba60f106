"""What extractions that are compared have in common."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

IMAGES = 90
SHARDS = 8


def network(weights: Path) -> dict[str, Any]:
    """What all extractions are given."""
    return {"backbone": "MobileNet", "weights": weights, "image_size": 64, "shard_images": -(-IMAGES // SHARDS)}


def flags(weights: Path) -> list[str]:
    """The same on the command line."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in network(weights).items()]


def rows_of(cache: Path) -> dict[str, bytes]:
    """The rows and the index of each entry; not of what a killed process has not committed."""
    files = sorted(cache.glob("[!.]*-*/*.bin"))  # a hidden folder may be renamed while it is read
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}


def with_key_of(cache: Path, other: Path) -> Path:
    """A new cache of the same user, whose key is in the checksums."""
    other.mkdir()
    shutil.copy2(cache / ".key", other / ".key")
    return other
