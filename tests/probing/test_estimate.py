"""What fits another machine, by lines that are known exactly."""

from __future__ import annotations

import pytest

from autofit.machine.cards import CARDS, CONTEXT_BYTES
from autofit.machine.memory_policy import HANDLES_SHARE
from autofit.probing.estimate import LEAST_WORKSPACE_BYTES, Target, estimated, sizes_that_ran
from autofit.probing.memory_model import UNBOUNDED_BATCH
from autofit.protocol.messages import Trial, Verdict
from tests.support.lines import BASE_BYTES, GB, IMAGE_BYTES, MB, PROCESS_BYTES, measured_line


@pytest.mark.parametrize("limit_bytes", [2 * GB, 4 * GB, 32 * GB])
def test_on_a_cpu_the_process_and_a_headroom_count(limit_bytes: int) -> None:
    """The estimate would leave out the process, or promise more than the probe finds."""
    found = estimated(measured_line(), Target("cpu", limit_bytes))
    process_bytes = PROCESS_BYTES + (limit_bytes - measured_line().limit_bytes) / HANDLES_SHARE
    true_maximum = (limit_bytes - process_bytes - BASE_BYTES) / IMAGE_BYTES
    assert found.largest_batch_at_most == int(true_maximum)
    assert 0.945 * true_maximum <= found.largest_batch <= 0.95 * true_maximum


def test_gaps_between_tensors_count_on_a_cpu() -> None:
    """A network that leaves gaps would be promised a size that runs out, as ResNet50 with 22 %."""
    whole, gappy = (estimated(measured_line(gaps), Target("cpu", 4 * GB)).largest_batch for gaps in (1.0, 1.25))
    assert gappy < 0.82 * whole


def test_on_a_gpu_tensors_have_what_the_system_the_context_and_workspaces_leave() -> None:
    """The process's memory on this CPU would be counted on a card, or what only a card needs would not."""
    card = CARDS["t4"]
    found = estimated(measured_line(), Target(card.name, card.memory_bytes, card))
    left = 1050 * 2**20
    assert found.base_bytes == pytest.approx(BASE_BYTES)
    assert found.other_bytes[0] == left + CONTEXT_BYTES[0]
    assert found.other_bytes[1] >= left + CONTEXT_BYTES[1] + LEAST_WORKSPACE_BYTES
    at_most = (card.memory_bytes - left - CONTEXT_BYTES[0] - BASE_BYTES) / IMAGE_BYTES
    assert found.largest_batch_at_most == int(at_most)
    assert 0.85 * at_most < found.largest_batch < 0.93 * at_most
    assert BASE_BYTES + IMAGE_BYTES * found.largest_batch + found.other_bytes[1] <= card.memory_bytes


def test_a_gpu_without_a_name_is_less_sure_than_a_card_of_the_same_memory() -> None:
    """Not knowing the generation would make no difference."""
    card = CARDS["t4"]
    named = estimated(measured_line(), Target(card.name, card.memory_bytes, card))
    unnamed = estimated(measured_line(), Target("gpu", card.memory_bytes))
    assert unnamed.largest_batch < named.largest_batch
    assert unnamed.largest_batch_at_most > named.largest_batch_at_most


@pytest.mark.parametrize("target", [Target("cpu", 700 * MB), Target("gpu", 1 * GB)], ids=["cpu", "gpu"])
def test_a_machine_that_is_too_small_holds_nothing(target: Target) -> None:
    """A negative size, or one image where there is no room for the network."""
    assert estimated(measured_line(), target).largest_batch == 0


@pytest.mark.parametrize("target", [Target("cpu", 64 * GB), Target("gpu", 40 * GB)], ids=["cpu", "gpu"])
def test_a_size_that_ran_is_sure_to_fit_a_machine_with_far_more_memory(target: Target) -> None:
    """A small network whose line is off would be told not to fit a card of 40 GB, with one image either."""
    measured = measured_line()
    *others, last = measured.trials
    off = last.model_copy(update={"peak_bytes": 2 * last.peak_bytes, "arena_resident_bytes": 2 * last.peak_bytes})
    found = estimated(measured.model_copy(update={"trials": [*others, off]}), target)
    assert last.batch_size <= found.largest_batch < found.largest_batch_at_most


def test_where_the_update_hides_the_images_no_more_is_promised_than_they_can_take() -> None:
    """ResNet50 at 96 px has peaks of 705, 707 and 744 MB: by their line 1,311 images fit on 8 GB, where 700 do."""
    line = measured_line(sizes=(4, 16, 32))
    peaks = (705 * MB, 707 * MB, 744 * MB)
    trials = [
        trial.model_copy(update={"peak_bytes": peak, "arena_resident_bytes": peak})
        for trial, peak in zip(line.trials, peaks, strict=True)
    ]
    found = estimated(line.model_copy(update={"trials": trials}), Target("gpu", 8 * GB))
    assert 32 <= found.largest_batch <= 8 * GB * 32 // (744 * MB)
    assert found.largest_batch_at_most == UNBOUNDED_BATCH
    assert found.max_relative_error > 0.5


def test_nothing_is_estimated_from_nothing() -> None:
    """A network that did not run here would be given figures all the same."""
    nothing = measured_line(sizes=()).model_copy(update={"trials": [Trial(batch_size=1, verdict=Verdict.HOST_OOM)]})
    assert sizes_that_ran(nothing.trials) == 0
    with pytest.raises(ValueError, match="at least one size"):
        estimated(nothing, Target("cpu", 4 * GB))
