"""Objects that the methods of a `Result` return: shown as text in a terminal, as a table or picture in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autofit.errors import StorageError
from autofit.printable import printable
from autofit.report.classification_text import (
    class_lines,
    class_table,
    confusion_html,
    confusion_lines,
    image_line,
    pictures,
)
from autofit.report.confusion_plot import confusion_figure
from autofit.report.drawing import png
from autofit.report.markup import fragment
from autofit.report.thumbnails import Thumbnails
from autofit.runs.predicted_images import ClassFigures, PredictedImage
from autofit.storage.safe_files import write_for_user
from autofit.storage.system_errors import explained
from autofit.storage.user_path import user_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Plot:
    """A picture. A notebook shows it; `save` writes it as a PNG.

    Attributes:
        png: the bytes of the file.
    """

    def __init__(self, png: bytes) -> None:
        self.png = png

    def save(self, path: str | Path) -> None:
        """Write the picture as a PNG, replacing an existing file.

        Raises:
            StorageError: the file cannot be written.
        """
        try:
            write_for_user(user_path(path), self.png)
        except OSError as error:
            raise StorageError(explained(error, f"{path} cannot be written")) from None

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return f"<a picture of {len(self.png) / 1000:,.0f} kB: .save('plot.png') writes it>"


class ConfusionMatrix:
    """How many images of each true class the model predicted as each class.

    `numpy.asarray(matrix)` gives the counts.

    Attributes:
        counts: int64 (classes, classes); a row for each true class, a column for each predicted class.
        class_names: the name of each class.
        title: which images were predicted.
    """

    def __init__(self, counts: NDArray[np.int64], class_names: Sequence[str], title: str) -> None:
        self.counts, self.class_names, self.title = counts, tuple(class_names), printable(title)

    def plot(self) -> Plot:
        """The counts as a picture."""
        return Plot(png(confusion_figure(self.counts, self.class_names, self.title)))

    def __array__(self, dtype: Any = None, *, copy: bool | None = None) -> NDArray[Any]:
        import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

        return np.array(self.counts, dtype=dtype, copy=copy)

    def __str__(self) -> str:
        return "\n".join([self.title, *confusion_lines(self.counts, self.class_names)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return fragment([confusion_html(self.counts, self.class_names)])


class ClassReport(tuple[ClassFigures, ...]):
    """Precision, recall and F1 of each class, in the order of the model's outputs: a tuple of `ClassFigures`."""

    __slots__ = ()

    def to_dataframe(self) -> Any:
        """The same as a pandas DataFrame, a row for each class.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas as pd  # noqa: PLC0415 - only if it is asked for

        return pd.DataFrame([one.model_dump() for one in self]).set_index("name")

    def __str__(self) -> str:
        return "\n".join(class_lines(self))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return fragment([class_table(self)])


class WorstImages(tuple[PredictedImage, ...]):
    """The images that the model is most wrong about, the worst first: a tuple of `PredictedImage`."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(image_line, self)) or "no images"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return fragment([pictures(self, Thumbnails())])
