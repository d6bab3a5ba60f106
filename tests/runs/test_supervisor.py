"""Runs of the supervisor over real processes: `children/stub_worker.py`, which ends as told, without TensorFlow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from autofit.config.learning_rates import RateFall
from autofit.config.rungs import Rung
from autofit.errors import (
    AutofitError,
    DoesNotFitError,
    InterruptedRunError,
    StorageError,
    TrainingFailedError,
    UserError,
)
from autofit.process.monitor import DEADLINE_SECONDS, Patience
from autofit.protocol.cache_job import CacheJob
from autofit.protocol.job import FineTunePlan, Job, TrainingPlan, TrainJob, ViewsPlan
from autofit.protocol.messages import MemoryBudget, Phase, Progress, StageRecord
from autofit.protocol.payload import Payload
from autofit.runs.collect_result import collect_result
from autofit.runs.run_record import RunRecord
from autofit.runs.squeeze import Squeeze
from autofit.runs.stage_probe import StageStart
from autofit.runs.time_budget import TimeBudget
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock
from tests.support.paths import AUTOFIT_PATH, load_child
from tests.support.run_files import assert_each_epoch_once, updates_of
from tests.support.views import RecordingView

IMPATIENT = Patience({**DEADLINE_SECONDS, Phase.START: 30.0, Phase.TRAIN: 1.5}, stop_seconds=0.5)

pytestmark = pytest.mark.forked_workers

Run = Callable[..., AutofitError | None]


@pytest.fixture(autouse=True)
def autofit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", AUTOFIT_PATH)


@pytest.fixture
def files(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


@pytest.fixture
def run(files: RunDirectory) -> Run:
    """Supervise a run whose attempts end as told."""
    stub = load_child("stub_parent")

    def run(ends: str, view: object = None, **given: object) -> AutofitError | None:
        error: AutofitError | None = stub.supervisor(files, ends, view=view or stub.PrintedView(), **given).run()
        return error

    return run


def ended(files: RunDirectory) -> list[tuple[str, str, int]]:
    attempts = collect_result(files, "completed", "", 0.0).attempts
    return [(attempt.verdict.value, attempt.cause, attempt.micro_batch_size) for attempt in attempts]


def assert_every_image_once_an_epoch(files: RunDirectory) -> None:
    assert_each_epoch_once(files.path, 2, range(24))


def jobs(files: RunDirectory) -> list[Job]:
    return [Job.load(attempt.job) for attempt in files.attempts()]


def test_a_run_that_nothing_disturbs_takes_one_attempt(files: RunDirectory, run: Run) -> None:
    """A supervisor that takes a good end for a bad one trains again and again."""
    assert run("complete") is None
    assert ended(files) == [("completed", "", 4)]
    assert_every_image_once_an_epoch(files)


def test_each_attempt_of_a_deterministic_run_is_deterministic(files: RunDirectory, run: Run) -> None:
    """A run that goes on after a crash, or is resumed, would go on with other kernels."""
    record = load_child("stub_parent").run_record(deterministic=True)
    assert run("SIGKILL@2,complete", record=record) is None
    assert [job.deterministic for job in jobs(files)] == [True, True]


def test_after_an_out_of_memory_it_says_who_took_the_memory_and_goes_on(
    files: RunDirectory, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another program that fills the card in the middle would end the run, or be blamed on its size."""
    taken = "another program (python, pid 77) took 13 GB of the GPU meanwhile; 2 GB are free"
    assert run("device_oom@0,complete", squeezed=lambda _: Squeeze(taken, 10**9, 3)) is None
    assert [(verdict, size) for verdict, _, size in ended(files)] == [("device_oom", 4), ("completed", 3)]
    assert jobs(files)[1].memory.limit_bytes == 10**9
    assert capsys.readouterr().out.count(taken) == 1
    assert_every_image_once_an_epoch(files)


def test_what_may_have_ended_an_attempt_is_not_begun_with_again(files: RunDirectory, run: Run) -> None:
    """A saved size that kills the worker would kill each one, until the run is given up as stuck."""
    cache = CacheJob(folder="/", limit_bytes=1, by="stat", first_size=32, first_peak_bytes=10**8, early_images=7)
    assert run("SIGKILL@0,SIGKILL@0,complete", cache=cache) is None
    works = [job.work for job in jobs(files)]
    told = [work.cache for work in works if isinstance(work, TrainJob)]
    small = cache.model_copy(update={"first_size": None, "first_peak_bytes": 0, "early_images": 0})
    assert told == [cache, small, small]


