"""The words about a network of which not even one image fits."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from autofit.config.options import make_options
from autofit.config.rungs import KEPT, Rung
from autofit.probing.ladder import rung_record
from autofit.protocol.messages import MemoryBudget, Trial, Verdict
from autofit.runs.model_source import workload
from autofit.runs.what_would_help import (
    FEWER,
    FOR_HOST,
    HEAD_ALONE,
    TOO_SLOW,
    advice,
    advice_after,
    advice_for,
    advice_in_stage,
    advice_of_attempt,
    left_out_words,
    tried_words,
)
from tests.support.records import make_probe_report


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ([], ""),
        ([0], ""),
        ([0, 1], ", nor with weights updated one after another"),
        ([0, 8], ", nor with activations recomputed in 8 segments"),
        ([0, 16, 4, 8], ", nor with activations recomputed in 4, 8 or 16 segments"),
    ],
    ids=str,
)
def test_the_rungs_are_named_in_order(segments: list[int], words: str) -> None:
    """A user would not know what was tried, or read of a rung that was not."""
    assert tried_words([Rung(segments=count) for count in segments]) == words


def test_the_options_that_help_are_named() -> None:
    """A user would be told to train fewer layers where none train, or not that an option of theirs is in the way."""
    assert advice("head", may_recompute=True, precision="mixed_float16") == (
        "take a smaller image size (image_size), a smaller backbone or more memory"
    )
    assert "train fewer layers (fine_tune_epochs without trainable)" in advice("all, pretrained")
    assert "fewer layers" not in advice("all")
    assert "a cut nearer to the head (fine_tune_from)" in advice("above a cut")
    assert advice("all", may_recompute=True).startswith("give recompute 'auto'")
    assert "precision 'mixed_float16'" in advice("above a cut", precision="mixed_float16")
    assert "precision" not in advice("all") + advice("above a cut")
    tried = tried_words([KEPT, *(Rung(segments=count) for count in (4, 8, 16))])
    assert len(tried + advice("all, pretrained", precision="mixed_bfloat16")) < 300


@pytest.mark.parametrize(("device", "named"), [("cpu", "mixed_bfloat16"), ("gpu", "mixed_float16")])
def test_a_stage_has_the_advice_for_what_trains_in_it(device: Literal["cpu", "gpu"], named: str) -> None:
    """Fine-tuning would be sent to the option that turns it on, or a card to numbers for which it has no units."""
    options = make_options(backbone="MobileNet", trainable="all", recompute="off")
    upper = make_options(backbone="MobileNet", fine_tune_epochs=2, recompute="off")
    whole, above = advice_in_stage(options, "training", device), advice_in_stage(upper, "fine-tune", device)
    assert whole == (
        "give recompute 'auto', take a smaller image size (image_size), train fewer layers (fine_tune_epochs without "
        f"trainable), precision '{named}', a smaller backbone or more memory"
    )
    assert (
        advice_in_stage(options, "fine-tune", device) == whole
    )  # it begins at the input, whatever fine_tune_from says
    assert above == (
        "give recompute 'auto', take a smaller image size (image_size), a cut nearer to the head (fine_tune_from), "
        f"precision '{named}', a smaller backbone or more memory"
    )
    assert advice_in_stage(options, "head", device) == advice("head")
    coarse = options.model_copy(update={"precision": "mixed_bfloat16", "recompute": "auto"})
    assert not {"recompute", "precision"} & set(advice_in_stage(coarse, "training", device).split())
    for stage in ("fine-tune", "refit"):
        assert advice_in_stage(options, stage, device) in left_out_words(options, device, stage)


def test_the_ladder_is_advised_only_where_it_was_not_tried() -> None:
    """A user would be sent to an option that changes nothing."""
    found = make_probe_report(0, 0)
    work = found.workload.model_copy(update={"trainable": "all", "segments": 0})
    trials = [Trial(batch_size=1, verdict=Verdict.DEVICE_OOM)]
    report = found.model_copy(update={"workload": work, "trials": trials, "rungs": []})
    assert "recompute 'auto'" in advice_after(report)
    on_request = work.model_copy(update={"segments": 8})
    assert "recompute" not in advice_after(report.model_copy(update={"workload": on_request}))


def test_smaller_images_are_not_advised_where_the_weights_alone_do_not_fit() -> None:
    """A user would halve the size of the images three times before the network."""
    building = Trial(batch_size=1, verdict=Verdict.DEVICE_OOM, was_building=True)
    report = make_probe_report(0, 0).model_copy(update={"trials": [building, building]})
    assert advice_after(report) == "its weights alone do not fit, take a smaller backbone or more memory"
    stepped = report.model_copy(update={"trials": [building, building.model_copy(update={"was_building": False})]})
    assert "a smaller image size" in advice_after(stepped)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "module:network"}, "a smaller network or more memory"),
        ({"model": "module:network", "memory_limit": "3GB"}, "a smaller network or a higher memory_limit"),
        ({"weights": "none"}, "a smaller backbone or more memory"),
        ({"weights": "none", "memory_limit": "3GB"}, "a smaller backbone or a higher memory_limit"),
    ],
    ids=str,
)
def test_nothing_is_advised_that_is_refused_or_given(
    options: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user with a network of their own, or a random one, would be refused; one with a limit would buy memory."""
    monkeypatch.chdir(tmp_path)
    Path("module.py").touch()
    asked = make_options(precision="mixed_bfloat16", **options)
    helps = f"take a smaller image size (image_size), {words}"
    assert advice_in_stage(asked, "training", "cpu") == helps
    report = make_probe_report(0, 0).model_copy(update={"workload": workload(asked, 3), "rungs": [], "trials": []})
    limited_by = "--memory-limit" if "memory_limit" in options else "host memory"
    climbed = [rung_record(rung, report) for rung in (KEPT, Rung(segments=8))]
    assert advice_after(report.model_copy(update={"limited_by": limited_by, "rungs": climbed})) == helps


