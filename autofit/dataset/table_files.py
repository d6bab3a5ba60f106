"""A table of images in a file: one of JSON by its suffix, one of joined lists by their names, else a CSV file."""

from __future__ import annotations

from pathlib import Path

from autofit.dataset.asked import Asked
from autofit.dataset.joined_lists import are_joined, from_joined_lists
from autofit.dataset.json_listing import from_json
from autofit.dataset.json_table import is_json
from autofit.dataset.listing import Listing, from_csv


def from_file(path: Path, asked: Asked) -> Listing:
    """The images of a table.

    Raises:
        UserError: the file is no such table; or, while it is read, a line is damaged.
    """
    if are_joined(path):
        return from_joined_lists(path, asked)
    return from_json(path, asked) if is_json(path) else from_csv(path, asked)
