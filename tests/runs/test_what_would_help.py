"""The words about a network of which not even one image fits."""

from __future__ import annotations

from typing import Literal

import pytest

from autofit.config.options import make_options
from autofit.config.rungs import KEPT, Rung
from autofit.protocol.messages import Trial, Verdict
from autofit.runs.what_would_help import advice, advice_after, advice_in_stage, left_out_words, tried_words
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
    assert "trainable 'head', then fine_tune_from" in advice("all")
    assert "a cut nearer to the head (fine_tune_from)" in advice("above a cut")
    assert advice("all", may_recompute=True).startswith("give recompute 'auto'")
    assert "precision 'mixed_float16'" in advice("above a cut", precision="mixed_float16")
    assert "precision" not in advice("all") + advice("above a cut")
    tried = tried_words([KEPT, *(Rung(segments=count) for count in (4, 8, 16))])
    assert len(tried + advice("all", precision="mixed_bfloat16")) < 300


@pytest.mark.parametrize(("device", "named"), [("cpu", "mixed_bfloat16"), ("gpu", "mixed_float16")])
def test_a_stage_has_the_advice_for_what_trains_in_it(device: Literal["cpu", "gpu"], named: str) -> None:
    """Fine-tuning would be sent to the option that turns it on, or a card to numbers for which it has no units."""
    options = make_options(backbone="MobileNet", trainable="all", recompute="off")
    whole, above = (advice_in_stage(options, stage, device) for stage in ("training", "fine-tune"))
    assert whole == (
        "give recompute 'auto', take a smaller image size (image_size), train fewer layers (trainable 'head', then "
        f"fine_tune_from), precision '{named}', a smaller backbone or more memory"
    )
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
