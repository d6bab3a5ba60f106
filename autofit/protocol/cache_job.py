"""How a worker uses the feature cache; and an extraction without training: its job, and what it reports at the end."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autofit.storage.records import Record


class ShardJob(Record):
    """An extraction that fills the cache and trains nothing: part `part` of `parts` of the images, shard after shard.

    Attributes:
        part: the number of this process's part, counted from 1.
        parts: the number of parts into which the images are divided, by their content.
        shard_images: about how many images a shard has.
        owner: the signature in the leases of this call's workers, which run one after another.
        lease_seconds: a process that has not renewed its lease for so long is taken for dead.
        on_request: whether the worker waits to be asked for one shard after another, each by its number.
        known: the path of a file that lists images whose rows are stored elsewhere, as `autofit.cache.known_images`
            writes it; None if there are none.
    """

    part: int = Field(1, ge=1)
    parts: int = Field(1, ge=1)
    shard_images: int = Field(ge=1)
    owner: str = Field(pattern=r"^[0-9a-f]{16}$")
    lease_seconds: float = Field(gt=0)
    on_request: bool = False
    known: str | None = None


class CacheJob(Record):
    """The cache of features and decoded images.

    Attributes:
        folder: the path of the cache.
        limit_bytes: the size that the whole cache may have.
        by: how an image is recognized: by all of its content, or, if it is large, by path, status and samples of the
            content (`stat`); see `autofit.cache.identity`.
        fixed_size: the micro-batch size of an extraction; None if it is to find the fastest.
        first_size: the micro-batch size with which that search starts: the fastest one of an earlier extraction on this
            machine; None if there was none.
        first_peak_bytes: the allocator's peak with `first_size`; 0 if unknown.
        early_images: how many images may be decoded while the worker is still importing TensorFlow.
        code: a hash of the code of the user's own network, with which its layers compute; empty for a backbone.
        shards: given where nothing is trained: the worker then extracts the features that no other process extracts.
    """

    folder: str
    limit_bytes: int
    by: Literal["stat", "content"]
    fixed_size: int | None = None
    first_size: int | None = None
    first_peak_bytes: int = 0
    early_images: int = Field(0, ge=0)
    code: str = ""
    shards: ShardJob | None = None


class ShardsDone(Record):
    """What an extraction that trains nothing has done.

    Attributes:
        images: how many different images this process's part has, without those that this worker could not read.
        extracted: how many images this worker has extracted.
        shards: how many shards it has committed.
        of_others: how many shards of its part other processes have committed meanwhile.
    """

    images: int
    extracted: int
    shards: int
    of_others: int


class ShardAnswer(Record):
    """What a worker has done about the shard that it was asked for.

    Attributes:
        number: the shard's number.
        entry: the name of its entry in the cache; empty if no row was missing, or no image that lacks one can be read.
        images: how many different images the shard has, with those whose rows were there before, and without those that
            this worker could not read.
        extracted: how many images this worker has extracted for it.
        is_first: whether this worker was the first to commit the shard.
    """

    number: int
    entry: str = ""
    images: int
    extracted: int = 0
    is_first: bool = False
