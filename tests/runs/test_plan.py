"""The plan: from a request, a machine and a probe to sizes, as tables."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from autofit.config.learning_rates import fall_at_the_end
from autofit.config.options import make_options
from autofit.config.rungs import KEPT, Rung
from autofit.machine.hardware import Hardware
from autofit.probing.records import MemoryModelRecord, ProbeReport
from autofit.protocol.job import Kernels, TrainingPlan, Tuning
from autofit.protocol.tf_choices import kernels_asked, tuning_asked, xla_asked
from autofit.runs import plan
from autofit.runs.plan import staged_plan, training_plan
from tests.support.machines import make_hardware
from tests.support.records import make_probe_report

CPU = make_hardware(cores=4, host_limit_bytes=12 * 10**9, host_available_bytes=9 * 10**9, limited_by="a cgroup")
GPU = CPU.model_copy(
    update={"device": "gpu", "device_memory_bytes": 80 * 10**9, "device_free_bytes": 70 * 10**9, "limited_by": "GPU"}
)


SLOW_AND_SMALL = make_probe_report(4, 20)
FAST_AND_LARGE = make_probe_report(2048, 4096)


def planned(images: int, probe: ProbeReport | None, **given: Any) -> TrainingPlan:
    return training_plan(make_options(**given), images, probe, CPU)


@pytest.mark.parametrize(("images", "expected"), [(60, 8), (1_000, 16), (10_000, 32), (10**6, 32)])
@pytest.mark.parametrize(
    "given",
    [{}, {"feature_cache": "off"}, {"trainable": "all"}, {"weights": None}, {"model": "json:loads"}],
    ids=str,
)
def test_an_automatic_batch_is_the_same_on_every_machine(images: int, expected: int, given: dict[str, Any]) -> None:
    """Two machines would train two models from one request: the batch would follow what is fast, or what fits."""
    options = make_options(**given)
    if options.weights == "none" and options.model is None:
        expected = max(expected, 16)
    for probe, machine in ((SLOW_AND_SMALL, CPU), (FAST_AND_LARGE, GPU), (SLOW_AND_SMALL, GPU)):
        made = training_plan(options, images, probe, machine)
        assert (made.first_batch_size, made.last_batch_size) == (expected, expected)


@pytest.mark.parametrize("given", [{"trainable": "all"}, {"weights": None}, {"model": "json:loads"}], ids=str)
def test_where_the_backbone_trains_every_machine_that_holds_the_batch_has_the_same_micro_batch(
    given: dict[str, Any],
) -> None:
    """BatchNormalization would take its statistics from the parts that happen to be fast on this machine."""
    options = make_options(**given)
    on_a_cpu = training_plan(options, 10_000, make_probe_report(4, 40), CPU)
    on_a_gpu = training_plan(options, 10_000, FAST_AND_LARGE, GPU)
    assert (on_a_cpu.micro_batch_size, on_a_cpu.micro_batch_is_cut) == (32, False)
    assert (on_a_gpu.micro_batch_size, on_a_gpu.micro_batch_is_cut) == (32, False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"weights": None}, True),
        ({"trainable": "all"}, True),
        ({"weights": None, "micro_batch_size": 4}, False),  # as the user wants it
        ({"feature_cache": "off"}, False),  # a frozen backbone gives the same features in any parts
    ],
    ids=str,
)
def test_a_batch_that_the_machine_has_to_cut_is_noted(given: dict[str, Any], expected: bool) -> None:  # noqa: FBT001
    """The run would end with other weights than on a larger machine, and not say so."""
    assert training_plan(make_options(**given), 10_000, SLOW_AND_SMALL, CPU).micro_batch_is_cut is expected


@pytest.mark.parametrize(
    ("given", "probe", "expected"),
    [
        ({}, make_probe_report(64), 16),  # the batch itself: 16 for 1,000 images
        ({}, make_probe_report(4), 4),
        ({"batch_size": 128}, None, 128),  # no probe: begin with the whole batch
        ({"batch_size": 128}, make_probe_report(64), 64),
        ({"batch_size": 128, "micro_batch_size": 16}, None, 16),
        ({"batch_size": 8, "micro_batch_size": 16}, None, 8),  # never more than the batch
        ({"batch_schedule": "32:64"}, None, 64),
        ({"batch_schedule": "64:32"}, None, 64),
        ({"batch_schedule": "32:64", "epochs": 1}, None, 32),  # the ramp never gets to 64
        ({"batch_schedule": "32:64", "micro_batch_size": 48}, None, 48),
    ],
    ids=str,
)
def test_the_micro_batch_is_what_was_asked_for_or_what_the_probe_found(
    given: dict[str, Any], probe: ProbeReport | None, expected: int
) -> None:
    """The first step would run out of memory although the probe knew better, or a request would go unheard."""
    assert planned(1_000, probe, **given).micro_batch_size == expected


@pytest.mark.parametrize(
    ("given", "largest", "expected"),
    [
        ({"weights": None}, 40, 30),
        ({"weights": None}, 1, 1),  # one image at a time is the least there is
        ({"weights": None}, 128, 128),  # it fits, whatever is fast
        ({"weights": None}, 127, 32),
        ({"weights": "imagenet", "trainable": "all"}, 40, 32),  # frozen BatchNormalization: it may shrink
        ({}, 40, 32),
        ({"model": "json:loads"}, 40, 30),  # it may hold BatchNormalization that trains
    ],
    ids=str,
)
def test_from_scratch_a_quarter_of_what_fits_is_left_free(given: dict[str, Any], largest: int, expected: int) -> None:
    """BatchNormalization would see other micro-batches after a shrink, and the result would be changed."""
    assert (
        planned(10_000, make_probe_report(min(32, largest), largest), batch_size=128, **given).micro_batch_size
        == expected
    )


@pytest.mark.parametrize(
    ("given", "device", "expected"),
    [
        ({}, "gpu", None),
        ({"deterministic": True}, "cpu", 32),
        ({"deterministic": True}, "gpu", 64),
        ({"deterministic": True, "batch_size": 16}, "gpu", 64),  # an extraction is no update
        ({"deterministic": True, "micro_batch_size": 8}, "gpu", 8),
        ({"micro_batch_size": 64, "batch_size": 16}, "cpu", 16),
    ],
    ids=str,
)
def test_a_deterministic_extraction_does_not_measure(
    given: dict[str, Any], device: Literal["cpu", "gpu"], expected: int | None
) -> None:
    """The features of two equal runs would come from other micro-batches, and differ in their last bits."""
    options = make_options(**given)
    made = training_plan(options, 1_000, None, CPU)
    assert made.deterministic is options.deterministic
    assert plan.extraction_size(options, made, device) == expected


@pytest.mark.parametrize(
    ("given", "images", "asked", "expected"),
    [
        ({}, 250, None, "quick"),
        ({}, 4_000, None, "quick"),
        ({}, 4_001, None, "tuned"),
        ({"image_size": 448}, 1_001, None, "tuned"),  # four times the pixels
        ({"augment": "light", "feature_cache": "on"}, 1_001, None, "tuned"),  # four views
        ({"epochs": 1}, 250, None, "tuned"),  # no cache: nothing says how long the backbone runs
        ({"trainable": "all"}, 250, None, "tuned"),
        ({"trainable": "all", "deterministic": True}, 250, None, "quick"),
        ({"isolation": "inline"}, 250, None, "tuned"),  # a user's own process is left as it is
        ({}, 250, "tuned", "tuned"),
        ({}, 10**6, "quick", "quick"),
    ],
    ids=str,
)
def test_convolutions_are_tuned_where_that_pays(
    given: dict[str, Any], images: int, asked: Tuning | None, expected: Tuning
) -> None:
    """A run of seconds would wait for its tuning, or one of hours would run slower convolutions."""
    options = make_options(image_size=given.pop("image_size", 224), **given)
    assert training_plan(options, images, make_probe_report(32), GPU, None, asked).tuning == expected
    assert training_plan(options, images, make_probe_report(32), CPU, None).tuning == "tuned"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--tf_xla_auto_jit=2", True),
        ("--tf_xla_clustering_debug --tf_xla_auto_jit=1", True),
        ("--tf_xla_auto_jit=2 --tf_xla_auto_jit=-1", False),
        ("--tf_xla_auto_jit=0", False),
        ("--tf_xla_cpu_global_jit", False),
        ("", False),
    ],
)
def test_xla_is_asked_for_in_tensorflows_way(flags: str, *, expected: bool) -> None:
    """Who has switched it off, or set another flag, would wait minutes for a compilation."""
    assert xla_asked({"TF_XLA_FLAGS": flags}) is expected
    assert not xla_asked({})


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", "quick"), ("False", "quick"), ("1", "tuned"), ("true", "tuned"), ("", None), ("2", None)],
)
def test_the_variable_is_read_as_tensorflow_does(value: str, expected: Tuning | None) -> None:
    """What a user has set would be passed over."""
    assert tuning_asked({"TF_CUDNN_USE_AUTOTUNE": value}) == expected
    assert tuning_asked({}) is None


def test_a_ramp_keeps_both_ends_and_the_settings_that_were_asked_for() -> None:
    """A resumed run would train with other settings than the request's."""
    made = planned(
        500,
        None,
        batch_schedule="32:16",
        epochs=3,
        seed=7,
        class_weight="balanced",
        early_stopping=2,
        checkpoint_every=50,
        audit=True,
    )
    assert made == TrainingPlan(
        epochs=3,
        first_batch_size=32,
        last_batch_size=16,
        micro_batch_size=32,
        seed=7,
        class_weight="balanced",
        early_stopping=2,
        checkpoint_seconds=None,
        checkpoint_steps=50,
        audit=True,
        replay=None,
        threads=4,
        feature_cache=True,
        kernels="onednn",
        head_from_zeros=True,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"epochs": 3}, True),
        ({"hidden_units": 8, "weights": "imagenet"}, True),
        ({"feature_cache": "off"}, True),
        ({"trainable": "all"}, True),  # its head's stage
        ({"trainable": "all", "optimizer": "sgd"}, False),
        ({"recipe": "classic"}, False),
        ({"weights": None}, False),
        ({"model": "json:loads"}, False),
    ],
    ids=str,
)
def test_a_head_on_pretrained_features_begins_with_zeros(given: dict[str, Any], *, expected: bool) -> None:
    """Its first epochs would undo random weights; or a network trained otherwise begin unlike in Keras."""
    assert staged_plan(make_options(**given), 1_000, 10, None, CPU).head_from_zeros is expected


