"""Tells whether a pass is limited by the loader, and what would help. Pure."""

from __future__ import annotations

from autofit.input.thread_autotune import Window

LIMITS = 0.5
"""The loader counts as the limit if the device waits for it for this share of the time: without waiting, the pass would
be twice as fast."""

LEAST_SECONDS = 3.0
"""A shorter pass is not reported: it consists mostly of its first steps."""

BUSY = 0.7
"""If decoding keeps at least this share of the cores busy, decoding itself takes the time, not slow files."""


def loader_limit(use: Window, *, threads: int, cores: int, device_rate: float | None = None) -> str:
    """Say that the loader is the limit, and what would help; empty if it is not.

    Args:
        use: the measurements over the pass.
        threads: the number of decoding threads.
        cores: the number of the machine's cores.
        device_rate: images per second of the device, if that was measured; otherwise it is computed from the time that
            the device did not wait, which is too short if the device works asynchronously.
    """
    if use.seconds < LEAST_SECONDS or use.waited_seconds < LIMITS * use.seconds:
        return ""
    rate = use.images / use.seconds
    device = device_rate or use.images / max(use.seconds - use.waited_seconds, 1e-9)
    is_busy = use.cpu_seconds >= BUSY * cores * use.seconds
    helps = (
        f"decoding keeps {cores} cores busy: smaller image files or more cores would help"
        if is_busy
        else "the cores wait for the files: a copy on a local disk would help"
    )
    return (
        f"the loader is the limit: it gives {rate:,.0f} images/s with {threads} threads, the device could take "
        f"{device:,.0f}; {helps}"
    )
