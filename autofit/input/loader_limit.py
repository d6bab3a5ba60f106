"""Whether the loader is what a pass waits for, in words with what would help. Pure."""

from __future__ import annotations

from autofit.input.thread_autotune import Window

LIMITS = 0.5
"""The loader is the limit if the device waits for it for this share of the time: without, it would be twice as fast."""

LEAST_SECONDS = 3.0
"""A shorter pass is not worth a word, and consists of its first steps."""

BUSY = 0.7
"""The share of the cores that decoding keeps busy if it is decoding itself, and no slow file, that takes the time."""


def loader_limit(use: Window, *, threads: int, cores: int, device_rate: float | None = None) -> str:
    """Say that the loader is the limit, and what would help; empty if it is not.

    Args:
        use: what was measured over the pass.
        threads: that decode.
        cores: of the machine.
        device_rate: images a second of the device, if that was measured; else it follows from the time that it did not
            wait, which is too short where it works ahead.
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
