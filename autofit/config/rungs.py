"""The rungs of the ladder: ways to train the same network that take less memory, and cost something."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from autofit.storage.records import Record

MOST_SEGMENTS: Final = 1000


class Rung(Record):
    """One way to train a network.

    Attributes:
        segments: in so many the activations of what trains are computed again in the backward pass; 0 to keep them.
    """

    segments: Annotated[int, Field(ge=0, le=MOST_SEGMENTS)] = 0


KEPT: Final = Rung()
"""All activations are kept: the fastest, and what takes the most memory."""

ON_REQUEST: Final = Rung(segments=8)
"""With twice as many segments, MobileNetV2 took more memory again and ResNet50 hardly less (docs/decisions/0057)."""

SAVING: Final[dict[Literal["cpu", "gpu"], tuple[Rung, ...]]] = {
    "cpu": (Rung(segments=4), ON_REQUEST, Rung(segments=16)),
    "gpu": (ON_REQUEST, Rung(segments=16)),
}
"""The rungs that save memory, few segments first. On a GPU, where each new graph is tuned for seconds, the first is the
one that mostly takes the least."""


def saving_more(rung: Rung) -> Rung | None:
    """The next rung to try where not even one image fits on this one; None at the end of the ladder.

    It begins with the rung that mostly takes the least: fewer segments seldom are enough where nothing fits.
    """
    return next((other for other in SAVING["gpu"] if other.segments > rung.segments), None)
