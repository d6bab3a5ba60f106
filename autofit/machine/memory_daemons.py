"""Daemons that end processes before the machine's memory runs out, such as earlyoom. Pure."""

from __future__ import annotations

SIGNALS = frozenset({"SIGTERM", "SIGKILL"})

SHORT_SHARE = 0.125
"""With less than this share of the memory left, such a daemon is likely behind a signal that the parent did not send.
earlyoom sends SIGTERM below a tenth of it by default, and SIGKILL below a twentieth
(https://github.com/rfjakob/earlyoom); a worker's reading may be a quarter of a second older than the daemon's."""


def daemon_cause(signal_name: str, left_share: float | None) -> str:
    """The cause if a daemon is likely to have sent a signal for lack of memory; else empty.

    `left_share` is the share of the machine's memory, or of a cgroup's, that is left; None if it is unknown.
    """
    if signal_name not in SIGNALS or left_share is None or left_share >= SHORT_SHARE:
        return ""
    return f"{signal_name} with {100 * left_share:.0f} % of the memory left, as a daemon such as earlyoom sends it"
