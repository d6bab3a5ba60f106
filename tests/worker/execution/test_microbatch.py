"""The response to an out-of-memory on a simulated device, whose free memory another program takes in the middle."""

from __future__ import annotations

import pytest
import tensorflow as tf

from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError

pytestmark = pytest.mark.slow


class Device:
    """A device that holds so many images at once, until another program leaves it fewer."""

    def __init__(self, most: int) -> None:
        self.most, self.sizes = most, list[int]()

    def run(self, size: int) -> int:
        """Run a micro-batch of this size."""
        if size > self.most:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        self.sizes.append(size)
        return size


def test_memory_that_is_taken_in_the_middle_shrinks_and_loses_nothing() -> None:
    """A run would end, or skip the batch in which another program came."""
    device, shrinks, done = Device(100), list[Shrink](), list[tuple[int, int]]()
    micro = MicroBatcher(64, shrinks.append)

    def one_slice(start: int, stop: int) -> None:
        device.run(stop - start)
        done.append((start, stop))
        device.most = 20 if stop >= 128 else device.most

    micro.slices(256, one_slice)
    assert [(shrink.before, shrink.after) for shrink in shrinks] == [(64, 32), (32, 16)]
    assert done[:2] == [(0, 64), (64, 128)]
    assert [stop for _, stop in done] == [*[start for start, _ in done[1:]], 256]
    assert micro.repeat(16, device.run) == 16


def test_the_next_size_is_a_tuned_one_where_there_is_one() -> None:
    """Each new shape costs a GPU seconds of tuning: half of 64 would be one more, that may not fit either."""
    device, shrinks = Device(100), list[Shrink]()
    micro = MicroBatcher(16, shrinks.append, pads=True)
    assert micro.repeat(16, device.run) == 16
    micro.size, device.most = 64, 40
    assert micro.repeat(64, device.run) == 16
    micro.slices(70, lambda *_: device.run(micro.size))
    assert [(shrink.before, shrink.after) for shrink in shrinks] == [(64, 16)]
    assert set(device.sizes) == {16}


def test_where_nothing_is_left_it_says_so() -> None:
    """It would go on for ever with a single image that does not fit."""
    device = Device(100)
    micro = MicroBatcher(4, lambda _: None)
    assert micro.repeat(4, device.run) == 4
    device.most = 0
    with pytest.raises(OutOfDeviceMemoryError):
        micro.repeat(4, device.run)


def test_a_padded_slice_takes_the_memory_of_a_whole_one() -> None:
    """A last batch of five, padded to 64, would be halved to two although 32 fit."""
    device, shrinks = Device(40), list[Shrink]()
    MicroBatcher(64, shrinks.append, pads=True).repeat(5, device.run)
    assert [(shrink.before, shrink.after) for shrink in shrinks] == [(64, 32)]


def test_a_padded_slice_that_failed_is_halved_and_not_the_size_that_it_is_smaller_than() -> None:
    """In a ramp of batch sizes the same eight rows failed three times, and the report told of 64, 32 and 16 images."""
    device, shrinks, tried = Device(5), list[Shrink](), list[int]()
    micro = MicroBatcher(64, shrinks.append, pads=True)

    def work(rows: int) -> int:
        tried.append(rows)
        return device.run(rows)

    assert micro.repeat(8, work, usual=8) == 4
    assert tried == [8, 4]
    assert [(shrink.before, shrink.after) for shrink in shrinks] == [(8, 4)]