@pytest.mark.parametrize("wall_clock", [0.0, 1e12], ids=["set back", "set forward"])
def test_the_time_limit_is_by_the_clock_that_the_worker_reads(
    files: RunDirectory, run: Run, monkeypatch: pytest.MonkeyPatch, wall_clock: float
) -> None:
    """A wall clock that is set during the run would end it at once, or never; and the first step take years."""
    monkeypatch.setattr(time, "time", lambda: wall_clock)
    before = time.monotonic()
    assert run("SIGKILL@3,complete", stop_at=before + 120) is None
    works = [job.work for job in jobs(files)]
    first, second = [(work.launched_at, work.stop_at) for work in works if isinstance(work, TrainJob)]
    assert before <= first[0] < second[0] <= time.monotonic()
    assert first[1] == second[1] == before + 120


def in_stages() -> RunRecord:
    """A run of an epoch with four images at once, and then of another with three."""
    fine_tune = {"epochs": 1, "batch_size": 4, "micro_batch_size": 3, "learning_rate": 1e-4, "cut": "input"}
    record: RunRecord = load_child("stub_parent").run_record(epochs=1, fine_tune=fine_tune)
    return record


@dataclass
class Begun:
    """Says what a stage begins with; notes what it was asked."""

    error: AutofitError | None = None
    asked: list[tuple[str, bool]] = field(default_factory=list)

    def __call__(self, record: RunRecord, stage: str, plan: TrainingPlan, *, is_begun: bool) -> StageStart:
        """The sizes of the plan, or that the second stage does not fit."""
        del record
        self.asked.append((stage, is_begun))
        if self.error is not None and stage == "fine-tune":
            raise self.error
        return StageStart(plan.micro_batch_size, MemoryBudget(device="cpu", limit_bytes=10**9, is_given=True))


@pytest.mark.parametrize("ends", ["complete", "late,complete"])
def test_a_stage_begins_with_its_own_sizes(
    files: RunDirectory, run: Run, capsys: pytest.CaptureFixture[str], ends: str
) -> None:
    """After a worker that was killed when it had just finished, the next stage would have the sizes of that one."""
    begun = Begun()
    assert run(ends, record=in_stages(), begin_stage=begun) is None
    assert [size for _, _, size in ended(files)] == [4, 3]
    assert begun.asked == [("head", False), ("fine-tune", False)]
    assert "4 images at once" not in capsys.readouterr().out
    assert_every_image_once_an_epoch(files)


@pytest.mark.parametrize("error", [None, DoesNotFitError("not even one image: do", "not even one image")])
def test_the_time_of_a_stages_probe_is_written_down(
    files: RunDirectory, run: Run, error: DoesNotFitError | None
) -> None:
    """It is no attempt's: a run with a time budget that is resumed would have it once more."""

    class Probes(Begun):
        def __call__(self, record: RunRecord, stage: str, plan: TrainingPlan, *, is_begun: bool) -> StageStart:
            time.sleep(0.6 if stage == "fine-tune" else 0.0)
            return super().__call__(record, stage, plan, is_begun=is_begun)

    assert run("complete", record=in_stages(), begin_stage=Probes(error)) is None
    assert 0.6 <= RunRecord.load(files.run).seconds_between < 5.0


def test_a_stage_for_which_the_time_is_over_is_not_probed(files: RunDirectory, run: Run) -> None:
    """Its probe takes minutes, and a batch system would end the job in it."""
    begun = Begun()
    error = run("complete", record=in_stages(), begin_stage=begun, stop_at=time.monotonic())
    assert isinstance(error, InterruptedRunError)
    assert str(error) == "max_minutes is reached"
    assert begun.asked == [("head", False)]
    assert run("complete", record=in_stages(), begin_stage=begun) is None
    assert_every_image_once_an_epoch(files)


def test_callbacks_are_told_of_the_end_of_a_stage_before_the_next_one(files: RunDirectory, run: Run) -> None:
    """After a kill in `on_train_end` the next stage would begin without what `EarlyStopping` restores there."""
    payload = Payload(callbacks=("callback",))
    assert run("late,complete", record=in_stages(), payload=payload) is None
    works = [job.work for job in jobs(files)]
    assert [work.stage for work in works if isinstance(work, TrainJob)] == ["head", "head", "fine-tune"]
    assert_every_image_once_an_epoch(files)


def test_a_stage_that_goes_on_says_so(run: Run) -> None:
    """It would be probed again, or go on with another size than the one that it had come to."""
    assert isinstance(run("complete,user_error@4", record=in_stages()), UserError)
    begun = Begun()
    assert run("complete", record=in_stages(), begin_stage=begun) is None
    assert begun.asked == [("fine-tune", True)]


@pytest.mark.parametrize("ends", ["complete", "late,complete"])
def test_fine_tuning_that_does_not_fit_leaves_the_heads_model(
    files: RunDirectory, run: Run, capsys: pytest.CaptureFixture[str], ends: str
) -> None:
    """A run would fail although a good model is there; or be complete without one, where nobody lived to save it."""
    assert (
        run(
            ends, record=in_stages(), begin_stage=Begun(DoesNotFitError("not even one image: do", "not even one image"))
        )
        is None
    )
    assert files.model.read_text() == "head"
    assert "not even one image: the model with the head alone is kept" in capsys.readouterr().out
    assert collect_result(files, "completed", "", 0.0).weights_sha256 is not None


