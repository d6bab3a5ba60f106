"""The memory that a worker may use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autofit.config.options import make_options
from autofit.errors import UserError
from autofit.machine.hardware import Hardware
from autofit.machine.process_limits import ADDRESS_SPACE, DATA_SEGMENT
from autofit.probing.records import ProbeReport
from autofit.protocol.job import TrainingPlan
from autofit.runs.memory_budget import largest_decoded_batch, limited_by, memory_budget
from autofit.runs.plan import training_plan
from tests.support.machines import make_hardware
from tests.support.records import make_probe_report

CPU = make_hardware(cores=4, host_limit_bytes=12 * 10**9, host_available_bytes=9 * 10**9, limited_by="a cgroup")
GPU = CPU.model_copy(
    update={"device": "gpu", "device_memory_bytes": 80 * 10**9, "device_free_bytes": 70 * 10**9, "limited_by": "GPU"}
)
LARGE = CPU.model_copy(update={"host_available_bytes": 24 * 10**9})


def planned(images: int, probe: ProbeReport | None, **given: Any) -> TrainingPlan:
    return training_plan(make_options(**given), images, probe, CPU)


@pytest.mark.parametrize(
    ("machine", "limit", "expected"),
    [
        (CPU, None, (8_100_000_000, False)),  # nine tenths
        (CPU, "3GB", (3 * 10**9, True)),
        (CPU, "700MB", (700 * 10**6, True)),
        (GPU, None, (68 * 10**9, False)),  # less 2 GB for CUDA and the system
        (GPU, "200MB", (200 * 10**6, True)),
        (GPU.model_copy(update={"device_free_bytes": None}), None, (78 * 10**9, False)),
        (GPU.model_copy(update={"compute_capability": "9.0"}), None, (69_500 * 10**6 - 1800 * 2**20, False)),
        (GPU.model_copy(update={"compute_capability": "8.6"}), None, (69_500 * 10**6 - 1536 * 2**20, False)),
    ],
    ids=["cpu", "cpu limit", "cpu least", "gpu", "gpu limit", "gpu that does not say what is free", "H100", "A10"],
)
def test_the_budget_is_the_limit_that_was_given_or_what_is_free(
    machine: Hardware, limit: str | None, expected: tuple[int, bool]
) -> None:
    """The worker would take the memory of others, or keep a limit that nobody set."""
    budget = memory_budget(make_options(memory_limit=limit), machine, largest_batch=1)
    assert (budget.limit_bytes, budget.is_given) == expected
    assert budget.device == machine.device


def test_an_extraction_on_a_cpu_leaves_the_machine_what_it_has_no_use_for() -> None:
    """TensorFlow's allocator would keep a share of 24 GB resident for the features of a few photos."""
    large = CPU.model_copy(update={"host_available_bytes": 24 * 10**9})
    assert memory_budget(make_options(), large, 1).limit_bytes == 21_600_000_000
    small_photos, large_photos = (make_options(image_size=size) for size in (160, 600))
    assert memory_budget(small_photos, large, 64, extracts=True).limit_bytes == 4 * 10**9
    assert memory_budget(small_photos, large, 256, extracts=True).limit_bytes == 2_200_000_000 + 256 * 160 * 160 * 1000
    assert memory_budget(large_photos, large, 64, extracts=True).limit_bytes == 21_600_000_000
    given = memory_budget(make_options(memory_limit="12GB"), large, 1, extracts=True)
    assert (given.limit_bytes, given.is_given) == (12 * 10**9, True)
    small = CPU.model_copy(update={"host_available_bytes": 4 * 10**9})
    assert memory_budget(make_options(), small, 1, extracts=True).limit_bytes == 3_600_000_000
    assert memory_budget(make_options(), GPU, 1, extracts=True).limit_bytes == 68 * 10**9


@pytest.mark.parametrize(
    ("machine", "given", "foreseen", "expected"),
    [
        ("large", {}, 1.2e9, 4 * 10**9),
        ("large", {}, 2e9, 6 * 10**9),
        ("large", {}, 20e9, 21_600_000_000),
        ("large", {}, float("inf"), 21_600_000_000),
        ("large", {"memory_limit": "12GB"}, 1.2e9, 12 * 10**9),
        ("gpu", {}, 1.2e9, 68 * 10**9),
    ],
)
def test_a_training_whose_size_is_foreseen_leaves_the_rest_to_others(
    machine: str, given: dict[str, Any], foreseen: float, expected: int
) -> None:
    """The allocator would have a share of all memory resident, for what it never uses."""
    of = {"large": CPU.model_copy(update={"host_available_bytes": 24 * 10**9}), "gpu": GPU}[machine]
    assert memory_budget(make_options(**given), of, 1, foreseen_bytes=foreseen).limit_bytes == expected


