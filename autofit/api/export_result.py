"""What `export()` returns: its record, with what there is to look at."""

from __future__ import annotations

from pathlib import Path

from autofit.api.result import shown_path
from autofit.report.export_text import export_card, export_lines
from autofit.runs.export import Export


class ExportResult(Export):
    """An exported model. It says where it is, how it compares with the saved one, and how it is opened."""

    def summary(self) -> str:
        """The export as text, as the command line shows it."""
        return "\n".join(export_lines(self, shown_path(Path(self.path))))

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return export_card(self, shown_path(Path(self.path)))