def test_the_model_that_an_interruption_left_is_not_the_heads(files: RunDirectory, run: Run) -> None:
    """The model of a head that was half trained would be handed over, where nobody lived to save the finished one."""
    files.model.write_text("after two of ten epochs")
    os.utime(files.model, (written := time.time() + 86_400, written))  # the clock was set back since
    assert run("late,complete", record=in_stages(), begin_stage=Begun(DoesNotFitError("not even one image"))) is None
    assert files.model.read_text() == "head"


def test_the_model_of_the_last_finished_stage_is_saved_by_a_worker_of_that_stage(files: RunDirectory, run: Run) -> None:
    """A worker of the first stage would begin that anew, from the checkpoint of the second."""
    record = in_stages()
    views = ViewsPlan(count=2, augment="light")
    record = record.model_copy(update={"plan": record.plan.model_copy(update={"views": views})})
    begin = Begun(DoesNotFitError("not even one image"))
    assert run("late,late,complete", record=record, begin_stage=begin) is None
    assert files.model.exists()
    jobs = [Job.load(attempt.job).work for attempt in files.attempts()]
    assert [work.stage for work in jobs if isinstance(work, TrainJob)] == ["head", "views", "views"]


def test_what_does_not_fit_in_the_middle_of_fine_tuning_fails(run: Run) -> None:
    """The head's model would be handed over as the result, and what was trained above it be lost."""
    error = run("complete,device_oom@4,device_oom@0", record=in_stages())
    assert isinstance(error, DoesNotFitError)


def with_refit() -> RunRecord:
    """The same run, whose fine-tuning was better than its head and is done once more."""
    record = in_stages()
    stage = record.plan.fine_tune
    assert stage is not None
    plan = record.plan.model_copy(update={"fine_tune": stage.model_copy(update={"refit": True})})
    return record.model_copy(update={"plan": plan})


def test_each_worker_is_told_from_the_end_of_which_stage_it_begins(files: RunDirectory, run: Run) -> None:
    """From an older checkpoint, where the newest is damaged, it would begin as if that stage had ended there."""
    assert run("complete,SIGKILL@4,complete", record=with_refit()) is None
    works = [job.work for job in jobs(files)]
    told = [(work.stage, work.after) for work in works if isinstance(work, TrainJob)]
    assert told == [("head", None), *[("fine-tune", "head")] * 2, ("refit", "fine-tune")]


def test_a_refit_begins_with_the_size_that_its_fine_tuning_came_to(files: RunDirectory, run: Run) -> None:
    """It would run out of memory once more, with the size that has just failed."""
    assert run("complete,device_oom@0,complete", record=with_refit()) is None
    works = [job.work for job in jobs(files)]
    sizes = [(work.stage, work.micro_batch_size) for work in works if isinstance(work, TrainJob)]
    assert sizes == [("head", 4), ("fine-tune", 3), ("fine-tune", 1), ("refit", 1)]


@pytest.mark.parametrize("updates", [0, 4])
def test_a_refit_that_does_not_fit_leaves_the_model_from_before(
    files: RunDirectory, run: Run, capsys: pytest.CaptureFixture[str], updates: int
) -> None:
    """A run would fail in its last stage, although its fine-tuned model is there."""
    assert run(f"complete,complete,device_oom@{updates},device_oom@0", record=with_refit()) is None
    assert files.model.read_text() == "fine-tune"
    assert ": the model from before the fine-tuning on all images is kept" in capsys.readouterr().out
    works = [job.work for job in jobs(files)]
    assert {work.stage for work in works if isinstance(work, TrainJob)} == {"head", "fine-tune", "refit"}
    assert [stage.name for stage in collect_result(files, "completed", "", 0.0).stages] == ["head", "fine-tune"]


@pytest.mark.parametrize(("left_seconds", "stages"), [(-1.0, 2), (900.0, 3)])
def test_no_worker_is_started_for_a_refit_that_has_no_time(
    files: RunDirectory, run: Run, capsys: pytest.CaptureFixture[str], left_seconds: float, stages: int
) -> None:
    """A run whose fine-tuning took all of its time would end later by the start of a worker that trains nothing."""
    budget = TimeBudget(900.0, time.monotonic() + left_seconds, known_per_second=100.0)
    assert run("complete", record=with_refit(), budget=budget) is None
    works = [job.work for job in jobs(files)]
    assert [work.stage for work in works if isinstance(work, TrainJob)] == ["head", "fine-tune", "refit"][:stages]
    assert ("no time to fine-tune once more on all images" in capsys.readouterr().out) == (stages == 2)
    assert collect_result(files, "completed", "", 0.0).stages[-1].name == ("fine-tune" if stages == 2 else "refit")