@pytest.mark.parametrize(("images", "expected"), [(10, 8), (800, 16), (1_280, 32), (10**6, 32)])
def test_a_head_on_kept_features_has_the_usual_batch(images: int, expected: int) -> None:
    """A batch that fills the device would leave a head hardly any updates to learn from."""
    assert planned(images, None).first_batch_size == expected


def test_one_core_still_decodes_and_trains_at_once() -> None:
    """The device would wait for each image to be decoded."""
    one_core = CPU.model_copy(update={"cores": 1})
    assert training_plan(make_options(batch_size=8), 100, None, one_core).threads == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, False),  # an extraction finds its own size
        ({"feature_cache": "off"}, True),
        ({"feature_cache": "off", "micro_batch_size": 8}, True),
        ({"trainable": "all"}, True),
        ({"model": "json:loads"}, True),
        ({"epochs": 1}, True),
        ({"epochs": 1, "feature_cache": "on"}, False),
        ({"trainable": "all", "batch_size": 32}, False),
        ({"trainable": "all", "batch_schedule": "32:16"}, False),
    ],
    ids=str,
)
def test_a_probe_is_made_only_where_a_size_is_left_open(given: dict[str, Any], expected: bool) -> None:  # noqa: FBT001
    """A minute would be spent on an answer that nobody asked for, or none would be there."""
    assert plan.needs_probe(make_options(**given)) is expected


