"""The rungs of the ladder: ways to train the same network in less memory, at the price of slower steps."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from autofit.storage.records import Record

MOST_SEGMENTS: Final = 1000


class Rung(Record):
    """One way to train a network.

    Attributes:
        segments: the number of segments whose activations are recomputed in the backward pass; 0 keeps all activations.
            1 keeps them too: only the weights are updated one after another, as on each rung with segments.
    """

    segments: Annotated[int, Field(ge=0, le=MOST_SEGMENTS)] = 0

    @property
    def words(self) -> str:
        """What saves memory on this rung; empty if nothing does."""
        if self.segments > 1:
            return f"activations recomputed in {self.segments} segments"
        return "weights updated one after another" if self.segments else ""


KEPT: Final = Rung()
"""All activations are kept: the fastest rung, and the one that takes the most memory."""

IN_TURN: Final = Rung(segments=1)
"""All activations are kept, and the weights are updated one after another (docs/decisions/0068): the only rung that
saves memory for a network that cannot be cut into segments."""

ON_REQUEST: Final = Rung(segments=8)
"""The rung of `recompute="on"`. With up to 16 segments MobileNetV2 is cut into eight all the same, and ResNet50 needs a
twentieth less (docs/decisions/0057)."""

SAVING: Final[dict[Literal["cpu", "gpu"], tuple[Rung, ...]]] = {
    "cpu": (Rung(segments=4), ON_REQUEST, Rung(segments=16)),
    "gpu": (ON_REQUEST, Rung(segments=16)),
}
"""The rungs that save memory, fewer segments first. On a GPU, where tuning each new graph takes seconds, the first is
the one that usually needs the least memory."""


def saving_more(rung: Rung, most_segments: int = MOST_SEGMENTS) -> Rung | None:
    """The next rung to try where not even one image fits on this one; None if no other one can help.

    On every device it begins with the rung that usually needs the least memory: with fewer segments one image would
    seldom fit either. For a network that can be cut into at most `most_segments`, all rungs above that are the same.
    """
    if most_segments == 1:
        return IN_TURN if rung == KEPT else None
    if most_segments <= rung.segments:
        return None
    return next((other for other in SAVING["gpu"] if other.segments > rung.segments), None)
