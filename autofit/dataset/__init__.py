"""The data set of a run: found once, in the parent process, and the same in every attempt.

    scan.py     the user's data -> ImageIndex: joins the modules below
    folder.py   a folder with one subfolder for each class -> Found
    listing.py  a CSV file, lists or a DataFrame -> Found
    labelled.py images with the classes of a run that has ended, to judge its model by
    split.py    Found -> training and validation, in order (pure)
    table.py    the lines of a CSV file, each with its number
    index.py    ImageIndex, and samples.csv

Paths are str everywhere, as the operating system returns them: a million Path objects would take too much memory.
"""

from __future__ import annotations

from autofit.dataset.index import ImageIndex
from autofit.dataset.scan import scan

__all__ = ["ImageIndex", "scan"]
