"""The summary of a run, word for word."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autofit.protocol.messages import BadImage, Calibration, OomEvent, Phase, StageName, StageRecord, Verdict
from autofit.report.run_text import headline, incidents, run_summary, stage_lines, time_words
from autofit.report.width import in_columns
from autofit.runs.history import accuracy_name, best_epoch, best_figures
from autofit.runs.result_record import AttemptRecord, ResultRecord, RunTimeSpent

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

    import autofit, keras
    model = keras.models.load_model('runs/my flowers/model.keras')
    model.predict(autofit.load_images("photo.jpg", model.input_shape[1:3]))

It takes raw pixels, 0 to 255, of upright RGB images that are stretched to its
  size as load_images does, and gives probabilities for 2 classes: daisy, rose."""
    assert run_summary(make_result(), labels=["daisy", "rose"], model_path=MODEL, images_per_second=131.2) == expected


@pytest.mark.parametrize(("width", "images"), [(80, 'autofit.load_images("photo.jpg", '), (60, "images)")])
def test_the_code_fits_the_terminal_and_is_python(width: int, images: str, make_result: MakeResult) -> None:
    """A terminal would break it in the middle of the path."""
    path = Path("runs/20261129-202700-MobileNetV2/model.keras")
    with in_columns(width):
        lines = run_summary(make_result(), labels=[], model_path=path).splitlines()
    code = lines[lines.index("    import autofit, keras") : -3]
    assert max(map(len, code)) <= width
    _, opened, *_, used = ast.unparse(ast.parse(textwrap.dedent("\n".join(code)))).splitlines()
    assert opened == f"model = keras.models.load_model('{path}')"
    assert used.replace("'", '"').startswith(f"model.predict({images}")


def test_warnings_and_the_standard_error_are_in_the_summary(make_result: MakeResult) -> None:
    """An accuracy on forty images would be taken for a fact."""
    result = make_result(warnings=["Never predicted in validation: owls."], validated_images=40)
    text = run_summary(result, labels=[], model_path=MODEL)
    assert "Best epoch 2: validation accuracy 0.875 ± 0.055, validation loss 0.400." in text
    assert "\n\nNote: Never predicted in validation: owls.\n\n" in text


def test_the_standard_errors_that_a_result_has_are_shown(make_result: MakeResult) -> None:
    """The accuracy on the images of four patients would be shown as certain as that on so many images."""
    result = make_result(
        validated_images=40,
        validation_standard_error=0.21,
        test_accuracy=0.8,
        test_loss=0.5,
        tested_images=40,
        test_standard_error=0.19,
    )
    text = run_summary(result, labels=[], model_path=MODEL)
    assert "validation accuracy 0.875 ± 0.210" in text
    assert "Test accuracy 0.800 ± 0.190" in text


def test_where_the_time_went_is_said_without_what_took_none(make_result: MakeResult) -> None:
    """Why a run of 20 s trained for 3 could not be seen; or a line would be full of zeros."""
    spent = RunTimeSpent(starts_seconds=9.04, first_steps_seconds=8.2, training_seconds=3.0, other_seconds=0.01)
    lines = run_summary(make_result(time_spent=spent), labels=[], model_path=MODEL).split("\n\n")[0]
    expected = (
        "The time went into: 9.0 s starting processes, 8.2 s first steps (tracing, on a GPU tuning), "
        "3.0 s training steps."
    )
    assert " ".join(lines.split()).endswith(expected)
    assert "The time went" not in run_summary(make_result(), labels=[], model_path=MODEL)


def test_a_shrink_is_reported_and_that_it_changed_nothing(make_result: MakeResult, make_oom: MakeOom) -> None:
    """Running out of memory would be hidden, or would leave open whether the result is still valid."""
    text = run_summary(make_result(oom_events=[make_oom(2, 64, Phase.EXTRACT)]), labels=[], model_path=MODEL)
    assert (
        "Ran out of memory at epoch 1, step 3 with 64 images at once; continued with 32;\n  the result is not changed."
    ) in text


def test_on_a_gpu_a_repeated_step_is_equal_to_float_tolerance(make_result: MakeResult, make_oom: MakeOom) -> None:
    """A run on a GPU would claim the same bits, which another run of it does not have."""
    result = make_result(oom_events=[make_oom(2, 64, Phase.EXTRACT)], is_bit_equal=False)
    text = " ".join(run_summary(result, labels=[], model_path=MODEL).split())
    assert "continued with 32; the result is the same to float tolerance." in text
    assert "not changed" not in text


