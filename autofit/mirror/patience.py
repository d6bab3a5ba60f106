"""The time limits of a mirror."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MirrorPatience:
    """Time limits of the mirror, in seconds.

    Attributes:
        look: the pause between two looks for a new checkpoint. After a copy that took longer, the pause is as long as
            the copy, but not longer than `retry`.
        retry: the longest pause after a copy that failed. The first such pause is `look`, and each is twice the last.
        answer: while the run waits for the drive, how long a copy may make no progress until it is given up.
        silence: while the run does not wait, how long a copy may make no progress until a message says so.
        lock: how long to wait for the lock of a mirror that another run uses.
        last: how long the last copy may take after a run that has ended by itself.
        leave: how long the last copy may take after Ctrl-C or `max_minutes`; together with `Patience.stop_seconds` this
            is less than 30 s.
        quiet: how long the last copy may take until a message says that the run waits for it.
    """

    look: float = 5.0
    retry: float = 60.0
    answer: float = 30.0
    silence: float = 60.0
    lock: float = 10.0
    last: float = 600.0
    leave: float = 8.0
    quiet: float = 5.0


PATIENCE = MirrorPatience()
