"""A run's record as text for a terminal, a log or a page. Pure."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from autofit.config.monitoring import judged_by
from autofit.config.standard_error import standard_error
from autofit.printable import printable
from autofit.protocol.messages import LATER_STAGES, OUT_OF_MEMORY, BadImage, OomEvent, StageRecord, Verdict
from autofit.protocol.model_jobs import OutputKind
from autofit.report.model_usage import AS_THE_MODEL_SAYS, Reading, usage_code, usage_words
from autofit.report.stage_words import best_words, done_words, how_solved, trained_words
from autofit.report.width import columns, wrapped
from autofit.report.words import attempt_words, count_of, duration_words, metric_words, oom_position
from autofit.runs.history import VALIDATION_ACCURACY, best_epoch, best_figures, finished_epochs, stage_of
from autofit.runs.result_record import ResultRecord, RunTimeSpent

SHOWN_EVENTS = 3
LEAST_SHOWN_SECONDS = 0.05


def run_summary(
    result: ResultRecord,
    *,
    labels: Sequence[str],
    model_path: Path,
    images_per_second: float | None = None,
    outputs: OutputKind = "probabilities",
    other_backend: str = "",
    reading: Reading = AS_THE_MODEL_SAYS,
) -> str:
    """A short summary of a run: what happened, where the model is and what to do next.

    Args:
        result: the content of `result.json`.
        labels: the class names, in the order of the model's outputs.
        model_path: the path of `model.keras` in the run directory.
        images_per_second: training speed, if it is known.
        outputs: what the saved model gives.
        other_backend: the setting that gives Keras another backend than TensorFlow in the user's programs, if any.
        reading: as in `usage_code`.
    """
    opening = [headline(result, images_per_second), *best_line(result), *test_line(result), *time_line(result)]
    paragraphs = [
        "\n".join(map(wrapped, opening)),
        "\n".join(map(wrapped, stage_lines(result))),
        "\n".join(map(wrapped, [*incidents(result), *bad_image_lines(result.quarantined)])),
        "\n".join(wrapped(f"Note: {printable(warning)}") for warning in result.warnings),
        what_next(result, labels, model_path, outputs, other_backend, reading),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def headline(result: ResultRecord, images_per_second: float | None = None) -> str:
    """How the run ended, in one line."""
    if result.status == "completed":
        trained = trained_words(result.stages, finished_epochs(result.history))
        return f"{trained} in {time_words(result)}{_pace(result, images_per_second)}."
    cause = f": {printable(result.cause)}" if result.cause else ""
    return f"{_ended_words(result)}{cause}".removesuffix(".") + "."


def page_headline(result: ResultRecord) -> str:
    """How the run ended, without the cause, which a page shows below."""
    return headline(result.model_copy(update={"cause": ""}))


def _ended_words(result: ResultRecord) -> str:
    epochs, wall = finished_epochs(result.history), time_words(result)
    ended = "Failed" if result.status == "failed" else "Interrupted"
    where = f"after {done_words(result.stages, epochs)}" if epochs else "before the first epoch was finished"
    return f"{ended} {where} ({wall})"


def time_words(result: ResultRecord) -> str:
    """How long the run took, and its time budget if it had one."""
    wall = duration_words(result.wall_seconds)
    return wall if result.budget_seconds is None else f"{wall} of a budget of {duration_words(result.budget_seconds)}"


def _pace(result: ResultRecord, images_per_second: float | None) -> str:
    facts = [f"{images_per_second:,.0f} images/s"] if images_per_second else []
    is_solved_first = any(stage.method == "solved" for stage in result.stages)  # in no steps
    if result.seconds_to_first_step is not None and not is_solved_first:
        facts.append(f"first step after {duration_words(result.seconds_to_first_step)}")
    return f" ({', '.join(facts)})" if facts else ""


PARTS_OF_TIME = {
    "starts_seconds": "starting processes",
    "first_steps_seconds": "first steps (tracing, on a GPU tuning)",
    "extraction_seconds": "extracting features",
    "solving_seconds": "solving the head",
    "training_seconds": "training steps",
    "validation_seconds": "validating",
    "saving_seconds": "saving",
    "out_of_memory_seconds": "running out of memory",
    "other_seconds": "all else",
}


def time_parts(spent: RunTimeSpent) -> list[tuple[str, float]]:
    """The parts of a run's time that are long enough to be named, and their seconds, in the order of a run."""
    parts = [(words, getattr(spent, name)) for name, words in PARTS_OF_TIME.items()]
    return [(words, seconds) for words, seconds in parts if not seconds < LEAST_SHOWN_SECONDS]