def test_validation_has_no_step_of_its_own(make_result: MakeResult, make_oom: MakeOom) -> None:
    """An out-of-memory in the validation would be reported at a step after the epoch's last."""
    text = run_summary(make_result(oom_events=[make_oom(60, 64, Phase.VALIDATE)]), labels=[], model_path=MODEL)
    assert "Ran out of memory while validating epoch 1 with 64 images at once; continued\n  with 32" in text


def test_an_extraction_before_the_steps_is_no_step(make_result: MakeResult, make_oom: MakeOom) -> None:
    """The first step of a fine-tuning would be said to have run out of memory before it began."""
    head = StageRecord(name="head", method="solved", epochs=1)
    tuned = StageRecord(name="fine-tune", method="epochs", epochs=2)
    event = make_oom(0, 64, Phase.EXTRACT).model_copy(update={"epoch": 1})
    (line,) = incidents(make_result(oom_events=[event], stages=[head, tuned]))
    assert line.startswith("Ran out of memory while extracting features for epoch 1 of fine-tuning with 64 images")


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


def test_what_was_tried_again_as_it_was_is_not_called_smaller(make_result: MakeResult, make_oom: MakeOom) -> None:
    """`with 1 image at once; continued with 1` reads like a mistake."""
    events = [make_oom(0, 1, Phase.BUILD).model_copy(update={"micro_batch_size_after": 1})]
    text = run_summary(make_result(oom_events=events), labels=[], model_path=MODEL)
    assert "Ran out of memory while building the model with 1 image at once; tried again;" in " ".join(text.split())


def test_an_attempt_that_began_nothing_left_no_checkpoint(make_result: MakeResult, make_attempt: MakeAttempt) -> None:
    """After a worker that crashed while it imported TensorFlow, the next would continue from what was never there."""
    crashed = make_attempt(Verdict.CRASHED, "SIGSEGV").model_copy(update={"epoch": 0, "step": 0})
    (line,) = incidents(make_result(attempts=[crashed, make_attempt(Verdict.COMPLETED)]))
    assert line.endswith("(SIGSEGV); another followed.")


def test_an_attempt_that_ended_at_its_start_is_told_of_its_stage(
    make_result: MakeResult, make_attempt: MakeAttempt
) -> None:
    """A fine-tuning that was killed while TensorFlow was imported would be told as an attempt at the head."""
    head = StageRecord(name="head", method="solved", epochs=1)
    tuned = StageRecord(name="fine-tune", method="epochs", epochs=2)
    at_start = {"epoch": 0, "step": 0, "micro_batch_size": 0, "stage": "fine-tune"}
    killed = make_attempt(Verdict.HOST_OOM, "SIGKILL").model_copy(update=at_start)
    attempts = [make_attempt(Verdict.COMPLETED), killed, make_attempt(Verdict.COMPLETED)]
    (line,) = incidents(make_result(attempts=attempts, stages=[head, tuned]))
    assert line.startswith("Attempt 2 ran out of host memory at epoch 1 of fine-tuning, step 1 (SIGKILL); the next c")


def test_bad_attempts_and_their_causes(make_result: MakeResult, make_attempt: MakeAttempt) -> None:
    """A worker that crashed and was started again would not be reported, or reported without its cause."""
    attempts = [make_attempt(Verdict.CRASHED, "SIGSEGV"), make_attempt(Verdict.COMPLETED)]
    text = run_summary(make_result(attempts=attempts), labels=[], model_path=MODEL)
    assert (
        "Attempt 1 crashed at epoch 2, step 7 with 32 images at once (SIGSEGV); the next\n"
        "  continued from the last checkpoint."
    ) in text
    many = run_summary(make_result(attempts=[attempts[0]] * 9), labels=[], model_path=MODEL)
    assert "and 6 more attempts ended early" in many


