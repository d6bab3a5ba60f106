"""Whatever ends a worker or its parent, the run goes on to the end that it would have had: real runs, real kills."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import autofit
from autofit.input.prediction_views import decode_views, prediction_views
from autofit.process.tail import Tail
from autofit.protocol.messages import Progress
from autofit.storage.run_directory import RunDirectory
from tests.support.paths import CHILDREN, child_environment
from tests.support.processes import (
    autofit_command,
    forking,
    kill_with_children,
    unforked,
    wait_until_gone,
    workers_of,
)
from tests.support.run_files import committed, result_of, samples_of, updates_of
from tests.support.shared import made_once
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

TRAIN_COUNT = 145
EPOCHS = 3

Condition = Callable[[], bool]


def train_command(photos: Path, run_dir: Path, *more: str) -> list[str]:
    """The request of these tests, whose worker is forked: 19 steps an epoch, a checkpoint after each."""
    sizes = [] if "--batch-schedule" in more else ["--batch-size", "8"]
    named = ["--model", "survivor_network:network", "--image-size", "32", "--epochs", str(EPOCHS)]
    often = ["--checkpoint-every", "1", "--audit"]
    return forking(autofit_command("train", photos, *named, *sizes, *often, "--run-dir", run_dir, *more))


def resume_command(run_dir: Path) -> list[str]:
    """Its resumption."""
    return forking(autofit_command("resume", run_dir))


REQUEST: dict[str, Any] = {
    "model": "survivor_network:network",
    "image_size": 32,
    "epochs": EPOCHS,
    "checkpoint_every": 1,
}


def halting(moment: str, photos: Path | str, run_dir: Path, **more: Any) -> list[str]:
    """The same request, or with `-` for photos its resumption, by a script that waits at EPOCH:BATCH to be killed."""
    options = json.dumps({**REQUEST, "audit": True, **more})
    script = str(CHILDREN / "halting_run.py")
    return forking([sys.executable, script, moment, str(photos), str(run_dir), options])


def finish(arguments: Sequence[str], **more: str) -> None:
    """Run a command to its end, which must be a good one."""
    done = subprocess.run(
        arguments, cwd=CHILDREN, env=child_environment(**more), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def assert_permutations(run_dir: Path, batch_sizes: Sequence[int], broken: frozenset[int] = frozenset()) -> None:
    """Each epoch trained on every readable image once, in the steps that its batch size makes, and there was no other.

    A batch in which nothing is readable makes no step.
    """
    readable = sorted(samples_of(run_dir, "train").keys() - broken)
    for epoch, size in enumerate(batch_sizes):
        lines = updates_of(run_dir, epoch)
        assert [line["step"] for line in lines] == list(range(len(lines)))
        assert len(lines) == math.ceil(TRAIN_COUNT / size) or broken
        assert sorted(sample for line in lines for sample in line["samples"]) == readable
    assert updates_of(run_dir, len(batch_sizes)) == []


@contextlib.contextmanager
def started(arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A running command, whose messages can be read from `stderr`; it does not outlive its test."""
    process = subprocess.Popen(
        arguments, cwd=CHILDREN, env=child_environment(), text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def kill_both(arguments: Sequence[str], moment: Condition) -> None:
    """Start a command, and `kill -9` it and its worker at that moment."""
    with started(arguments) as process:
        wait_until(lambda: bool(workers_of(process)), "no worker starts", process=process)
        wait_until(moment, "the moment never came", process=process)
        kill_with_children(process)


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happened to, in a worker that was started as users start it."""
    made = made_once(
        tmp_path_factory, "survival-undisturbed", lambda folder: finish(unforked(train_command(photos, folder / "run")))
    )
    return made / "run"


@pytest.fixture(scope="module")
def inline(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the usual runs of `inline_training.py`, all made in one process."""
    return inline_runs("usual", photos, tmp_path_factory)


@pytest.fixture(scope="module")
def inline_more(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with those that only `make test-faults` looks at."""
    return inline_runs("more", photos, tmp_path_factory)


def inline_runs(which: str, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = [sys.executable, str(CHILDREN / "inline_training.py"), str(photos)]
    return made_once(tmp_path_factory, f"inline-{which}", lambda folder: finish([*program, str(folder), which]))


# Kills ---------------------------------------------------------------------------------------------------------------


def mortal_training(photos: Path, folder: Path, *moments: str) -> Path:
    """A run of `mortal_training.py`, which dies at these moments and goes on; gives its run directory."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    script = forking([sys.executable, str(CHILDREN / "mortal_training.py")])
    finish([*script, str(photos), str(folder), *moments], TMPDIR=str(temporary))
    assert [path.name for path in temporary.iterdir()] == []
    return folder / "run"


def test_a_worker_killed_at_eight_moments_ends_with_the_same_weights(
    photos: Path, tmp_path: Path, *, whole: bool
) -> None:
    """After an update lost or made twice, a stale seed, metric, rate or callback state, weights or counts differ.

    `make test` has two of the moments.
    The model function and the callbacks stand in the script that was run, and nothing of them may be left on the disk.
    """
    more = ("build", "end", "before-step-0-0", "validation-0-1", "before-epoch-1", "after-step-2-9") if whole else ()
    moments = ("after-step-0-6", "save", *more)
    expected = mortal_training(photos, tmp_path / "undisturbed")

    run_dir = mortal_training(photos, tmp_path / "killed", *moments)

    result = result_of(run_dir)
    assert [attempt["verdict"] for attempt in result["attempts"]] == ["crashed"] * len(moments) + ["completed"]
    assert_permutations(run_dir, [8] * EPOCHS)
    assert result["weights_sha256"] == result_of(expected)["weights_sha256"]
    assert result["history"] == result_of(expected)["history"]
    told = tmp_path / "killed"
    assert (told / "seen").read_text() == str(19 * EPOCHS)
    for name in ("log.csv", "added.csv", "kept.json"):
        assert (told / name).read_text() == (tmp_path / "undisturbed" / name).read_text()
    kept = json.loads((told / "kept.json").read_text())
    assert kept["seen"] == result["history"]["val_loss"]
    assert kept["rates"] == result["history"]["learning_rate"]
    assert [row.split(",")[0] for row in (told / "added.csv").read_text().split()] == ["epoch", "0", "0", "1", "2"]
    # relative paths are in the caller's folder, which a worker in another one would not know
    assert sorted(path.name for path in (told / "saved").iterdir()) == ["1.keras", "2.keras", "3.keras"]
    if importlib.util.find_spec("tensorboard"):
        for name, values in json.loads((told / "board.json").read_text()).items():
            assert [step for step, _ in values] == [0, 1, 2]
            assert [value for _, value in values] == pytest.approx(result["history"][name])
    begun = len((told / "begun").read_text().split())
    assert begun == len(moments) + 1 - ("build" in moments)  # all attempts but the one that died there
    left = [path for path in run_dir.rglob("*") if path.is_file() and b"die_once" in path.read_bytes()]
    assert left == []


@pytest.mark.whole  # tests/faults/test_runs.py has it of a smaller worker, and test_caches.py of a larger
def test_worker_and_parent_killed_together_resume_to_the_same_weights(
    photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """After the end of everything, `autofit resume` finds what it needs on the disk and repeats no committed step."""
    run_dir = tmp_path / "run"
    resume = resume_command(run_dir)
    checkpoints = run_dir / "checkpoints"

    def imports() -> bool:
        told = run_dir / "attempts" / "0001" / "progress.jsonl"  # begun before TensorFlow is loaded
        return told.exists() and told.stat().st_size > 0

    def saves() -> bool:
        return committed(run_dir) >= (0, 80) and any(path.name.startswith(".saving-") for path in checkpoints.iterdir())

    kill_both(train_command(photos, run_dir), imports)
    kill_both(resume, saves)
    kill_both(resume, lambda: committed(run_dir) >= (1, 48))
    kill_both(halting("2:15", "-", run_dir), lambda: committed(run_dir) >= (2, 96))
    finish(resume)

    result = result_of(run_dir)
    assert len(result["attempts"]) == 5
    assert_permutations(run_dir, [8] * EPOCHS)
    assert result["weights_sha256"] == result_of(undisturbed)["weights_sha256"]


def test_a_worker_whose_parent_is_killed_commits_what_it_trained(
    photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """A notebook that dies would take up to a minute of training with it, though the worker is whole."""
    run_dir = tmp_path / "run"
    progress = Tail(run_dir / "attempts" / "0001" / "progress.jsonl")
    with started(halting("1:5:4", photos, run_dir, checkpoint_every=1000, batch_size=8)) as process:

        def waits_in_its_second_epoch() -> bool:
            return any((line.epoch, line.step) == (1, 6) for line in progress.records(Progress))

        wait_until(waits_in_its_second_epoch, "the second epoch never came", process=process)
        assert committed(run_dir) == (1, 0)
        workers = workers_of(process)
        process.kill()
        wait_until_gone(workers)
    assert committed(run_dir) == (1, 48)

    finish(resume_command(run_dir))

    result = result_of(run_dir)
    assert [attempt["verdict"] for attempt in result["attempts"]] == ["interrupted", "completed"]
    assert_permutations(run_dir, [8] * EPOCHS)
    assert result["weights_sha256"] == result_of(undisturbed)["weights_sha256"]


@pytest.mark.whole
def test_a_ramp_killed_inside_its_second_epoch_has_the_steps_of_arithmetic(photos: Path, tmp_path: Path) -> None:
    """A loop that goes on with another epoch's batch size after a kill drops or repeats images: 5, 7 and 10 steps."""
    run_dir = tmp_path / "run"

    kill_both(halting("1:3", photos, run_dir, batch_schedule="32:16"), lambda: committed(run_dir) > (1, 0))
    finish(resume_command(run_dir))

    assert_permutations(run_dir, [32, 24, 16])
    lines = [line for attempt in RunDirectory(run_dir).attempts() for line in Tail(attempt.progress).records(Progress)]
    told = {(line.epoch, line.steps) for line in lines if line.steps}
    assert told <= {(0, 5), (1, 7), (2, 10)}
    assert (2, 10) in told


@pytest.mark.whole
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_a_run_in_mixed_precision_killed_inside_its_second_epoch_ends_as_its_replay(
    precision: str, photos: Path, tmp_path: Path
) -> None:
    """The scale of the loss would begin anew, and other updates be skipped; or the count of those be lost."""
    given = {"model": "survivor_network:overflowing_network", "precision": precision}
    killed, replay = tmp_path / "killed", tmp_path / "replay"

    kill_both(halting("1:5", photos, killed, batch_size=8, **given), lambda: committed(killed) >= (1, 32))
    finish(resume_command(killed))
    again = ["--precision", precision, "--replay", str(killed), "--model", given["model"]]
    finish(train_command(photos, replay, *again))

    result, repeated = result_of(killed), result_of(replay)
    assert len(result["attempts"]) == 2
    assert result["weights_sha256"] == repeated["weights_sha256"]
    result["history"].pop("learning_rate")  # of a run with callbacks
    assert result["history"] == repeated["history"]
    applied = [[line.get("applied", True) for line in updates_of(run)] for run in (killed, replay)]
    assert applied[0] == applied[1]
    skipped = sum(result["history"].get("skipped_updates", [0]))
    assert skipped == applied[0].count(False)
    assert (skipped > 0) is (precision == "mixed_float16")
    assert_permutations(killed, [8] * EPOCHS)


@pytest.mark.whole
def test_a_run_in_segments_killed_inside_its_second_epoch_ends_as_its_replay(photos: Path, tmp_path: Path) -> None:
    """The second computation of activations would draw other numbers, or move the averages twice, after a resume."""
    model = "survivor_network:network"
    killed, replay = tmp_path / "killed", tmp_path / "replay"
    kill_both(
        halting("1:5", photos, killed, batch_size=8, model=model, recompute="on"), lambda: committed(killed) >= (1, 32)
    )
    finish(resume_command(killed))
    finish(train_command(photos, replay, "--recompute", "on", "--replay", str(killed), "--model", model))

    result, repeated = result_of(killed), result_of(replay)
    assert [attempt["segments"] for attempt in result["attempts"]] == [8, 8]
    assert result["weights_sha256"] == repeated["weights_sha256"]
    assert result["is_bit_equal"]
    assert result["history"]["loss"] == repeated["history"]["loss"]
    assert_permutations(killed, [8] * EPOCHS)


# Asked to stop -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "is_damaged"),
    [("SIGINT", True), pytest.param("SIGTERM", False, marks=pytest.mark.whole)],  # SIGTERM is in the next test too
)
def test_a_signal_ends_a_run_that_can_be_resumed(
    name: str,
    photos: Path,
    undisturbed: Path,
    tmp_path: Path,
    *,
    is_damaged: bool,
) -> None:
    """Ctrl-C and SIGTERM commit, leave the best model so far, say how to go on, and cost nothing.

    Nor does a damaged newest checkpoint.
    """
    run_dir = tmp_path / "run"
    with started(train_command(photos, run_dir)) as process:
        wait_until(lambda: committed(run_dir) >= (1, 24), "the moment never came", process=process)
        process.send_signal(getattr(signal, name))
        *_, last = process.communicate(timeout=60)[1].strip().splitlines()

    assert process.returncode == 130
    assert last.startswith("autofit: ")
    assert f"autofit resume {run_dir}" in last
    assert f"the best model so far is {run_dir / 'model.keras'}" in last
    assert zipfile.ZipFile(run_dir / "model.keras").testzip() is None
    assert len(json.loads((run_dir / "labels.json").read_text())["labels"]) > 1
    assert result_of(run_dir)["status"] == "interrupted"
    newest = max((run_dir / "checkpoints").iterdir())
    if is_damaged:
        with (newest / "model.safetensors").open("r+b") as file:
            file.seek(-4, os.SEEK_END)
            file.write(b"bad!")
    finish(resume_command(run_dir))

    assert_permutations(run_dir, [8] * EPOCHS)
    assert result_of(run_dir)["weights_sha256"] == result_of(undisturbed)["weights_sha256"]
    assert newest.with_name(f"{newest.name}.damaged").exists() is is_damaged


@pytest.mark.whole
def test_a_run_in_the_background_of_a_script_is_saved_by_sigterm(
    photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """A shell without job control starts `autofit train … &` with SIGINT ignored: only SIGTERM is left to stop it."""
    run_dir, code, number = (tmp_path / name for name in ("run", "code", "number"))
    command = shlex.join(train_command(photos, run_dir))
    with started(
        ["sh", "-c", f"{command} & echo $! >{number}.new; mv {number}.new {number}; wait $!; echo $? >{code}"]
    ) as script:
        wait_until(number.exists, "it was not started", process=script)
        in_background = psutil.Process(int(number.read_text()))
        try:
            wait_until(lambda: committed(run_dir) >= (0, 24), "the moment never came", process=script)
            in_background.send_signal(signal.SIGINT)
            seen = committed(run_dir)
            wait_until(lambda: committed(run_dir) > seen, "the ignored signal stopped it", process=script)
            in_background.send_signal(signal.SIGTERM)
            errors = script.communicate(timeout=60)[1]
        finally:
            with contextlib.suppress(psutil.Error):
                in_background.kill()

    assert code.read_text().strip() == "130"
    assert f"autofit resume {run_dir}" in errors.strip().splitlines()[-1]
    assert result_of(run_dir)["status"] == "interrupted"
    finish(resume_command(run_dir))
    assert result_of(run_dir)["weights_sha256"] == result_of(undisturbed)["weights_sha256"]


@pytest.mark.whole  # tests/runs/test_supervisor.py has it of a smaller worker
def test_max_minutes_interrupts_a_run_that_ends_with_the_same_weights(undisturbed: Path, inline_more: Path) -> None:
    """A run cut into sessions of so many minutes commits before it stops, and goes on where it was."""
    run_dir = inline_more / "max_minutes"

    status, message = (inline_more / "interrupted").read_text().split("\n")

    assert status == "interrupted"
    assert "max_minutes" in message
    assert result_of(run_dir)["attempts"][0]["verdict"] == "interrupted"
    assert result_of(run_dir)["status"] == "completed"
    assert_permutations(run_dir, [8] * EPOCHS)
    assert result_of(run_dir)["weights_sha256"] == result_of(undisturbed)["weights_sha256"]


@pytest.mark.whole
def test_a_run_stopped_while_it_validates_keeps_the_whole_epoch(inline: Path, inline_more: Path) -> None:
    """What was trained is committed, with the epoch's own metrics: not those that the validation had begun to count."""
    result, expected = result_of(inline_more / "validation"), result_of(inline / "undisturbed")

    assert [attempt["verdict"] for attempt in result["attempts"]] == ["interrupted", "completed"]
    assert {line["attempt"] for line in updates_of(inline_more / "validation", 0)} == {1}
    assert result["history"] == expected["history"]
    assert result["weights_sha256"] == expected["weights_sha256"]


# Without a process of its own ----------------------------------------------------------------------------------------


def test_inline_training_ends_with_the_weights_of_a_worker(undisturbed: Path, inline: Path) -> None:
    """Training in the caller's process is the same training, also after others in that process."""
    expected = result_of(undisturbed)["weights_sha256"]

    assert result_of(inline / "undisturbed")["weights_sha256"] == expected


def test_inline_work_leaves_the_objects_of_its_process_alone(inline: Path) -> None:
    """Frozen objects are never collected: a notebook's garbage would stay, with each prediction more of it."""
    assert json.loads((inline / "frozen").read_text()) == {"training": 0, "prediction": 0}


def test_inline_training_goes_on_after_running_out_of_memory(inline: Path) -> None:
    """What is left of a failed attempt in the same process shows against a replay that did not fail."""
    result, replay = result_of(inline / "oom"), result_of(inline / "replay")

    assert [attempt["verdict"] for attempt in result["attempts"]] == ["device_oom", "completed"]
    assert_permutations(inline / "oom", [8] * EPOCHS)
    assert {line["micro_batch_size"] for line in updates_of(inline / "oom", 0)} == {8}
    assert {line["micro_batch_size"] for line in updates_of(inline / "oom", 2)} == {4}
    assert result["weights_sha256"] == replay["weights_sha256"]
    assert result["history"]["loss"] == replay["history"]["loss"]


# Callbacks, the best epoch, labels -----------------------------------------------------------------------------------


@pytest.mark.whole
def test_a_callback_can_stop_the_training_inside_an_epoch(inline_more: Path) -> None:
    """As in `fit`, the epoch is closed at once; an attempt that takes over from there trains no further."""
    run_dir = inline_more / "stopped"

    assert [line["step"] for line in updates_of(run_dir, 1)] == [0, 1, 2]
    assert updates_of(run_dir, 2) == []
    assert len(result_of(run_dir)["history"]["val_loss"]) == 2


def test_early_stopping_keeps_the_best_epoch(photos: Path, inline: Path) -> None:
    """The rates of a scheduler spoil what was learned: two epochs later it ends, and the model is that of before.

    It opens, and gives the loss of the history, where autofit does not exist.
    """
    run_dir = inline / "early"
    losses = result_of(run_dir)["history"]["val_loss"]
    best = int(np.argmin(losses))
    plain = [sys.executable, "-I", str(CHILDREN / "plain_keras.py"), str(run_dir), str(photos)]

    loss = float(subprocess.run(plain, capture_output=True, text=True, check=True, timeout=120).stdout)

    assert best >= 1
    assert len(losses) == best + 3 < 8
    assert loss == pytest.approx(losses[best], abs=1e-5)
    assert json.loads((run_dir / "labels.json").read_text())["labels"] == ["blue", "green", "red"]
    assert result_of(run_dir)["history"]["val_accuracy"][best] > 0.9


def test_a_first_epoch_without_a_number_is_not_the_best_for_ever() -> None:
    """No loss is lower than NaN: a run that recovers would never have a best epoch, and stop early."""
    from autofit.worker.training.training_progress import TrainingProgress  # noqa: PLC0415 - loads Keras

    assert TrainingProgress(best_epoch=0, best_value=math.nan).after_epoch(1, {"loss": 5.0}).best_epoch == 1
    assert TrainingProgress(best_epoch=0, best_value=5.0).after_epoch(1, {"loss": math.nan}).best_epoch == 0


# Images that cannot be decoded ---------------------------------------------------------------------------------------


@pytest.mark.forked_workers
@pytest.mark.whole  # `test_bad_images.py` and tests/faults/test_images.py have it too
def test_images_that_cannot_be_decoded_are_left_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken file neither ends a run, nor is trained on, nor costs its neighbours their turn."""
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    broken = {f"{name}/{number:03d}.png" for name in ("blue", "green", "red") for number in range(0, 48, 3)}
    for number, path in enumerate(sorted(broken)):
        whole = (folder / path).read_bytes()
        (folder / path).write_bytes([whole[:200], b"no image", whole[:40]][number % 3])
    run_dir = tmp_path / "run"

    monkeypatch.chdir(CHILDREN)
    autofit.run(folder, run_dir=run_dir, batch_size=8, max_bad_images=0.5, audit=True, **REQUEST)

    left_out = frozenset(index for index, path in samples_of(run_dir, "train").items() if path in broken)
    assert 0 < len(left_out) < len(broken)
    assert_permutations(run_dir, [8] * EPOCHS, left_out)
    skipped = {sample for epoch in range(EPOCHS) for line in updates_of(run_dir, epoch) for sample in line["skipped"]}
    assert skipped == left_out
    named = {str(Path(image["path"]).relative_to(folder)) for image in result_of(run_dir)["quarantined"]}
    assert named == broken


# Afterwards ----------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_returned_at_once(undisturbed: Path, inline: Path) -> None:
    """Resuming what is done starts no worker, changes no file, and asks for no model function."""
    for run_dir in (undisturbed, inline / "undisturbed"):
        before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}

        result = autofit.resume(run_dir)

        assert result.weights_sha256 == result_of(run_dir)["weights_sha256"]
        assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")} == before


KEPT = """
import os, signal, sys, autofit, psutil
from autofit.runs.warm_model import WARM
autofit.Result(sys.argv[1]).predict(sys.argv[2])
assert WARM.is_warm
print(*[child.pid for child in psutil.Process().children()], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_kept_for_predictions_ends_with_its_parent(photos: Path, undisturbed: Path) -> None:
    """A gigabyte would stay in use on the machine for each notebook that was killed."""
    command = [sys.executable, "-c", KEPT, str(undisturbed), str(photos / "red" / "000.png")]
    parent = subprocess.run(command, capture_output=True, text=True, check=False)
    assert parent.returncode == -signal.SIGKILL
    worker = int(parent.stdout)
    wait_until(lambda: not _is_running(worker), "the worker outlives its parent")


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _own_workers() -> list[int]:
    """The living workers of this process."""
    found = [child for child in psutil.Process().children() if _is_running(child.pid)]
    return [child.pid for child in found if "autofit.worker" in child.cmdline()]


def test_a_result_predicts_as_its_saved_model_does(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Another decoding, order or scale than in training, a broken file that moves the rows, or mixed views shows."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    good = [photos / name / f"{number:03d}.png" for number in range(20) for name in ("blue", "green", "red")]
    labels = [path.parent.name for path in good]
    result = autofit.Result(undisturbed)

    rows = result.predict([*good[:10], broken, *good[10:]])
    worker = _own_workers()
    scores = result.evaluate([*good, broken], [*labels, "red"], views=3)
    again = result.predict(good[:3])

    assert len(worker) == 1
    assert _own_workers() == worker
    np.testing.assert_allclose(again, rows[:3], atol=1e-6)
    result.close()
    assert _own_workers() == []
    expected = result.model.predict(autofit.ImageSequence(good, None, batch_size=16, image_size=32), verbose=0)
    numbers = np.array([result.labels.index(label) for label in labels])
    assert np.isnan(rows[10]).all()
    np.testing.assert_allclose(np.delete(rows, 10, axis=0), expected, atol=1e-6)
    views = np.empty((60, 3, 32, 32, 3), np.uint8)
    for path, row in zip(good, views, strict=True):
        decode_views(path, prediction_views(3, flips=True), row)
    of_views = result.model.predict(views.reshape(-1, 32, 32, 3), batch_size=16, verbose=0)
    means = of_views.reshape(60, 3, -1).mean(axis=1)
    assert scores.accuracy == pytest.approx((means.argmax(axis=1) == numbers).mean())
    assert scores.loss == pytest.approx(-np.log(means[np.arange(60), numbers]).mean(), abs=1e-5)
    assert [image.path for image in scores.unreadable] == [str(broken)]
