"""The part of a page that says what was run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.config.learning_rates import fall_at_the_end
from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.options import make_options
from autofit.protocol.job import FineTunePlan
from autofit.protocol.messages import StageRecord
from autofit.report.run_page import run_page
from autofit.report.what_was_run import what_was_run
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord
from tests.api.test_result import finished


def test_the_data_the_network_and_the_machine_are_named(
    tmp_path: Path, make_result: Callable[..., ResultRecord]
) -> None:
    """A page found months later would not say of what it is."""
    finished(tmp_path, ["cat", "<i>dog</i>", *(f"class {number}" for number in range(20))], epochs=2)
    run = RunRecord.load(tmp_path / "run.json")
    result = make_result(environment={"processor": "Some CPU, 2 cores", "software": "TensorFlow 2.21.0"})
    html = what_was_run(run, result)
    for words in ("80 to train on, 20 to validate", "22: cat, &lt;i&gt;dog", "and 10 more", "32 x 48 pixels"):
        assert words in html
    for words in (
        "MobileNetV2",
        "the head trains, the backbone is frozen; adam",
        "Some CPU, 2 cores",
        "TensorFlow 2.21.0",
    ):
        assert words in html
    assert html in run_page(result, labels=[], model_path=tmp_path, run=run)
    assert "fine-tuned" not in html
    tuned = FineTunePlan(epochs=1, batch_size=8, micro_batch_size=8, learning_rate=1e-4, cut="auto")
    planned = run.model_copy(update={"plan": run.plan.model_copy(update={"fine_tune": tuned})})
    assert ", then fine-tuned" in what_was_run(planned, result)
    of_all = run.model_copy(
        update={
            "options": run.options.model_copy(update={"trainable": "all"}),
            "plan": run.plan.model_copy(update={"fine_tune": tuned, "head": "solve"}),
        }
    )
    shown = what_was_run(of_all, result)
    assert "the head is solved to its optimum, then all layers train" in shown
    assert "fine-tuned" not in shown
    falls = run.model_copy(update={"plan": run.plan.model_copy(update={"rate_falls": (fall_at_the_end(10),)})})
    assert "learning rate 0.001, falling to zero at the end" in what_was_run(falls, result)
    assert "falling" not in html


HEAD = StageRecord(name="head", method="solved", epochs=1)
BY_EPOCHS = StageRecord(name="head", method="epochs", epochs=9)
TUNED = StageRecord(name="fine-tune", method="epochs", epochs=2)


@pytest.mark.parametrize(
    ("trainable", "stages", "expected"),
    [
        ("all", [HEAD, TUNED], "the head is solved to its optimum, then all layers train"),
        ("all", [BY_EPOCHS, TUNED], "the head trains by epochs, then all layers train"),
        ("all", [HEAD], "the head trains, the backbone is frozen; solved to its optimum"),
        ("head", [HEAD, TUNED], "the head trains, the backbone is frozen; solved to its optimum, then fine-tuned"),
        ("head", [HEAD, TUNED.model_copy(update={"epochs": 0})], "backbone is frozen; solved to its optimum"),
        ("head", [HEAD.model_copy(update={"cut_short": "9 of 10 images"})], "the backbone is frozen; solved"),
        ("head", [BY_EPOCHS], "the backbone is frozen; adam, learning rate 0.001; batch size 8"),
    ],
)
def test_what_trained_is_told_and_not_what_was_planned(
    tmp_path: Path,
    make_result: Callable[..., ResultRecord],
    trainable: str,
    stages: list[StageRecord],
    expected: str,
) -> None:
    """Of a run for whose fine-tuning there was no time, the page would say that all layers train."""
    finished(tmp_path)
    run = RunRecord.load(tmp_path / "run.json")
    tuned = FineTunePlan(epochs=2, batch_size=8, micro_batch_size=8, learning_rate=1e-4, cut="0")
    is_left_out = TUNED not in stages
    run = run.model_copy(
        update={
            "options": run.options.model_copy(update={"trainable": trainable}),
            "plan": run.plan.model_copy(update={"fine_tune": None if is_left_out else tuned, "head": "solve"}),
        }
    )
    assert f"{expected}</td>" in what_was_run(run, make_result(stages=stages))
    planned = run.model_copy(update={"plan": run.plan.model_copy(update={"fine_tune": tuned})})
    assert f"{expected}</td>" in what_was_run(planned, make_result(stages=stages))


def test_a_model_of_the_users_may_be_compiled(tmp_path: Path, make_result: Callable[..., ResultRecord]) -> None:
    """Of a frozen network that was compiled with SGD, the page would say that all layers train, with adam."""
    finished(tmp_path)
    run = RunRecord.load(tmp_path / "run.json")
    network = "autofit.demo.network:digit_network"
    may_be, cannot = make_options(model=network), make_options(model=network, optimizer="sgd")
    expected = (
        "the layers that the model lets train; adam, learning rate 0.001, or as it is compiled; batch size 8</td>"
    )
    assert expected in what_was_run(run.model_copy(update={"options": may_be}), make_result())
    expected = "the layers that the model lets train; sgd, learning rate 0.001; batch size 8</td>"
    assert expected in what_was_run(run.model_copy(update={"options": cannot}), make_result())


def test_the_head_of_a_users_network_trains_alone(tmp_path: Path, make_result: Callable[..., ResultRecord]) -> None:
    """The page would say that all layers of the network train, or name a backbone that nobody gave."""
    finished(tmp_path)
    run = RunRecord.load(tmp_path / "run.json")
    options = make_options(model="autofit.demo.network:digit_network", trainable="head")
    own = run.model_copy(update={"options": options})
    assert "the head trains, the layers below it are frozen; adam, learning rate" in what_was_run(own, make_result())
    solved = own.model_copy(update={"plan": run.plan.model_copy(update={"head": "solve"})})
    shown = what_was_run(solved, make_result(stages=[HEAD, TUNED]))
    assert "the head trains, the layers below it are frozen; solved to its optimum" in shown


def test_a_function_that_was_given_as_an_object_is_the_users_own_model(
    tmp_path: Path, make_result: Callable[..., ResultRecord]
) -> None:
    """The page would call the network <function>."""
    finished(tmp_path)
    run = RunRecord.load(tmp_path / "run.json")
    own = run.options.model_copy(update={"model": GIVEN_FUNCTION, "backbone": None})
    shown = what_was_run(run.model_copy(update={"options": own}), make_result())
    assert "your own model at 32 x 48 pixels</td>" in shown


def test_a_forged_date_is_no_crash(tmp_path: Path, make_result: Callable[..., ResultRecord]) -> None:
    """A page of a stranger's run would end in a traceback."""
    finished(tmp_path)
    run = RunRecord.load(tmp_path / "run.json").model_copy(update={"started": 1e300})
    assert "?" in what_was_run(run, make_result())