def time_line(result: ResultRecord) -> list[str]:
    """How the time was spent, as one line; no line if that is not known."""
    parts = time_parts(result.time_spent) if result.time_spent else []
    words = ", ".join(f"{duration_words(seconds)} {words}" for words, seconds in parts)
    return [f"The time went into: {words}."] if words else []


def best_line(result: ResultRecord) -> list[str]:
    """The best epoch and its figures, as one line; no line before the first epoch is finished."""
    epoch = best_epoch(result.history, result.best_epoch)
    if epoch is None:
        return ["No epoch had a finite loss: try a lower learning rate."] if finished_epochs(result.history) else []
    figures = [f"{name} {figure_words(name, value, result)}" for name, value in best_figures(result.history, epoch)]
    best = "Reached" if _is_solved(result) else f"{best_words(result.stages, epoch)}:"
    return [f"{best} {', '.join(figures)}."]


def test_line(result: ResultRecord) -> list[str]:
    """The figures on the test images, as one line; no line without test images."""
    tested = test_figure(result)
    if tested is None or result.test_loss is None:
        return []
    images = count_of(result.tested_images, "image")
    name, words = tested
    return [f"{name} {words}, test loss {metric_words(result.test_loss)}, on {images} held out for it."]


def test_figure(result: ResultRecord) -> tuple[str, str] | None:
    """The name and the figure of the test, an accuracy with its standard error; None without test images."""
    if result.test_mean_average_precision is not None:
        return "Test mean average precision", metric_words(result.test_mean_average_precision)
    if result.test_accuracy is None or not result.tested_images:
        return None
    return "Test accuracy", _with_error(result.test_accuracy, result.test_standard_error, result.tested_images)


def _is_solved(result: ResultRecord) -> bool:
    """Whether a solved head is all that was trained, also of a stage that is unfinished."""
    epochs = sum(stage.epochs for stage in result.stages)
    return {stage.method for stage in result.stages} == {"solved"} and finished_epochs(result.history) <= epochs


def stage_lines(result: ResultRecord) -> list[str]:
    """How the head was solved and fine-tuned, in a few sentences; no line for a training by epochs."""
    best = stage_of(result.stages, best_epoch(result.history, result.best_epoch) or 0)
    solved = [stage for stage in result.stages if stage.method == "solved"]
    lines = [_solved_words(stage, best, judged_by(result.monitor)) for stage in solved]
    if any(stage.name == best and stage.refitted for stage in solved):
        lines.append(
            "The saved model was then fitted on the training and validation images together; "
            "the validation figures are from before that."
        )
    return lines + _budget_lines(result) + _fine_tuning_lines(result) + _calibration_lines(result)


def _solved_words(stage: StageRecord, best: str, by: str) -> str:
    """How a stage solved the head; of the head on views also what came of it, if the `best` stage tells that."""
    if stage.name == "views":
        gave = {"views": f": a better model {by}", "head": f": no better model than without {by}"}
        return f"It was solved once more, on augmented views of each image{gave.get(best, '')}."
    chosen = f"; the strength of its penalty was chosen by {printable(stage.chosen_by)}" if stage.chosen_by else ""
    return f"The head was {how_solved(stage)} in {duration_words(stage.seconds or 0.0)}{chosen}."