@pytest.mark.parametrize(
    ("given", "images", "expected"),
    [
        ({}, 1_000, 16),
        ({}, 10**9, 32),
        ({}, 10, 8),
        ({"micro_batch_size": 6}, 10**9, 6),
        ({"weights": "none"}, 10, 16),
        ({"weights": "none"}, 3_000, 16),
        ({"weights": "none"}, 4_000, 32),
        ({"weights": "none", "recipe": "classic"}, 3_000, 32),
        ({"trainable": "all", "model": "json:loads"}, 3_000, 32),
        ({"trainable": "all"}, 100, 32),  # after the head, and that has 32 for any number of images
        ({"trainable": "all", "recipe": "classic"}, 100, 8),
    ],
    ids=str,
)
def test_a_probe_looks_no_further_than_a_training_could_use(given: dict[str, Any], images: int, expected: int) -> None:
    """On a large GPU it would climb to thousands of images for a set of a hundred."""
    assert plan.largest_useful_batch(make_options(**given), images, CPU) == expected


TWO = GPU.model_copy(update={"devices": 2})


@pytest.mark.parametrize(
    ("given", "largest", "micro"),
    [
        ({"trainable": "all"}, 32, 32),
        ({"trainable": "all", "devices": 2}, 16, 16),
        ({"trainable": "all", "devices": "all"}, 16, 16),
        ({"trainable": "all", "devices": 5}, 7, 7),
        ({"trainable": "all", "devices": 2, "batch_size": 9}, 16, 5),
        ({"trainable": "all", "devices": 2, "micro_batch_size": 6}, 6, 6),
        ({"devices": 2, "feature_cache": "off"}, 32, 32),
    ],
    ids=str,
)
def test_one_of_several_devices_has_a_part_of_the_batch(given: dict[str, Any], largest: int, micro: int) -> None:
    """A probe would look for sizes that no device gets, or the whole batch count as cut."""
    options = make_options(**given)
    assert plan.largest_useful_batch(options, 10_000, TWO) == largest
    made = training_plan(options, 10_000, FAST_AND_LARGE, TWO)
    assert (made.micro_batch_size, made.micro_batch_is_cut) == (micro, False)