def test_images_left_out_are_counted_and_named(make_result: MakeResult) -> None:
    """Broken images would be unnamed, or their names would fill the screen or control the terminal."""
    bad = [BadImage(path=f"p\x1b[2J/{n}.jpg", reason="truncated") for n in range(5)]
    text = run_summary(make_result(quarantined=bad), labels=[], model_path=MODEL)
    assert (
        "5 images could not be read and were left out:\n"
        "  p\\x1b[2J/0.jpg: truncated\n  p\\x1b[2J/1.jpg: truncated\n  p\\x1b[2J/2.jpg: truncated\n"
        "  and 2 more images in result.json."
    ) in text


def test_a_failed_run_says_why_and_how_to_continue(make_result: MakeResult, make_attempt: MakeAttempt) -> None:
    """After a failure a user would not know what to type, or would be pointed to a model that does not exist."""
    failed = make_result(
        status="failed", cause="No space left on device", history={}, attempts=[make_attempt(Verdict.STORAGE)]
    )
    text = run_summary(failed, labels=["daisy"], model_path=MODEL)
    assert text.startswith("Failed before the first epoch was finished (2 min 12 s): No space left on\n  device.\n")
    assert text.endswith("Free disk space first. To continue:\n\n    autofit resume 'runs/my flowers'")
    assert "load_model" not in text


@pytest.mark.parametrize(
    ("more", "advice"),
    [
        ("a higher memory_limit", "Give a higher memory_limit with it, or start"),
        ("more memory", "Close other programs"),
    ],
)
def test_what_did_not_fit_comes_with_advice_that_can_help(
    make_result: MakeResult, make_attempt: MakeAttempt, more: str, advice: str
) -> None:
    """Under a limit that the user gave, programs would be closed for nothing, and the same command fail again."""
    cause = f"not even one image at a time fits: take a smaller image size (image_size), a smaller backbone or {more}"
    failed = make_result(status="failed", cause=cause, attempts=[make_attempt(Verdict.DEVICE_OOM)])
    assert f"\n{advice}" in run_summary(failed, labels=["daisy"], model_path=MODEL)


def test_a_drive_that_fails_is_not_said_to_be_full(make_result: MakeResult, make_attempt: MakeAttempt) -> None:
    """A user would remove files for a drive that has become read-only."""
    cause = "/mnt/runs cannot be written (Read-only file system): mount it for writing, or take another folder"
    failed = make_result(status="failed", cause=cause, attempts=[make_attempt(Verdict.STORAGE)])
    text = run_summary(failed, labels=["daisy"], model_path=MODEL)
    assert "\nSee to the drive first, as said above. To continue:\n" in text


def test_an_interrupted_run_can_be_resumed(make_result: MakeResult) -> None:
    """A user who pressed Ctrl-C would think that the work is lost."""
    text = run_summary(make_result(status="interrupted"), labels=[], model_path=MODEL)
    assert text.startswith("Interrupted after 3 epochs (2 min 12 s).\nBest epoch 2")
    assert text.endswith("To continue:\n\n    autofit resume 'runs/my flowers'")


def test_a_thousand_classes_are_not_listed(make_result: MakeResult) -> None:
    """ImageNet's classes would bury the summary."""
    text = run_summary(make_result(), labels=[f"c{n}" for n in range(1000)], model_path=MODEL)
    assert "1,000 classes: c0, c1,\n  c2, c3, c4, c5 and 994 more (labels.json)." in text


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


@pytest.mark.parametrize(("other", "value"), [("top_5_accuracy", 0.99), ("mean_class_accuracy", 0.7)])
def test_the_accuracy_is_told_from_what_is_measured_beside_it(other: str, value: float) -> None:
    """Of a model compiled with a top-5 accuracy before the accuracy, 0.99 would be called its accuracy."""
    history = {"loss": [0.5], other: [value], "accuracy": [0.9]}
    assert best_figures(history, 0)[0] == ("training accuracy", 0.9)
    assert accuracy_name({"loss": [0.5], "sparse_top_k_categorical_accuracy": [0.99]}) is None


def test_losses_that_are_no_numbers_come_with_advice(make_result: MakeResult) -> None:
    """A diverged training would be reported as a success."""
    text = run_summary(make_result(history={"loss": [float("nan")]}), labels=[], model_path=MODEL)
    assert "No epoch had a finite loss: try a lower learning rate." in text