def _budget_lines(result: ResultRecord) -> list[str]:
    """What was cut short in each stage, a line each: by the time budget, a divergence, or else by a callback."""
    done = {
        "head": "The head was trained with",
        "views": "On augmented views it was trained with",
        "fine-tune": "Fine-tuning ended after",
        "refit": "Fine-tuning on all images was dropped after",
        "training": "It ended after",
    }
    lines = []
    for stage in (one for one in result.stages if one.cut_short):
        if stage.name == "views" and not stage.epochs:
            lines.append("Solving the head on augmented views was left out: no time, or no room for their features.")
            continue
        by_callback = stage.name == "refit" and result.budget_seconds is None
        why = printable(stage.diverged) or ("" if by_callback else "the time budget")
        lines.append(f"{done[stage.name]} {printable(stage.cut_short)}{why and f': {why}'}.")
    return lines


def _fine_tuning_lines(result: ResultRecord) -> list[str]:
    """What fine-tuning gave, if its model was kept; if it gave no better model, a warning says so elsewhere."""
    stages = [stage.name for stage in result.stages]
    best = best_epoch(result.history, result.best_epoch)
    if "fine-tune" not in stages or best is None or stage_of(result.stages, best) != "fine-tune":
        return []
    if "val_loss" not in result.history:
        return ["The fine-tuned model was kept: there were no validation images to compare it with the head alone."]
    tuned = next(stage for stage in result.stages if stage.name == "fine-tune")
    by = judged_by(result.monitor, printable(tuned.chosen_by))
    better = f"Fine-tuning gave a better model than the head alone {by}"
    if result.stages[-1].name == "refit" and result.stages[-1].refitted:
        return [
            f"{better}.",
            "It was then done once more, on the training and validation images together: that is the saved model.",
            "The validation figures are from before.",
        ]
    return [f"{better}, and that model was kept."]


def _calibration_lines(result: ResultRecord) -> list[str]:
    """How the saved model's confidence was corrected, as one line; no line if it was not."""
    if result.calibration is None:
        return []
    weighted = next(
        (words for one in result.stages if (words := one.chosen_by.removeprefix("accuracy")) != one.chosen_by), ""
    )
    by = f"by a temperature of {result.calibration.temperature:.2f}, with which their loss{weighted} is"
    return [f"Its confidence was calibrated on the validation images, {by} {metric_words(result.calibration.loss)}."]


def figure_words(name: str, value: float, result: ResultRecord) -> str:
    """A figure of the best epoch, by its name in `best_figures`; a validation accuracy with its standard error."""
    error, images = result.validation_standard_error, result.validated_images
    return _with_error(value, error, images) if images and name == VALIDATION_ACCURACY else metric_words(value)


def _with_error(accuracy: float, error: float | None, images: int) -> str:
    """An accuracy with its standard error, which results of earlier versions lack."""
    return f"{metric_words(accuracy)} ± {metric_words(standard_error(accuracy, images) if error is None else error)}"


def incidents(result: ResultRecord) -> list[str]:
    """The problems that the run recovered from, one line each; empty if there were none."""
    lines = [*oom_lines(result), *attempt_lines(result)]
    if result.result_changed:
        lines.append(
            "THE RESULT IS CHANGED: the number of images at once is part of this training, as BatchNormalization or "
            "dropout inside the network depends on it, and memory allowed fewer than the batch. A machine with more "
            "memory would end with other weights."
        )
    if result.cut_off_images:
        cut_off = count_of(result.cut_off_images, "JPEG lacks its end", "JPEGs lack their end")
        lines.append(f"{cut_off}; what is there was used.")
    return lines


def oom_lines(result: ResultRecord) -> list[str]:
    """A line for each out-of-memory from which the run recovered, or one line for all if there are many."""
    events = result.oom_events
    same = "; the result is not changed" if result.is_bit_equal else "; the result is the same to float tolerance"
    unchanged = "" if result.result_changed else same
    if len(events) <= SHOWN_EVENTS:
        return [f"{_oom_words(event, result)}{unchanged}." for event in events]
    most = max(event.micro_batch_size_before for event in events)
    least = min(event.micro_batch_size_after for event in events)
    lost = duration_words(sum(event.seconds_lost for event in events))
    first, last = oom_position(events[0], result.stages), oom_position(events[-1], result.stages)
    where = first if first == last else f"first {first}, last {last}"
    sizes = f"went from {most} images at once down to {least}"
    return [f"Ran out of memory {len(events):,} times, {where}; {sizes}; {lost} lost{unchanged}."]


