"""What `extract` returns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autofit.storage.records import Record


class Extracted(Record):
    """What an extraction has done.

    Attributes:
        images: the number of readable images in this process's part; equal images count once.
        extracted: the number of images that this process has extracted in this call. The others were in the cache, or
            other processes have extracted them.
        shards: the number of shards that this process has committed.
        shards_of_others: the number of shards that other processes have committed meanwhile.
        unreadable: the images that this process could not decode.
        cache: the folder of the cache.
        seconds: how long the call took.
    """

    schema_: Literal["autofit/extraction/1"] = Field("autofit/extraction/1", alias="schema")
    images: int
    extracted: int
    shards: int
    shards_of_others: int
    unreadable: list[str]
    cache: str
    seconds: float

    def summary(self) -> str:
        """The text for the terminal."""
        others = f", {self.shards_of_others:,} shards by others" if self.shards_of_others else ""
        now = f"{self.extracted:,} extracted now in {self.shards:,} shards{others}, in {self.seconds:.0f} s"
        lines = [f"Features of {self.images:,} images are in {self.cache}: {now}."]
        if self.unreadable:
            lines.append(f"{len(self.unreadable):,} images cannot be read; autofit check names them.")
        lines.append("A training with the same backbone and AUTOFIT_CACHE set to this folder begins with the head.")
        return "\n".join(lines)
