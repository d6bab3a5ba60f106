"""The time limits of a mirror."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MirrorPatience:
    """Time limits of the mirror, in seconds.

    Attributes:
        look: the pause between two looks for a new checkpoint; after a copy that took longer, as long as that took.
        retry: the longest pause after a copy that failed; the first is `look`, each the double of the one before.
        answer: how long a drive may not advance while the run waits for it.
        silence: how long a drive may not advance before a message says so, while nothing waits for it.
        lock: how long to wait for the lock of a mirror that another run uses.
        last: how long the last copy may take after a run that has ended by itself.
        leave: how long the last copy may take after Ctrl-C or `max_minutes`; with `Patience.stop_seconds`, less than
            half a minute.
        quiet: how long the last copy may take before a message says that the run waits for it.
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