def _oom_words(event: OomEvent, result: ResultRecord) -> str:
    before, after = event.micro_batch_size_before, event.micro_batch_size_after
    then = "tried again" if before == after else f"continued with {after}"  # equal before the network was built
    return f"Ran out of memory {oom_position(event, result.stages)} with {count_of(before, 'image')} at once; {then}"


def attempt_lines(result: ResultRecord) -> list[str]:
    """The attempts that did not complete, and why; the first few if there are many."""
    bad = [number for number, one in enumerate(result.attempts, 1) if one.verdict is not Verdict.COMPLETED]
    lines = [attempt_line(result, number) for number in bad[:SHOWN_EVENTS]]
    return lines + _more(len(bad), "attempt", "ended early; result.json has them all")


def attempt_line(result: ResultRecord, number: int) -> str:
    """How an attempt ended that did not complete, and what the next one did; attempts are counted from one."""
    attempt = result.attempts[number - 1]
    then = ""
    if number < len(result.attempts):
        is_begun = (attempt.epoch, attempt.step) > (0, 0) or attempt.stage in LATER_STAGES
        then = "; the next continued from the last checkpoint" if is_begun else "; another followed"
    return f"Attempt {number} {attempt_words(attempt, result.stages)}{then}."


def bad_image_lines(images: Sequence[BadImage]) -> list[str]:
    """How many images could not be read, and the first few of them."""
    if not images:
        return []
    were = "was" if len(images) == 1 else "were"
    first = [f"  {printable(image.path)}: {printable(image.reason)}" for image in images[:SHOWN_EVENTS]]
    head = f"{count_of(len(images), 'image')} could not be read and {were} left out:"
    return [head, *first, *_more(len(images), "image", "in result.json", indent="  ")]


def _more(total: int, noun: str, rest: str, indent: str = "") -> list[str]:
    hidden = total - SHOWN_EVENTS
    return [f"{indent}and {count_of(hidden, f'more {noun}')} {rest}."] if hidden > 0 else []


def what_next(
    result: ResultRecord,
    labels: Sequence[str],
    model_path: Path,
    outputs: OutputKind = "probabilities",
    other_backend: str = "",
    reading: Reading = AS_THE_MODEL_SAYS,
) -> str:
    """Where the model is and how to use it; for an unfinished run, how to resume it."""
    if result.status == "completed":
        lines = usage_code(model_path, other_backend, columns() - 4, reading)
        code = "\n".join(f"    {line}" for line in lines)
        words = wrapped(usage_words(labels, result, outputs))
        return f"The model is {printable(str(model_path))}. To use it:\n\n{code}\n\n{words}"
    first = wrapped(f"{before_resuming(result)}To continue:")
    return f"{first}\n\n    {resume_command(model_path.parent)}"


def resume_command(run_directory: Path) -> str:
    """The command that resumes a run."""
    return printable(f"autofit resume {shlex.quote(str(run_directory))}")


def report_command(run_directory: Path) -> str:
    """The command that writes a run's page again."""
    return printable(f"autofit report {shlex.quote(str(run_directory))}")


def before_resuming(result: ResultRecord) -> str:
    """What to fix before resuming, according to the last attempt's verdict; empty if there is nothing to fix."""
    verdict = result.attempts[-1].verdict if result.attempts and result.status == "failed" else None
    if verdict in OUT_OF_MEMORY and "a higher memory_limit" in result.cause:  # other programs do not matter
        return "Give a higher memory_limit with it, or start a new run with a smaller image_size. "
    if verdict in OUT_OF_MEMORY:
        return (
            "Close other programs that use the memory; if that does not help, start a new run with a smaller "
            "image_size. "
        )
    if verdict is Verdict.STORAGE:
        is_full = any(os.strerror(number) in result.cause for number in (errno.ENOSPC, errno.EDQUOT))
        return "Free disk space first. " if is_full else "See to the drive first, as said above. "
    return "Fix the error named above first. " if verdict else ""