def test_features_are_decoded_in_blocks() -> None:
    """The memory for the images of an extraction would be missing from the budget."""
    made = planned(500, None, batch_size=8)
    assert made.feature_cache
    assert largest_decoded_batch(made, CPU) == 64
    assert largest_decoded_batch(planned(500, None, batch_size=8, feature_cache="off"), CPU) == 8


def test_without_a_line_of_memory_nothing_is_foreseen() -> None:
    """A probe that measured a single size says nothing of another."""
    assert training_plan(make_options(), 10_000, make_probe_report(32), LARGE).kernels == "eigen"


@pytest.mark.parametrize(
    ("size", "batch", "expected"),
    [
        (224, 1, 32 * 2**20),  # never under 32 MiB
        (224, 128, 3 * 128 * 224 * 224 * 3),
        ("100x1000", 512, 3 * 512 * 100 * 1000 * 3),
    ],
)
def test_the_loader_may_hold_three_of_the_largest_batches(size: int | str, batch: int, expected: int) -> None:
    """The device would wait for a loader that may not work ahead, or images would fill the host's memory."""
    assert memory_budget(make_options(image_size=size), CPU, batch).buffer_bytes == expected


@pytest.mark.parametrize(
    ("machine", "limit", "expected"),
    [
        (CPU, None, 64 * 2**20),
        (GPU, None, 64 * 2**20),
        (CPU, "3GB", 0),
        (CPU.model_copy(update={"host_available_bytes": 3 * 10**9}), None, 0),
    ],
    ids=["plenty", "gpu", "a limit", "little"],
)
def test_threads_that_wait_for_files_have_memory_where_there_is_plenty(
    machine: Hardware, limit: str | None, expected: int
) -> None:
    """From a mounted drive a file would come at a time, or a limit be passed by threads."""
    assert memory_budget(make_options(memory_limit=limit), machine, 1).threads_bytes == expected


@pytest.mark.parametrize("limit", ["699999999", "200MB", "1B"])
def test_a_limit_under_what_the_bare_process_needs_is_refused_with_the_figure(limit: str) -> None:
    """The worker would be started only to be killed, and nobody would know how much is enough."""
    with pytest.raises(
        UserError, match=r"^memory_limit .* is under what the bare process needs .*700 MB.*give more than 1.1 GB"
    ):
        memory_budget(make_options(memory_limit=limit), CPU, largest_batch=1)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: make_options(memory_limit="3GB"), "--memory-limit"),
        (make_options, "a cgroup"),
    ],
    ids=["given", "machine"],
)
def test_the_limit_that_counts_has_a_name(make: Callable[[], Any], expected: str) -> None:
    """A user could not tell what to raise."""
    assert limited_by(make(), CPU) == expected


@pytest.mark.parametrize("limited_by", [ADDRESS_SPACE, DATA_SEGMENT])
def test_a_limit_of_the_shell_is_kept_or_named(limited_by: str) -> None:
    """The allocator would reserve more than may be mapped, and fail at sizes that fit, for minutes."""
    machine = CPU.model_copy(update={"host_available_bytes": 6 * 10**9, "limited_by": limited_by})
    assert memory_budget(make_options(), machine, 1).limit_bytes == 5_400_000_000
    tight = machine.model_copy(update={"host_available_bytes": 1_200_000_000})
    with pytest.raises(UserError, match=r"leaves a worker 1080 MB, and the smallest training takes 1.1 GB: raise that"):
        memory_budget(make_options(), tight, 1)


@pytest.mark.parametrize(
    ("machine", "limit", "expected"),
    [
        (CPU, "9GB", (9 * 10**9, True, "--memory-limit")),
        (CPU, "9.1GB", (8_100_000_000, False, "a cgroup")),
        (GPU, "70GB", (70 * 10**9, True, "--memory-limit")),
        (GPU, "100GB", (68 * 10**9, False, "GPU")),
    ],
    ids=["cpu", "cpu, more than it has", "gpu", "gpu, more than it has"],
)
def test_a_limit_beyond_what_the_machine_has_is_none(
    machine: Hardware, limit: str, expected: tuple[int, bool, str]
) -> None:
    """A probe with 16 GB given in a notebook of 12 would have the kernel kill its trials, or the notebook."""
    options = make_options(memory_limit=limit)
    budget = memory_budget(options, machine, 1)
    assert (budget.limit_bytes, budget.is_given, limited_by(options, machine)) == expected
