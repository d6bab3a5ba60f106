"""What is said of a run and a probe, word for word."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from autofit.probing.records import MemoryModelRecord, ProbeReport
from autofit.process.messages import OomEvent, Phase, QuarantinedImage, Verdict
from autofit.report.history import best_epoch, best_figures
from autofit.report.text import noted_trial, probe_table, probe_text, run_summary
from autofit.result import AttemptRecord, ResultRecord

MODEL = Path("runs/my flowers/model.keras")
MakeResult = Callable[..., ResultRecord]
MakeOom = Callable[..., OomEvent]
MakeAttempt = Callable[..., AttemptRecord]


def test_a_good_run_in_full(make_result: MakeResult) -> None:
    """Someone who only wants to use the model would not find it, or the two lines would not run."""
    expected = """\
Trained 3 epochs in 2 min 12 s (131 images/s, first step after 9.3 s).
Best epoch 2: validation accuracy 0.875, validation loss 0.400.

The model is runs/my flowers/model.keras. To use it:

    import keras
    model = keras.models.load_model('runs/my flowers/model.keras')

It takes raw pixels, 0 to 255, and gives probabilities for 2 classes: daisy,
  rose."""
    assert run_summary(make_result(), labels=["daisy", "rose"], model_path=MODEL, images_per_second=131.2) == expected


def test_a_shrink_is_told_and_that_it_changed_nothing(make_result: MakeResult, make_oom: MakeOom) -> None:
    """Running out of memory would be hidden, or would leave one wondering whether the result is worth anything."""
    text = run_summary(make_result(oom_events=[make_oom(2, 64, Phase.EXTRACT)]), labels=[], model_path=MODEL)
    assert (
        "Ran out of memory at epoch 1, step 3 with 64 images at once; went on with 32;\n  the result is not changed."
    ) in text


def test_validation_has_no_step_of_its_own(make_result: MakeResult, make_oom: MakeOom) -> None:
    """An out-of-memory in the validation would be told at a step after the epoch's last."""
    text = run_summary(make_result(oom_events=[make_oom(60, 64, Phase.VALIDATE)]), labels=[], model_path=MODEL)
    assert "Ran out of memory while validating epoch 1 with 64 images at once; went on with" in text


def test_a_changed_result_is_said_plainly(make_result: MakeResult, make_oom: MakeOom) -> None:
    """A result that depends on this machine's memory would be taken for one that does not."""
    text = run_summary(make_result(oom_events=[make_oom(2, 64)], result_changed=True), labels=[], model_path=MODEL)
    assert "THE RESULT IS CHANGED" in text
    assert "not changed" not in text


def test_many_shrinks_are_one_sentence(make_result: MakeResult, make_oom: MakeOom) -> None:
    """Fifty events would be fifty lines, and the model's place far above them."""
    events = [make_oom(step, 64 >> step, Phase.TRACE if step == 0 else Phase.TRAIN) for step in range(5)]
    text = run_summary(make_result(oom_events=events), labels=[], model_path=MODEL)
    assert (
        "Ran out of memory 5 times, first while tracing, last at epoch 1, step 5; went\n"
        "  from 64 images at once down to 2; 50 s lost; the result is not changed."
    ) in text


def test_bad_attempts_and_their_causes(make_result: MakeResult, make_attempt: MakeAttempt) -> None:
    """A worker that crashed and was started again would not be told, or told without its cause."""
    attempts = [make_attempt(Verdict.CRASHED, "SIGSEGV"), make_attempt(Verdict.COMPLETED)]
    text = run_summary(make_result(attempts=attempts), labels=[], model_path=MODEL)
    assert (
        "Attempt 1 crashed at epoch 2, step 7 with 32 images at once (SIGSEGV); the next\n"
        "  went on from the last checkpoint."
    ) in text
    many = run_summary(make_result(attempts=[attempts[0]] * 9), labels=[], model_path=MODEL)
    assert "and 6 more attempts ended early" in many


def test_images_left_out_are_counted_and_named(make_result: MakeResult) -> None:
    """Broken images would be unnamed, or their names would fill the screen or command the terminal."""
    bad = [QuarantinedImage(path=f"p\x1b[2J/{n}.jpg", reason="truncated") for n in range(5)]
    text = run_summary(make_result(quarantined=bad), labels=[], model_path=MODEL)
    assert (
        "5 images could not be read and were left out:\n"
        "  p\\x1b[2J/0.jpg: truncated\n  p\\x1b[2J/1.jpg: truncated\n  p\\x1b[2J/2.jpg: truncated\n"
        "  and 2 more images in result.json."
    ) in text


def test_a_failed_run_says_why_and_how_to_go_on(make_result: MakeResult, make_attempt: MakeAttempt) -> None:
    """After a failure one would not know what to type, or would be pointed to a model that is not there."""
    failed = make_result(
        status="failed", cause="No space left on device", history={}, attempts=[make_attempt(Verdict.STORAGE)]
    )
    text = run_summary(failed, labels=["daisy"], model_path=MODEL)
    assert text.startswith("Failed before the first epoch was finished (2 min 12 s): No space left on device.\n")
    assert text.endswith("Make room on the disk first. To go on:\n\n    autofit resume 'runs/my flowers'")
    assert "load_model" not in text


