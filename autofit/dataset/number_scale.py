"""Whether the pixel values of images in memory go from 0 to 1 or from 0 to 255."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autofit.errors import UserError

if TYPE_CHECKING:
    import numpy as np

LEAST_OF_255 = 32.0
_CHUNK = 256  # images are examined in groups of this size


class NumberScale:
    """Whether floating point pixel values go to 1 or to 255: decided once, by the whole array or the first image.

    An image that is black everywhere decides nothing.

    Args:
        whole: the array of all images, if there is one.
    """

    def __init__(self, whole: Any | None) -> None:
        self.words = ""
        self._factor: float | None = None
        self._most: float = 0.0
        if whole is not None and whole.dtype.kind == "f" and len(whole):
            chunks = range(0, len(whole), _CHUNK)
            self._decide(max(float(whole[start : start + _CHUNK].max()) for start in chunks))

    def note_whole_numbers(self, values: np.ndarray) -> None:
        """Take note of an image of whole numbers, which go to 255, or to what 16 bits hold, which may all be dark."""
        self._most = max(self._most, float(values.max(initial=0)) if values.itemsize == 1 else LEAST_OF_255)

    @property
    def warning(self) -> str:
        """A line on numbers that go to 255 and are all but black, such as digits of 16 shades; else empty."""
        if not 0 < self._most < LEAST_OF_255:
            return ""
        return (
            f"warning: the images' numbers go to {self._most:g} of 255, all but black: give floats from 0 to 1, "
            "or numbers of which 255 is white"
        )

    def levels(self, values: np.ndarray, number: int) -> np.ndarray:
        """Floating point numbers as uint8."""
        import numpy as np  # noqa: PLC0415

        low, high = float(values.min(initial=0)), float(values.max(initial=0))
        if not np.isfinite(values).all():
            raise UserError(f"image {number} has numbers that are not finite: give 0 to 1 or 0 to 255")
        if self._factor is None and high > 0:
            self._decide(high)
        factor = self._factor or 1.0
        self._most = max(self._most, high if factor == 1 else LEAST_OF_255)  # floats from 0 to 1 are as they should be
        if low < 0 or high * factor > 255.5:  # noqa: PLR2004 - rounded to 255
            raise UserError(
                f"image {number} has numbers from {low:g} to {high:g}: give all images as 0 to 1 or 0 to 255"
            )
        return np.asarray((values * factor).round().astype(np.uint8))

    def _decide(self, high: float) -> None:
        self._factor = 255.0 if high <= 1 else 1.0
        self.words = f"the images' numbers are taken as 0 to {'1' if high <= 1 else '255'}, from black to white"
