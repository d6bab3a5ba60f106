"""The part of a page that says what was run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autofit.config.learning_rates import fall_at_the_end
from autofit.protocol.job import FineTunePlan
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


def test_a_forged_date_is_no_crash(tmp_path: Path, make_result: Callable[..., ResultRecord]) -> None:
    """A page of a stranger's run would end in a traceback."""
    finished(tmp_path)
    run = RunRecord.load(tmp_path / "run.json").model_copy(update={"started": 1e300})
    assert "?" in what_was_run(run, make_result())