def test_an_interrupted_run_can_be_gone_on_with(make_result: MakeResult) -> None:
    """Whoever pressed Ctrl-C would think that the work is lost."""
    text = run_summary(make_result(status="interrupted"), labels=[], model_path=MODEL)
    assert text.startswith("Interrupted after 3 epochs (2 min 12 s).\nBest epoch 2")
    assert text.endswith("To go on:\n\n    autofit resume 'runs/my flowers'")


def test_a_thousand_classes_are_not_listed(make_result: MakeResult) -> None:
    """ImageNet's classes would bury the summary."""
    text = run_summary(make_result(), labels=[f"c{n}" for n in range(1000)], model_path=MODEL)
    assert "1,000 classes: c0,\n  c1, c2, c3, c4, c5 and 994 more (labels.json)." in text


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ({"loss": [1.0, 0.5], "val_loss": [0.4, 0.6]}, 0),
        ({"loss": [1.0, 0.5]}, 1),
        ({"loss": [float("nan"), 0.5, float("inf")]}, 1),
        ({"loss": [float("nan")]}, None),
        ({}, None),
    ],
)
def test_best_epoch(history: dict[str, list[float]], expected: int | None) -> None:
    """An epoch whose loss is not a number would be called the best one."""
    assert best_epoch(history) == expected


def test_accuracy_under_another_name() -> None:
    """A model compiled with sparse_categorical_accuracy would be reported without its accuracy."""
    history = {"loss": [0.5], "sparse_categorical_accuracy": [0.9]}
    assert best_figures(history, 0) == [("training accuracy", 0.9), ("training loss", 0.5)]


def test_losses_that_are_no_numbers_come_with_advice(make_result: MakeResult) -> None:
    """A diverged training would be reported as if all were well."""
    text = run_summary(make_result(history={"loss": [float("nan")]}), labels=[], model_path=MODEL)
    assert "No epoch had a finite loss: try a lower learning rate." in text


def test_a_probe_as_plain_text(report: ProbeReport) -> None:
    """A log would miss a trial or the reason for the recommendation."""
    expected = """\
MobileNetV2 at 160 x 192, head trainable, imagenet weights

 batch  verdict                       memory  images/s
    32  fits, recommended            0.46 GB       146
    64  fits                         0.80 GB       149
   256  fits                         2.41 GB       124
   256  fits, verified, largest      2.41 GB       121
   384  out of memory

Largest that fits: 256
Recommended:       32, the smallest within 5 % of the fastest (149 images/s at 64)
Limited by:        --memory-limit, 3.00 GB; 2.50 GB of it left for tensors
Memory:            0.12 GB + 10.6 MB an image; off by 2.1 % at most
Time:              41 s, 5 trials"""
    assert probe_text(report) == expected
    assert expected.isascii()


def test_a_probe_table_fits_eighty_columns(report: ProbeReport) -> None:
    """In an ordinary terminal the figures would be cut off."""
    stream = io.StringIO()
    Console(file=stream, width=80).print(probe_table(report))
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert "    32   fits, recommended         ██░░░░░░░░░░  0.46 GB   ████████████    146" in lines
    assert "   384   out of memory" in lines
    assert "…" not in stream.getvalue()
    assert max(map(len, lines)) <= 80


def test_a_probe_in_which_nothing_fits_says_what_to_do(report: ProbeReport) -> None:
    """A batch of 0 would be recommended."""
    nothing = report.model_copy(update={"largest_feasible_batch": 0, "recommended_batch": 0, "trials": []})
    text = probe_text(nothing)
    assert "not even one image fits: take a smaller image size or a smaller backbone" in text
    assert "Recommended" not in text


def test_a_known_machine_is_told(report: ProbeReport) -> None:
    """A figure from a saved profile would be taken for one measured now."""
    known = report.model_copy(update={"source": "profile", "wall_seconds": 0.21})
    assert probe_text(known).endswith("Time:              0.2 s, known from a saved profile")


def test_one_row_is_the_largest_and_one_is_recommended(report: ProbeReport) -> None:
    """A size that was measured and then verified would be marked twice, or its verification would look like a slip."""
    same = report.model_copy(update={"recommended_batch": 256})
    notes = [noted_trial(trial, same) for trial in report.trials if trial.batch_size == 256]
    assert notes == ["fits, recommended", "fits, verified, largest"]
    once = same.model_copy(update={"trials": [t for t in report.trials if not t.cause]})
    assert "fits, largest, recommended" in [noted_trial(trial, once) for trial in once.trials]


def test_a_line_that_misses_the_trials_is_not_praised(report: ProbeReport) -> None:
    """Memory that is not linear in the batch would be described by a line that is "within 656 %" of it."""
    steps = MemoryModelRecord(base_bytes=-4e8, bytes_per_image=1.06e7, max_relative_error=6.56)
    text = probe_text(report.model_copy(update={"memory_model": steps}))
    assert "Memory:            not linear in the batch here; about 10.6 MB an image at the largest sizes\n" in text
    assert "at most" not in text
    below = steps.model_copy(update={"max_relative_error": 0.5})
    text = probe_text(report.model_copy(update={"memory_model": below}))
    assert "Memory:            10.6 MB an image, less 0.40 GB; off by 50.0 % at most\n" in text


def test_a_limit_that_is_all_for_tensors_is_told_once(report: ProbeReport) -> None:
    """A GPU's limit would be told twice, as if something were taken off it."""
    whole = report.model_copy(update={"allocator_limit_bytes": report.memory_limit_bytes})
    assert "--memory-limit, 3.00 GB\n" in probe_text(whole)