def test_fine_tuning_on_several_devices_has_parts_too() -> None:
    """Its probe would look for a batch that no device gets."""
    for given, expected in (({}, 32), ({"devices": "all"}, 16), ({"devices": 3, "micro_batch_size": 4}, 4)):
        options = make_options(fine_tune_epochs=2, **given)
        tuned = staged_plan(options, 100, 3, None, TWO).fine_tune
        assert tuned is not None
        assert (tuned.batch_size, tuned.micro_batch_size) == (32, expected)


LARGE = CPU.model_copy(update={"host_available_bytes": 24 * 10**9})
KERNELS: dict[str, tuple[Hardware, dict[str, Any], float | None, str]] = {
    "an extraction of small photos": (LARGE, {"image_size": 160}, None, "onednn"),
    "in larger pieces": (LARGE, {"image_size": 160, "batch_size": 512, "micro_batch_size": 512}, None, "eigen"),
    "in a process that is not our own": (LARGE, {"image_size": 160, "isolation": "inline"}, None, "eigen"),
    "on a small machine": (CPU, {"image_size": 224}, None, "onednn"),
    "of larger ones there": (CPU, {"image_size": 300}, None, "eigen"),
    "under a limit": (LARGE, {"image_size": 160, "memory_limit": "12GB"}, None, "eigen"),
    "on a GPU": (GPU, {"image_size": 160}, None, "eigen"),
    "what was probed takes half": (LARGE, {"trainable": "all"}, 5e6, "onednn"),  # 1 GB and 32 times as much
    "what was probed takes more": (LARGE, {"trainable": "all"}, 130e6, "eigen"),
    "a head with a size that was given": (LARGE, {"batch_size": 64, "feature_cache": "off"}, None, "onednn"),
    "a head with a large one": (LARGE, {"batch_size": 512, "feature_cache": "off"}, None, "eigen"),
    "all, and nobody knows": (LARGE, {"batch_size": 8, "trainable": "all"}, None, "eigen"),
    "a model of one's own": (LARGE, {"batch_size": 8, "model": "json:loads"}, None, "eigen"),
}


@pytest.mark.parametrize(("machine", "given", "probed", "expected"), KERNELS.values(), ids=KERNELS)
def test_onednn_computes_only_where_memory_cannot_run_out(
    machine: Hardware, given: dict[str, Any], probed: float | None, expected: str
) -> None:
    """It ends the process where it finds no memory: a step would be lost that Eigen's kernels repeat."""
    probe = None
    if probed is not None:
        model = MemoryModelRecord(base_bytes=10**9, bytes_per_image=probed, max_relative_error=0.0)
        probe = make_probe_report(32).model_copy(update={"memory_model": model, "memory_limit_bytes": 10 * 10**9})
    assert training_plan(make_options(**given), 10_000, probe, machine).kernels == expected


