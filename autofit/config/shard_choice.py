"""Which part of an extraction a process takes: as given, or as the batch system numbers it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from autofit.errors import UserError

SHARD_IMAGES = 2048
"""How many images, roughly, a shard has, unless there would be too many. A process that is killed loses one shard."""

_GIVEN = re.compile(r"(auto|[0-9]{1,9})(?:/([0-9]{1,9}))?")
_HOW = "give a part such as 3/8, auto in a SLURM array, or auto/8 in an indexed job of 8"


def chosen_shard(value: str | None, environ: Mapping[str, str]) -> tuple[int, int]:
    """The part that this process takes, from 1, and the number of parts.

    Without a value that is `(1, 1)`: all images, which processes share by leases.

    `auto` reads both from the environment of a SLURM array (https://slurm.schedmd.com/job_array.html). `auto/n` reads
    only the part, from there or from an indexed job of Kubernetes, which does not tell its number of parts:
    https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode

    Raises:
        UserError: the value is no part, or `auto` is used outside of an array and an indexed job.
    """
    if value is None:
        return 1, 1
    match = _GIVEN.fullmatch(str(value).strip())
    if not match or (match[1] != "auto" and match[2] is None):
        raise UserError(f"shard {value!r} cannot be used: {_HOW}")
    if match[1] != "auto":
        part, parts = int(match[1]), int(match[2])
    else:
        part, parts = _numbered(environ, None if match[2] is None else int(match[2]), value)
    if not 1 <= part <= parts:
        raise UserError(f"shard {value!r} is part {part} of {parts}: {_HOW}")
    return part, parts


def _numbered(environ: Mapping[str, str], parts: int | None, value: str) -> tuple[int, int]:
    task = _number(environ, "SLURM_ARRAY_TASK_ID")
    if task is not None:
        first, step = _number(environ, "SLURM_ARRAY_TASK_MIN") or 0, _number(environ, "SLURM_ARRAY_TASK_STEP") or 1
        count = _number(environ, "SLURM_ARRAY_TASK_COUNT")
        if count is None and parts is None:
            raise UserError(f"shard {value!r}: SLURM_ARRAY_TASK_COUNT is not set: give auto/8 for an array of 8")
        if count and parts and count != parts:  # a part of the array that is submitted again counts from one
            raise UserError(
                f"shard {value!r}: the array has {count} tasks now, so the part of task {task} is not known: give it, "
                f"such as --shard 1/{parts}"
            )
        return (task - first) // step + 1, (count or 0) if parts is None else parts
    index = _number(environ, "JOB_COMPLETION_INDEX")
    if index is None:
        raise UserError(f"shard {value!r}: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set: {_HOW}")
    if parts is None:
        raise UserError(f"shard {value!r}: an indexed job does not say how many there are: give auto/8 for 8")
    return index + 1, parts


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None
