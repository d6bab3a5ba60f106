"""The images of a run: found once, in the parent, and the same in every attempt.

    scan.py     what a user gives -> ImageIndex: the one place where the parts below are joined
    folder.py   a folder with one subfolder a class -> Found
    listing.py  a CSV file, lists, a DataFrame -> Found
    split.py    Found -> training and validation, in order (pure)
    table.py    the lines of a CSV file, each with its number
    index.py    ImageIndex, and samples.csv
    found.py    what folder.py and listing.py have in common

Paths are text throughout, as the operating system gives them: a million Path objects would not be compact.
"""

from __future__ import annotations

from autofit.dataset.index import ImageIndex
from autofit.dataset.scan import scan

__all__ = ["ImageIndex", "scan"]
