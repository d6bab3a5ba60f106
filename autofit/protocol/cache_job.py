"""What a worker does with the cache of features; and one that extracts alone, and says in the end what it has done."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autofit.storage.records import Record


class ShardJob(Record):
    """What an extraction that fills the cache alone takes of the images: part `part` of `parts`, shard after shard.

    Attributes:
        part: from 1.
        parts: into which the images are cut by their content.
        shard_images: of a shard, about.
        owner: what the leases of this call's workers are signed with, one worker after another.
        lease_seconds: after which a process that shows no sign is taken for gone.
        on_request: whether the worker waits to be asked for a shard by its number, and then for the next.
        known: a file with the images of which the rows are elsewhere, as `autofit.cache.known_images` writes it.
    """

    part: int = Field(1, ge=1)
    parts: int = Field(1, ge=1)
    shard_images: int = Field(ge=1)
    owner: str = Field(pattern=r"^[0-9a-f]{16}$")
    lease_seconds: float = Field(gt=0)
    on_request: bool = False
    known: str | None = None


class CacheJob(Record):
    """The cache of features and decoded images, and how an image is recognized.

    An extraction has the micro-batch size `fixed_size` if that is given; else it starts with `first_size`, the fastest
    one on this machine before, if known. The allocator's peak was `first_peak_bytes` with it; 0 if unknown.
    `early_images` is how many images may be decoded while the worker is still importing. With `shards` nothing is
    trained: the worker extracts the features that no other process extracts.
    """

    folder: str
    limit_bytes: int
    by: Literal["stat", "content"]
    fixed_size: int | None = None
    first_size: int | None = None
    first_peak_bytes: int = 0
    early_images: int = Field(0, ge=0)
    shards: ShardJob | None = None


class ShardsDone(Record):
    """What an extraction that fills the cache alone has done.

    Attributes:
        images: of this process's part, each content once.
        extracted: by this worker.
        shards: that it has committed.
        of_others: shards of its part that others have committed meanwhile.
    """

    images: int
    extracted: int
    shards: int
    of_others: int


class ShardAnswer(Record):
    """What a worker has done that was asked for a shard.

    Attributes:
        number: of the shard.
        entry: the name of its entry in the cache; empty if no row was missing.
        images: of the shard, each content once, also those whose rows were there before.
        extracted: by this worker now.
        is_first: whether this worker has committed it, and no other process before.
    """

    number: int
    entry: str = ""
    images: int
    extracted: int = 0
    is_first: bool = False