def test_the_kernels_that_a_stage_begins_with_are_those_of_the_run(files: RunDirectory, run: Run) -> None:
    """A resumed run, or a replay, would compute other bits."""

    class WithKernels(Begun):
        def __call__(self, record: RunRecord, stage: str, plan: TrainingPlan, *, is_begun: bool) -> StageStart:
            start = super().__call__(record, stage, plan, is_begun=is_begun)
            return replace(start, kernels="onednn") if stage == "fine-tune" else start

    assert run("complete", record=in_stages(), begin_stage=WithKernels()) is None
    told = [work.plan.kernels for job in jobs(files) if isinstance(work := job.work, TrainJob)]
    assert told == ["eigen", "onednn"]
    saved = RunRecord.load(files.run).plan.fine_tune
    assert saved is not None
    assert saved.kernels == "onednn"


def test_all_layers_that_a_budget_chose_and_that_do_not_fit_give_way_to_the_upper_ones(
    files: RunDirectory, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model would be the head's although there is time and memory for more."""
    record = in_stages()
    options = record.options.model_copy(update={"trainable": "head", "fine_tune_epochs": "auto"})
    stage = record.plan.fine_tune
    assert stage is not None
    whole = record.plan.model_copy(update={"fine_tune": stage.model_copy(update={"by_budget": True})})
    record = record.model_copy(update={"options": options, "plan": whole})

    class OnlyAbove(Begun):
        def __call__(self, record: RunRecord, stage: str, plan: TrainingPlan, *, is_begun: bool) -> StageStart:
            planned = record.plan.fine_tune
            of_all = planned is not None and planned.cut == "input"
            self.error = DoesNotFitError("not even one image: do", "not even one image") if of_all else None
            return super().__call__(record, stage, plan, is_begun=is_begun)

    budget = TimeBudget(900.0, time.monotonic() + 900.0, known_per_second=100.0)
    assert run("complete", record=record, begin_stage=OnlyAbove(), budget=budget) is None
    assert "not even one image: the upper layers are fine-tuned instead of all" in capsys.readouterr().out
    *_, last = jobs(files)
    assert last.source is not None
    assert last.source.spec.cut == "auto"


@pytest.mark.parametrize("ends", ["complete", "late,complete", "SIGKILL@3,complete"])
@pytest.mark.parametrize(("left_seconds", "epochs"), [(10_000.0, 8), (1_000.0, 1)])
def test_the_first_epoch_decides_how_many_a_budget_has_time_for(
    files: RunDirectory,
    run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    ends: str,
    left_seconds: float,
    epochs: int,
) -> None:
    """A training from scratch would end with time left, or before its learning rate has fallen."""
    monkeypatch.setattr("autofit.runs.stage_decision.measured_epochs", lambda _: (1_200.0, 100.0))
    falls = [RateFall(begin=8, end=12)]
    record = load_child("stub_parent").run_record(epochs_by_budget="open", rate_falls=falls)
    budget = TimeBudget(10_000.0, time.monotonic() + left_seconds)
    assert run(ends, record=record, budget=budget) is None
    works = [work.plan.epochs for job in jobs(files) if isinstance(work := job.work, TrainJob)]
    assert (works[0], works[-1]) == (1, epochs)
    assert ("8 epochs in all, about" in capsys.readouterr().out) == (epochs > 1)
    planned = RunRecord.load(files.run).plan
    assert (planned.epochs, planned.epochs_by_budget) == (epochs, "decided")
    assert planned.rate_falls[-1].end == 6 * epochs
    assert_each_epoch_once(files.path, epochs, range(24))
    (stage,) = collect_result(files, "completed", "", 0.0).stages
    assert (stage.name, stage.epochs) == ("training", epochs)


def test_a_run_that_was_killed_after_its_first_epoch_decides_when_it_is_resumed(
    files: RunDirectory, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be taken for finished, with one epoch; and the first line be that of the only epoch, `Epoch 1/1`."""
    monkeypatch.setattr("autofit.runs.stage_decision.measured_epochs", lambda _: (1_200.0, 100.0))
    record = load_child("stub_parent").run_record(epochs_by_budget="open", rate_falls=[RateFall(begin=8, end=12)])
    view = RecordingView()
    assert run("complete", record=record, view=view) is None  # as far as a session comes that decides nothing
    budget = TimeBudget(10_000.0, time.monotonic() + 10_000.0)
    assert run("complete", record=record, view=view, budget=budget) is None
    assert view.epochs == {0, 8}
    works = [work.plan.epochs for job in jobs(files) if isinstance(work := job.work, TrainJob)]
    assert works == [1, 8]
    assert_each_epoch_once(files.path, 8, range(24))


@pytest.mark.slow
def test_kills_lose_nothing_and_change_nothing(
    files: RunDirectory, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A killed worker whose updates are lost or made twice: the audit log is no permutation and the weights differ."""
    assert run("SIGKILL@3,SIGSEGV@2,SIGABRT@5,SIGKILL@3,complete") is None
    assert [(verdict, cause) for verdict, cause, _ in ended(files)] == [
        ("crashed", "SIGKILL"),
        ("crashed", "SIGSEGV"),
        ("crashed", "SIGABRT"),
        ("crashed", "SIGKILL"),
        ("completed", ""),
    ]
    assert_every_image_once_an_epoch(files)
    assert [line["attempt"] for line in updates_of(files.path)] == [1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5]
    undisturbed = RunDirectory(tmp_path_factory.mktemp("undisturbed"))
    stub = load_child("stub_parent")
    assert stub.supervisor(undisturbed, "complete", view=stub.PrintedView()).run() is None
    sums = [collect_result(one, "completed", "", 0.0).weights_sha256 for one in (files, undisturbed)]
    assert sums[0] == sums[1] is not None


CERTAIN_END = {
    "killed without progress": (
        "SIGKILL@1",
        TrainingFailedError,
        "3 attempts ended without progress, the last one: SIGKILL",
        [("crashed", "SIGKILL", 4)] * 3,
    ),
    "no result": (
        "silent@0",
        TrainingFailedError,
        "3 attempts ended without progress, the last one: exit code 0 without a result",
        [("crashed", "exit code 0 without a result", 4)] * 3,
    ),
    "an exception": (
        "crashed@1",
        TrainingFailedError,
        "chosen to be crashed",
        [("crashed", "chosen to be crashed", 4)],
    ),
    "user error": (
        "user_error@1",
        UserError,
        "chosen to be user_error",
        [("user_error", "chosen to be user_error", 4)],
    ),
    "storage": ("storage@1", StorageError, "chosen to be storage", [("storage", "chosen to be storage", 4)]),
    "does not fit": (
        "device_oom@0",
        DoesNotFitError,
        (
            "not even one image at a time fits (chosen to be device_oom), nor with activations recomputed in 8 or "
            "16 segments: take a smaller image size (image_size), precision 'mixed_bfloat16', a smaller backbone "
            "or more memory"
        ),
        [("device_oom", "chosen to be device_oom", size) for size in (4, 2, 1, 1, 1, 1)],
    ),
    "looks like memory, down to one image": (
        "full@0",
        TrainingFailedError,
        ("the worker crashed with a single image as well (SIGSEGV close to the allocator's limit): this is not memory"),
        [("device_oom", "SIGSEGV close to the allocator's limit", size) for size in (4, 2, 1)],
    ),
}


@pytest.mark.parametrize(("ends", "kind", "words", "attempts"), CERTAIN_END.values(), ids=CERTAIN_END)
def test_a_run_that_cannot_go_on_says_why(
    ends: str,
    kind: type[AutofitError],
    words: str,
    attempts: list[tuple[str, str, int]],
    files: RunDirectory,
    run: Run,
) -> None:
    """A run that fails must name its reason, and the record of its attempts must show what was tried."""
    error = run(ends)
    assert type(error) is kind
    assert str(error) == words
    assert ended(files) == attempts


def test_running_out_is_got_over_and_written_down(
    files: RunDirectory, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next attempt is as large as the one that ran out, or nobody learns from the result that memory was short."""
    assert run("device_oom@3,host_oom@3,yielded@3,complete") is None
    assert [size for _, _, size in ended(files)] == [4, 2, 1, 1]
    assert [job.memory.buffer_bytes for job in jobs(files)] == [2**20, 2**20, 2**19, 2**19]
    assert [job.memory.threads_bytes for job in jobs(files)] == [2**16, 2**16, 0, 0]
    assert [job.memory.non_allocator_bytes for job in jobs(files)] == [None, None, None, 123_456_789]
    events = collect_result(files, "completed", "", 0.0).oom_events
    sizes = [(one.attempt, one.phase, one.micro_batch_size_before, one.micro_batch_size_after) for one in events]
    assert sizes == [(1, Phase.TRAIN, 4, 2), (2, Phase.TRAIN, 2, 1)]
    assert_every_image_once_an_epoch(files)
    shown = capsys.readouterr().out
    words = (
        "attempt 1 ended (device_oom: chosen to be device_oom); going on from the last checkpoint with 2 images at once"
    )
    assert words in shown
    assert "going on from the last checkpoint with 1 image at once" in shown


def test_without_a_checkpoint_none_is_said_to_be_there(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A user would look for a checkpoint that nothing has saved."""
    assert run("device_oom@0,complete") is None
    assert "(device_oom: chosen to be device_oom); trying again with 2 images at once" in capsys.readouterr().out


def test_where_others_took_the_memory_the_error_says_so(run: Run) -> None:
    """A user whose card another program fills would take smaller images, and then a smaller network."""
    taken = "another program (python, pid 77) took 13 GB of the GPU meanwhile; 2 GB are free"
    error = run("device_oom@0", squeezed=lambda _: Squeeze(taken, 10**9))
    assert isinstance(error, DoesNotFitError)
    assert str(error).endswith(f": {taken}: free that memory and resume")


@pytest.mark.slow
def test_memory_that_ends_the_process_is_told_from_other_crashes(files: RunDirectory, run: Run) -> None:
    """Native code does not say what it died of: a crash would shrink the batch, or memory be tried again as it was."""
    assert run("bad_alloc@3,full@3,SIGABRT@3,SIGSEGV@3,complete") is None
    assert ended(files) == [
        ("host_oom", "SIGABRT: std::bad_alloc, the host's memory ran out", 4),
        ("device_oom", "SIGSEGV close to the allocator's limit", 2),
        ("crashed", "SIGABRT", 1),
        ("crashed", "SIGSEGV", 1),
        ("completed", "", 1),
    ]
    assert [job.memory.buffer_bytes for job in jobs(files)] == [2**20, *[2**19] * 4]
    assert_every_image_once_an_epoch(files)


def segments_of(files: RunDirectory) -> list[int]:
    """In how many segments each attempt was told to compute activations again."""
    return [job.source.spec.segments for job in jobs(files) if job.source]


def test_where_one_image_does_not_fit_activations_are_computed_again(files: RunDirectory, run: Run) -> None:
    """A network would be given up that trains in segments; or a resumed run would run out of memory first again."""
    ends = ",".join(["device_oom@0"] * 4)
    assert isinstance(run(f"{ends},crashed@2"), TrainingFailedError)
    record = RunRecord.load(files.run)
    assert record.plan.rung == Rung(segments=8)
    assert run(f"{ends},x,complete", record=record) is None
    assert segments_of(files) == [0, 0, 0, 0, 8, 8]
    result = collect_result(files, "completed", "", 0.0)
    assert [attempt.segments for attempt in result.attempts] == segments_of(files)
    assert result.is_bit_equal
    assert_every_image_once_an_epoch(files)


def test_a_network_that_cannot_be_cut_is_tried_on_the_one_rung_that_helps_it(
    files: RunDirectory, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be said that activations are recomputed, which are kept, and the same be tried once more."""
    error = run("uncut@0")
    assert isinstance(error, DoesNotFitError)
    assert "nor with weights updated one after another: " in str(error)
    assert segments_of(files) == [0, 0, 0, 0, 1]
    shown = capsys.readouterr().out
    assert "with 1 image at once, and weights updated one after another\n" in shown
    assert "recomputed" not in shown + str(error)


def test_updates_on_two_rungs_are_not_called_bit_equal(files: RunDirectory, run: Run) -> None:
    """A run that sums in another order from its middle on would be said to be the same bit for bit."""
    assert run("SIGKILL@2," + ",".join(["device_oom@0"] * 4) + ",complete") is None
    assert segments_of(files)[-1] == 8
    assert not collect_result(files, "completed", "", 0.0).is_bit_equal


def test_a_stage_trains_on_the_rung_of_its_probe(files: RunDirectory, run: Run) -> None:
    """Fine-tuning would run out of memory that its probe has found a way around; or the head would be slower."""

    def begin(record: RunRecord, stage: str, plan: TrainingPlan, *, is_begun: bool) -> StageStart:
        del record, is_begun
        return StageStart(plan.micro_batch_size, memory, rung=Rung(segments=8) if stage == "fine-tune" else None)

    memory = MemoryBudget(device="cpu", limit_bytes=10**9, is_given=True, buffer_bytes=2**20)
    assert run("complete", record=in_stages(), begin_stage=begin) is None
    assert segments_of(files) == [0, 8]
    plan = RunRecord.load(files.run).plan
    assert (plan.rung, plan.fine_tune and plan.fine_tune.rung) == (None, Rung(segments=8))


def test_a_resumed_run_keeps_the_size_it_had_come_down_to(files: RunDirectory, run: Run) -> None:
    """A second run of the supervisor would start as large as the first, and run out of memory again."""
    assert isinstance(run("device_oom@2,crashed@3"), TrainingFailedError)
    assert run("x,x,complete") is None
    works = [job.work for job in jobs(files)]
    assert [work.micro_batch_size for work in works if isinstance(work, TrainJob)] == [4, 2, 2]
    assert_every_image_once_an_epoch(files)


def test_an_attempt_is_called_by_the_number_of_its_folder(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A user of a resumed run would look for the reason in the logs of another attempt."""
    assert isinstance(run("device_oom@2,crashed@3"), TrainingFailedError)
    assert "attempt 1 ended (device_oom: " in capsys.readouterr().out
    assert run("x,x,device_oom@4,complete") is None
    assert "attempt 3 ended (device_oom: " in capsys.readouterr().out


def test_a_flood_on_stderr_stays_in_its_log(files: RunDirectory, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """A pipe would fill and stop the worker; 50 MB read back would be the parent's; old words are no evidence."""
    assert run("flood@2,complete") is None
    assert ended(files)[0][:2] == ("crashed", "SIGABRT")
    assert files.attempts()[0].stderr.stat().st_size > 50 * 2**20
    assert "EEEE" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_a_worker_that_says_nothing_new_is_killed_and_tried_again(files: RunDirectory, run: Run) -> None:
    """A hung worker would hold the machine until somebody looks."""
    assert run("hang@3,complete", patience=IMPATIENT) is None
    assert ended(files) == [("hung", "its heartbeat stopped", 4), ("completed", "", 4)]
    assert_every_image_once_an_epoch(files)


def test_half_an_outcome_is_none(files: RunDirectory, run: Run) -> None:
    """A torn file would be believed, or would end the parent."""
    assert run("damaged@3,complete") is None
    assert ended(files) == [("crashed", "exit code 0 without a result", 4), ("completed", "", 4)]


def test_what_a_worker_started_does_not_outlive_it(files: RunDirectory, run: Run) -> None:
    """A process that a dead worker has left behind keeps memory, and a GPU, from every attempt after it."""
    assert run("orphan@1,complete") is None
    orphan = int((files.attempts()[0].path / "orphan").read_text())
    assert not is_running(orphan)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class InterruptingPerson:
    """Presses Ctrl-C while the supervisor sleeps, as soon as the training is seen to move."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.steps_seen = 0
        self.messages: list[str] = []

    def sleep(self, seconds: float) -> None:
        """Press, or let the time pass."""
        if self.steps_seen and self.times:
            self.times -= 1
            raise KeyboardInterrupt
        time.sleep(seconds)

    def update(self, progress: Progress, *, epochs: int) -> None:
        """See the training move."""
        del epochs
        self.steps_seen = max(self.steps_seen, progress.step)

    def epoch_done(self, *_: object, **__: object) -> None:
        """Not of interest."""

    def message(self, text: str) -> None:
        """Read what is said."""
        self.messages.append(text)

    def passthrough(self, text: str) -> None:
        """Not of interest."""


def test_ctrl_c_commits_and_can_be_resumed(files: RunDirectory, run: Run) -> None:
    """What was trained since the last checkpoint would be lost, or trained twice."""
    person = InterruptingPerson(times=1)
    error = run("slow", person, sleep=person.sleep)
    assert type(error) is InterruptedRunError
    assert str(error) == "asked to stop"
    assert person.messages == ["stopping: saving what was trained (press Ctrl-C again to stop at once)"]
    assert 0 < len(updates_of(files.path)) < 12
    assert ended(files) == [("interrupted", "asked to stop", 4)]
    assert run("complete") is None
    assert_every_image_once_an_epoch(files)


def test_a_worker_that_does_not_leave_is_killed(files: RunDirectory, run: Run) -> None:
    """One Ctrl-C would wait for ever on a worker that is stuck."""
    person = InterruptingPerson(times=1)
    error = run("stubborn@2", person, sleep=person.sleep, patience=IMPATIENT)
    assert type(error) is InterruptedRunError
    assert ended(files) == [("interrupted", "asked to stop", 4)]


def test_no_new_attempt_after_ctrl_c(files: RunDirectory, run: Run) -> None:
    """A worker that runs out of memory on its way out would be started anew, against what a person has said."""
    person = InterruptingPerson(times=1)
    assert type(run("asked@2", person, sleep=person.sleep)) is InterruptedRunError
    assert len(files.attempts()) == 1


def test_a_second_ctrl_c_ends_at_once(files: RunDirectory, run: Run) -> None:
    """A person who cannot wait must not have to find the process and kill it: the worker has to be gone as well."""
    person = InterruptingPerson(times=2)
    with pytest.raises(KeyboardInterrupt), RunLock(files).acquire(0) as lock:
        run("stubborn@2", person, sleep=person.sleep, lock_fd=lock.fileno())
    with RunLock(files).acquire(0):
        assert run("complete") is None


def test_a_disk_that_fills_under_the_parent_is_a_storage_error(
    files: RunDirectory, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the worker cannot write its outcome: its end would be called a crash, and tried again."""
    monkeypatch.setattr(
        "autofit.runs.result_record.AttemptRecord.save", lambda *_: (_ for _ in ()).throw(OSError(28, os.strerror(28)))
    )
    error = run("silent@0")
    assert type(error) is StorageError
    assert str(error).startswith(f"{files.path} cannot be written (No space left on device): make room on that drive")
    assert len(files.attempts()) == 1


@pytest.mark.slow
@pytest.mark.forked_workers(False)
def test_no_attempt_leaves_a_temporary_file_or_an_open_one(files: RunDirectory, run: Run) -> None:
    """After a hundred attempts a notebook would be out of descriptors, and the drive full of leftovers."""
    files_before, children_before = open_files(), psutil.Process().children()
    assert run("SIGKILL@3,hang@2,device_oom@4,complete", patience=IMPATIENT) is None
    assert open_files() == files_before
    assert [path.name for path in files.path.rglob(".*")] == []
    assert psutil.Process().children() == children_before  # and so no zombie


@pytest.mark.parametrize("ends", ["complete", "cut_off@3,complete"])
def test_what_killed_writers_have_left_is_removed(files: RunDirectory, run: Run, ends: str) -> None:
    """A worker killed while it writes its outcome, or a parent its record, would leave a file for good."""
    (files.path / "attempts/0001").mkdir(parents=True)
    ours = {".history.csv.0a1b2c_3", "attempts/0001/.outcome.json.abcdefgh", "attempts/0001/.attempt.json.abcdefgh"}
    ours |= {".validation.npy.0a1b2c3d", ".test.npy.0a1b2c3d", ".doubts.npz.0a1b2c3d"}
    others = {".lock", ".report.html.0a1b2c3d", ".model.part.keras", ".notes.json.md", "attempts/0001/.outcome.json"}
    for name in ours | others:
        (files.path / name).touch()
    assert run(ends) is None
    assert {str(path.relative_to(files.path)) for path in files.path.rglob(".*")} == others


def open_files() -> list[str]:
    return sorted(str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())


def test_a_worker_is_told_how_long_it_has_and_a_second_attempt_no_longer(files: RunDirectory, run: Run) -> None:
    """Each attempt after a crash would have the whole budget again."""
    budget = TimeBudget(60.0, time.monotonic() + 50.0)
    assert run("SIGKILL@3,complete", budget=budget) is None
    times = [job.work.time for job in jobs(files) if isinstance(job.work, TrainJob)]
    assert times == [budget.stage_time(), budget.stage_time()]


@pytest.mark.parametrize(("seconds", "stage"), [(-1.0, "head"), (1e6, "fine-tune")])
def test_the_stage_after_the_head_is_decided_when_a_run_is_resumed_between_the_two(
    files: RunDirectory, run: Run, capsys: pytest.CaptureFixture[str], seconds: float, stage: str
) -> None:
    """A run that was killed between its stages would begin one for which there is no time, or none though there is."""
    planned = FineTunePlan(
        epochs=2, batch_size=4, micro_batch_size=4, learning_rate=1e-4, cut="auto", views=2, by_budget=True
    )
    record = load_child("stub_parent").run_record(head="solve", fine_tune=planned)
    head = StageRecord(name="head", method="solved", epochs=1).model_dump(mode="json")
    state = {"epoch": 1, "position": 0, "ledger_bytes": 0, "stage": "head", "stages": [head]}
    CheckpointStore(files.checkpoints).save({"model": {"w": np.array(1)}}, state)
    files.audit.touch()
    assert run("complete", record=record, budget=TimeBudget(60.0, time.monotonic() + seconds)) is None
    assert [job.work.stage for job in jobs(files) if isinstance(job.work, TrainJob)] == [stage]
    saved = RunRecord.load(files.run).plan.fine_tune
    assert saved == (planned.model_copy(update={"by_budget": False}) if stage == "fine-tune" else None)
    assert capsys.readouterr().out.count("time budget: ") == 1


def test_a_head_by_epochs_ends_the_run_where_there_is_no_time_for_more(files: RunDirectory, run: Run) -> None:
    """Another worker would be started when the time is over, and train the head on."""
    planned = FineTunePlan(
        epochs=2, batch_size=4, micro_batch_size=4, learning_rate=1e-4, cut="auto", views=2, by_budget=True
    )
    record = load_child("stub_parent").run_record(epochs=1, fine_tune=planned)
    assert run("complete", record=record, budget=TimeBudget(60.0, time.monotonic() - 1.0)) is None
    assert [job.work.stage for job in jobs(files) if isinstance(job.work, TrainJob)] == ["head"]


def test_a_head_whose_worker_died_at_its_end_is_saved_where_there_is_no_time_for_more(
    files: RunDirectory, run: Run
) -> None:
    """The run would be complete without a model."""
    planned = FineTunePlan(
        epochs=2, batch_size=4, micro_batch_size=4, learning_rate=1e-4, cut="auto", views=2, by_budget=True
    )
    record = load_child("stub_parent").run_record(epochs=1, fine_tune=planned)
    assert run("late,complete", record=record, budget=TimeBudget(60.0, time.monotonic() - 1.0)) is None
    assert files.model.read_text() == "head"
    assert [job.work.stage for job in jobs(files) if isinstance(job.work, TrainJob)] == ["head", "head"]