@pytest.mark.parametrize(
    ("given", "cores", "expected"),
    [
        ({"image_size": 160}, 2, 1310),  # 96 MiB of 76,800 bytes each
        ({"image_size": 160}, 1, 0),
        ({"image_size": 224, "batch_size": 8}, 2, 668),
        ({"image_size": 160, "memory_limit": "3GB"}, 2, 0),
        ({"image_size": 160, "augment": "light", "feature_cache": "on"}, 2, 0),
        ({"image_size": 160, "feature_cache": "off"}, 2, 0),
        ({"image_size": 160, "isolation": "inline"}, 2, 0),
    ],
    ids=str,
)
def test_images_are_decoded_early_where_an_extraction_will_need_them(
    given: dict[str, Any], cores: int, expected: int
) -> None:
    """Memory beyond a limit would be taken, or a core of which there is only one."""
    machine = CPU.model_copy(update={"cores": cores})
    options = make_options(**given)
    assert (
        plan.predecoded_images(training_plan(options, 1_000, make_probe_report(32), machine), options, machine)
        == expected
    )


@pytest.mark.parametrize("asked", ["eigen", "onednn"])
def test_the_kernels_that_a_user_asks_for_are_those_of_the_whole_run(asked: Kernels) -> None:
    """Resumed from another shell, the run would compute with others."""
    assert training_plan(make_options(memory_limit="3GB"), 100, None, CPU, asked).kernels == asked
    assert training_plan(make_options(image_size=160), 100, None, LARGE, asked).kernels == asked


@pytest.mark.parametrize(
    ("value", "expected"), [("1", "onednn"), ("True", "onednn"), ("0", "eigen"), ("false", "eigen"), ("", None)]
)
def test_what_a_user_asks_for_is_read_as_tensorflow_reads_it(value: str, expected: str | None) -> None:
    """Who switched oneDNN off would get it, or the other way round."""
    assert kernels_asked({"TF_ENABLE_ONEDNN_OPTS": value}) == expected
    assert kernels_asked({}) is None


def test_the_rung_of_the_probe_is_in_the_plan() -> None:
    """A training would keep activations that the probe has found not to fit."""
    found = make_probe_report(16)
    in_segments = found.model_copy(update={"workload": found.workload.model_copy(update={"segments": 4})})
    scratch = make_options(weights=None)
    assert training_plan(scratch, 1_000, in_segments, CPU).rung == Rung(segments=4)
    assert training_plan(scratch, 1_000, found, CPU).rung == KEPT
    assert training_plan(scratch, 1_000, None, CPU).rung is None
    of_all = staged_plan(make_options(trainable="all"), 1_000, 10, in_segments, CPU)
    assert of_all.fine_tune is not None
    assert of_all.fine_tune.rung == Rung(segments=4)


@pytest.mark.parametrize(
    ("given", "falls"),
    [
        ({"weights": "none"}, True),
        ({"weights": "none", "learning_rate": 0.01, "optimizer": "sgd"}, True),
        ({"weights": "none", "recipe": "classic"}, False),
        ({"model": "json:loads"}, False),
        ({"trainable": "all"}, False),
        ({"epochs": 5}, False),
        ({}, False),
    ],
    ids=str,
)
def test_the_rate_falls_where_a_network_of_autofit_trains_from_scratch(given: dict[str, Any], *, falls: bool) -> None:
    """The weights would be those of the last noisy updates; a network of the user's would train unlike in `fit`."""
    planned = staged_plan(make_options(**given), 1_000, 5, None, CPU)
    updates = planned.epochs * -(-1_000 // 16)
    assert planned.rate_falls == ((fall_at_the_end(updates),) if falls else ())


def test_callbacks_may_set_the_rate() -> None:
    """Keras raises an error where a callback sets a rate that has a schedule."""
    planned = staged_plan(make_options(weights="none"), 1_000, 5, None, CPU, has_callbacks=True)
    assert planned.rate_falls == ()


def test_a_ramp_of_batch_sizes_counts_its_updates() -> None:
    """The rate would be zero before the last epoch, or not fall."""
    planned = staged_plan(make_options(weights="none", batch_schedule="8:16", epochs=2), 160, 5, None, CPU)
    assert planned.rate_falls[-1].end == 20 + 10
