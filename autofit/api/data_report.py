"""`DataReport`: what `check()` returns, to look at and to work with."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autofit.errors import StorageError
from autofit.protocol.messages import BadImage
from autofit.report.data_page import data_card, data_page
from autofit.report.data_text import data_summary
from autofit.runs.data_findings import ClassSize, DataFindings, ImageGroup, LabelDoubt, OddImage
from autofit.storage.safe_files import write_for_user
from autofit.storage.system_errors import explained
from autofit.storage.user_path import user_path


class DataReport:
    """What was found in a data set.

    Args:
        findings: the record.
        release: removes the folder of images that were given in memory; called when the report is garbage-collected.

    Attributes:
        findings: as given.
    """

    def __init__(self, findings: DataFindings, release: Callable[[], None] | None = None) -> None:
        self.findings = findings
        if release is not None:
            weakref.finalize(self, release)

    @property
    def classes(self) -> list[ClassSize]:
        """The images of each class in each split."""
        return self.findings.classes

    @property
    def unreadable(self) -> list[BadImage]:
        """The images that cannot be read, and why."""
        return self.findings.unreadable

    @property
    def duplicates(self) -> list[ImageGroup]:
        """Images that are equal byte for byte; groups across splits come first, then those across classes."""
        return self.findings.same

    @property
    def near_duplicates(self) -> list[ImageGroup]:
        """Images that look alike, in the same order."""
        return self.findings.alike

    @property
    def odd(self) -> list[OddImage]:
        """Images of unusual sizes, and images that show nothing."""
        return self.findings.odd

    @property
    def likely_wrong(self) -> list[LabelDoubt]:
        """Images that are probably labelled wrong, the most doubtful first."""
        return (self.findings.doubts or [])[: self.findings.likely_wrong]

    @property
    def has_problems(self) -> bool:
        """Whether anything was found that should be put right before a training."""
        return self.findings.has_problems

    def summary(self) -> str:
        """All findings as text, as the command line shows them."""
        return data_summary(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """All findings as plain Python values."""
        return self.findings.model_dump(mode="json", by_alias=True)

    def to_json(self) -> str:
        """All findings as JSON."""
        return self.findings.to_json()

    def save(self, path: str | Path) -> None:
        """Write the page, one HTML file with small pictures of what was found; `~` is expanded.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            write_for_user(user_path(path), data_page(self.findings).encode())
        except OSError as error:
            raise StorageError(explained(error, f"{path} cannot be written")) from None

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return data_card(self.findings)
