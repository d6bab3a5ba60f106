"""The list of its images that a run has written, `samples.csv`, where a user gives it as a table."""

# ruff: noqa: PTH117 - paths are str in this package

from __future__ import annotations

import os
from pathlib import Path

from autofit.dataset.columns import Columns
from autofit.dataset.index import COLUMNS, MULTI_LABEL_COLUMNS
from autofit.storage.json_bounds import MAX_RECORD_BYTES, parsed
from autofit.storage.safe_files import read_bounded

OWN_LIST = "samples.csv"


def is_own_list(path: Path, columns: Columns) -> bool:
    """Whether a table is the list that a run has written of its images."""
    return path.name == OWN_LIST and columns.names in {COLUMNS[1:], MULTI_LABEL_COLUMNS[1:]}


def own_root(path: Path, columns: Columns) -> str | None:
    """The folder that the paths of a run's own `samples.csv` are relative to, as the run.json beside it says."""
    if not is_own_list(path, columns):
        return None
    try:
        data = read_bounded(path.with_name("run.json"), MAX_RECORD_BYTES)
        root = parsed(data, "run.json")["data"]["root"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return root if isinstance(root, str) and os.path.isabs(root) else None