def test_what_a_time_budget_left_out_is_said(make_result: MakeResult) -> None:
    """A model of a part of the images, or of fewer epochs, would be taken for what all of them give."""
    head = StageRecord(name="head", method="solved", epochs=1, seconds=1.0, cut_short="128 of 440 images")
    tuned = StageRecord(name="fine-tune", method="epochs", epochs=2, cut_short="2 of 8 epochs")
    result = make_result(stages=[head, tuned], budget_seconds=120.0)
    assert "The head was trained with 128 of 440 images: the time budget." in stage_lines(result)
    assert "Fine-tuning ended after 2 of 8 epochs: the time budget." in stage_lines(result)
    assert time_words(result) == "2 min 12 s of a budget of 2 min 0 s"
    assert headline(result).startswith("Solved the head and fine-tuned for 2 epochs in 2 min 12 s of a budget of 2 min")
    none = tuned.model_copy(update={"epochs": 0, "cut_short": "0 of 8 epochs"})
    lines = stage_lines(make_result(stages=[head, none], best_epoch=0))
    assert lines[-1] == "Fine-tuning ended after 0 of 8 epochs: the time budget."


def solved(name: StageName, **changes: Any) -> StageRecord:
    return StageRecord(name=name, method="solved", epochs=1, seconds=1.0, **changes)


@pytest.mark.parametrize(("best", "told"), [(0, ": no better model"), (1, ": a better model"), (2, ".")])
def test_what_came_of_views_is_told_where_it_is_known(make_result: MakeResult, best: int, told: str) -> None:
    """A fine-tuning that was better than both would make a head on views that was better the worse one."""
    stages = [solved("head"), solved("views"), StageRecord(name="fine-tune", method="epochs", epochs=1)]
    lines = stage_lines(make_result(stages=stages, best_epoch=best))
    assert lines[1].startswith(f"It was solved once more, on augmented views of each image{told}")


def test_the_second_fit_is_that_of_the_head_that_is_saved(make_result: MakeResult) -> None:
    """Of a head on views, for whose second fit there was no time, the validation figures would be called older."""
    stages = [solved("head", refitted=True), solved("views", cut_short="the training images alone")]
    lines = stage_lines(make_result(stages=stages, best_epoch=1, budget_seconds=60.0))
    assert lines == [
        "The head was solved to its optimum in 1.0 s.",
        "It was solved once more, on augmented views of each image: a better model by validation.",
        "On augmented views it was trained with the training images alone: the time budget.",
    ]


def test_views_for_which_there_was_no_time_are_left_out_and_not_done_in_part(make_result: MakeResult) -> None:
    """Nobody knows what 0 of 1 epochs of solving a head are; and perhaps it was not the time that was short."""
    none = StageRecord(name="views", method="epochs", epochs=0, cut_short="0 of 1 epochs")
    lines = stage_lines(make_result(stages=[solved("head"), none], best_epoch=0, budget_seconds=60.0))
    assert lines == [
        "The head was solved to its optimum in 1.0 s.",
        "Solving the head on augmented views was left out: no time, or no room for their features.",
    ]


def test_a_head_that_a_time_budget_has_ended_is_not_at_its_optimum(make_result: MakeResult) -> None:
    """Two lines of the summary would contradict each other."""
    stages = [solved("head", cut_short="90 images, not to its optimum")]
    assert stage_lines(make_result(stages=stages, best_epoch=0)) == [
        "The head was solved in 1.0 s.",
        "The head was trained with 90 images, not to its optimum: the time budget.",
    ]


@pytest.mark.parametrize(("budget", "cause"), [(120.0, ": the time budget"), (None, "")])
def test_a_refit_that_a_callback_has_ended_is_told_as_one_that_counts_for_nothing(
    make_result: MakeResult, budget: float | None, cause: str
) -> None:
    """The model would be told to have learned the validation images; or a budget be named where there was none."""
    tuned = StageRecord(name="fine-tune", method="epochs", epochs=3)
    refit = StageRecord(name="refit", method="epochs", epochs=1, cut_short="1 of 3 epochs")
    lines = stage_lines(make_result(stages=[tuned, refit], best_epoch=1, budget_seconds=budget))
    assert lines == [
        f"Fine-tuning on all images was dropped after 1 of 3 epochs{cause}.",
        "Fine-tuning gave a better model than the head alone by validation, and that model was kept.",
    ]