def test_who_only_measures_is_advised_what_the_measuring_command_takes() -> None:
    """`autofit probe` and `autofit estimate` have no fine_tune_epochs and no fine_tune_from."""
    work = make_probe_report(0, 0).workload.model_copy(update={"backbone": "VGG16", "trainable": "all"})
    assert "(image_size), train the head alone (trainable 'head'), " in advice_for(work, "cpu")
    report = make_probe_report(0, 0).model_copy(update={"trials": []})
    pretrained = report.model_copy(update={"workload": work.model_copy(update={"weights": "imagenet"})})
    assert HEAD_ALONE in advice_after(pretrained)
    assert FEWER["all, pretrained"] in advice_after(pretrained, "all, pretrained")


def test_a_limit_of_the_shell_is_the_advice() -> None:
    """A user under `ulimit -v` would take smaller images, a smaller network, and then another machine."""
    limited = Trial(batch_size=1, verdict=Verdict.HOST_OOM, is_limited=True, cause="MemoryError; ulimit -v unlimited")
    report = make_probe_report(0, 0).model_copy(update={"trials": [limited]})
    assert advice_after(report) == limited.cause


def test_a_neighbour_that_took_the_memory_is_the_advice() -> None:
    """A user beside a program that took all of it would take smaller images, and then another machine."""
    ran_out = Trial(batch_size=1, verdict=Verdict.HOST_OOM, other_processes_bytes=2 * 10**9)
    report = make_probe_report(0, 0).model_copy(update={"trials": [ran_out], "hardware": {"device": "cpu"}})
    assert advice_after(report) == "another program took 2 GB of the memory meanwhile: free it and try again"
    assert "another program" not in advice_after(report.model_copy(update={"hardware": {"device": "gpu"}}))


def test_a_size_that_was_not_done_in_time_is_no_lack_of_memory() -> None:
    """Someone whose GPU hangs would take a smaller backbone, or a larger card."""
    hung = Trial(batch_size=1, verdict=Verdict.TIMEOUT)
    report = make_probe_report(0, 0).model_copy(update={"trials": [hung]})
    assert advice_after(report) == TOO_SLOW
    assert "memory" not in TOO_SLOW


def test_where_a_gpu_computes_and_the_host_is_short_its_own_memory_is_told_of() -> None:
    """A user in Colab with 12 GB beside a card of 16 would take 16-bit numbers, which save none of it."""
    options = make_options(backbone="MobileNet", trainable="all", memory_limit="3GB")
    gpu, cpu = (MemoryBudget(device=device, limit_bytes=3 * 10**9, is_given=True) for device in ("gpu", "cpu"))
    helps, for_weights = advice_of_attempt(options, "training", gpu, Verdict.HOST_OOM, "")
    assert helps == for_weights == FOR_HOST
    found, _ = advice_of_attempt(options, "training", gpu, Verdict.DEVICE_OOM, "")
    assert found == advice_in_stage(options, "training", "gpu")
    assert FOR_HOST not in advice_of_attempt(options, "training", cpu, Verdict.HOST_OOM, "")


def test_a_limit_that_was_more_than_the_machine_had_is_not_to_be_raised() -> None:
    """A user would give more and more of what is not there."""
    options = make_options(backbone="MobileNet", memory_limit="300GB")
    memory = MemoryBudget(device="cpu", limit_bytes=10**10, is_given=False)
    assert "memory_limit" not in str(advice_of_attempt(options, "training", memory, Verdict.DEVICE_OOM, ""))
