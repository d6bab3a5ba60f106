"""Whether a run says that its loader is the limit."""

from __future__ import annotations

import pytest

from autofit.input.loader_limit import loader_limit
from autofit.input.thread_autotune import Window
from autofit.input.wait_meter import WaitMeter


def said(use: Window, device_rate: float | None = 4681.0) -> str:
    return loader_limit(use, threads=64, cores=16, device_rate=device_rate)


def test_a_loader_that_keeps_the_cores_busy_is_named_with_both_speeds() -> None:
    """A user of a fast card would look for the fault in the card."""
    assert said(Window(seconds=10, images=12_000, waited_seconds=8, cpu_seconds=140)) == (
        "the loader is the limit: it gives 1,200 images/s with 64 threads, the device could take 4,681; decoding keeps "
        "16 cores busy: smaller image files or more cores would help"
    )


def test_slow_files_are_another_matter_than_slow_decoding() -> None:
    """Someone would buy cores who needs a local disk."""
    text = said(Window(seconds=10, images=1_000, waited_seconds=9, cpu_seconds=5), device_rate=None)
    assert "it gives 100 images/s" in text
    assert "the device could take 1,000; the cores wait for the files: a copy on a local disk would help" in text


@pytest.mark.parametrize(
    "use",
    [Window(10, 12_000, 4.9, 140), Window(2.9, 5_000, 2.8, 40), Window(0.0, 0, 0.0, 0.0)],
    ids=["the device is", "short", "nothing"],
)
def test_where_the_loader_is_not_the_limit_nothing_is_said(use: Window) -> None:
    """Each run would be told of a limit that it does not have."""
    assert said(use) == ""


def test_the_meter_joins_its_windows() -> None:
    """A pass of minutes would be judged by its last second."""
    now = 0.0

    def clock() -> float:
        return now

    meter = WaitMeter(clock, cpu_clock=lambda: 0.0)
    assert meter.whole() == Window(0.0, 0, 0.0, 0.0)
    for _ in range(3):
        with meter.waiting():
            now += 2
        with meter.decoding():
            pass
        now += 1
        if now < 9:
            assert meter.window(1) is not None
    assert meter.whole() == Window(seconds=9.0, images=3, waited_seconds=6.0, cpu_seconds=0.0)