def test_stages_that_were_compared_by_another_figure_are_told_so(make_result: MakeResult) -> None:
    """The validation may say the opposite."""
    stages = [
        StageRecord(name="head", method="epochs", epochs=1),
        StageRecord(name="fine-tune", method="epochs", epochs=2),
    ]
    assert stage_lines(make_result(stages=stages, best_epoch=2, monitor="accuracy")) == [
        "Fine-tuning gave a better model than the head alone by training accuracy, and that model was kept."
    ]


def test_a_fine_tuned_model_without_validation_is_not_said_to_be_better(make_result: MakeResult) -> None:
    """Nobody has compared the two."""
    head = StageRecord(name="head", method="epochs", epochs=1)
    tuned = StageRecord(name="fine-tune", method="epochs", epochs=2)
    result = make_result(stages=[head, tuned], best_epoch=2, history={"loss": [0.1, 0.5, 0.3]})
    said = "The fine-tuned model was kept: there were no validation images to compare it with the head alone."
    assert stage_lines(result) == [said]


@pytest.mark.parametrize(
    ("chosen_by", "words"),
    [
        ("", "their loss is"),
        ("accuracy with class weights", "their loss with class weights is"),
        ("accuracy with the weights of images", "their loss with the weights of images is"),
    ],
)
def test_the_loss_of_a_calibrated_model_is_given_beside_the_one_in_the_history(
    make_result: MakeResult, chosen_by: str, words: str
) -> None:
    """The model that was saved would have another loss than any that is shown, or a weighted one be compared."""
    head, tuned = solved("head"), StageRecord(name="fine-tune", method="epochs", epochs=2, chosen_by=chosen_by)
    result = make_result(stages=[head, tuned], best_epoch=2, calibration=Calibration(temperature=1.844, loss=0.5171))
    said = f"Its confidence was calibrated on the validation images, by a temperature of 1.84, with which {words}"
    assert stage_lines(result)[-1] == f"{said} 0.517."


def test_a_solved_head_is_no_trained_epoch(make_result: MakeResult) -> None:
    """Two epochs of fine-tuning after a head that was solved at once would be told as three epochs of training."""
    head = StageRecord(name="head", method="solved", epochs=1, seconds=1.0)
    views = StageRecord(name="views", method="solved", epochs=1, seconds=1.0)
    tuned = StageRecord(name="fine-tune", method="epochs", epochs=1)
    assert headline(make_result(stages=[head, views])) == "Solved the head in 2 min 12 s."
    with_tuning = make_result(stages=[head, views, tuned])
    assert headline(with_tuning) == "Solved the head and fine-tuned for 1 epoch in 2 min 12 s."  # 9.3 s to the head
    assert headline(make_result()) == "Trained 3 epochs in 2 min 12 s (first step after 9.3 s)."


def test_the_best_of_an_interrupted_fine_tuning_may_be_its_head(make_result: MakeResult) -> None:
    """The figures of the head would be read as what the fine-tuning has reached."""
    stopped = make_result(status="interrupted", stages=[solved("head")], best_epoch=0)
    assert "\nBest was the solved head: validation accuracy 0.700" in run_summary(stopped, labels=[], model_path=MODEL)
    alone = make_result(stages=[solved("head")], history={"loss": [0.9], "val_loss": [0.8]})
    assert "\nReached validation loss 0.800." in run_summary(alone, labels=[], model_path=MODEL)


def test_images_that_were_used_in_part_are_said(make_result: Callable[..., ResultRecord]) -> None:
    """A broken download would be half of a data set without a word."""
    assert not any("JPEG" in line for line in incidents(make_result()))
    assert "7 JPEGs lack their end; what is there was used." in incidents(make_result(cut_off_images=7))
    assert "1 JPEG lacks its end; what is there was used." in incidents(make_result(cut_off_images=1))


def test_the_lines_that_open_the_model_name_the_backend(make_result: MakeResult) -> None:
    """The lines that a user copies would open the model with JAX, or fail for a PyTorch that is not installed."""
    text = run_summary(make_result(), labels=[], model_path=MODEL, other_backend="keras.json says torch")
    asked = '    import os\n    os.environ["KERAS_BACKEND"] = "tensorflow"  # keras.json says torch\n'
    assert f"{asked}    import autofit, keras\n" in text
    assert "KERAS_BACKEND" not in run_summary(make_result(), labels=[], model_path=MODEL)
