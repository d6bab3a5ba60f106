"""The decision about the second stage: what it is made of, that it is made once, and where it is written."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import pytest

from autofit.config.options import make_options
from autofit.config.rungs import KEPT, Rung
from autofit.probing.records import ProbeReport
from autofit.protocol.job import Event, ExtractionTime, Job, TrainJob
from autofit.protocol.messages import EpochEnd, MemoryBudget, Phase, Progress, StageName, StageRecord, Trial, Verdict
from autofit.runs.model_source import model_source
from autofit.runs.plan import staged_plan
from autofit.runs.run_record import DataRecord, RunRecord
from autofit.runs.stage_decision import (
    above_the_cut_instead,
    saving_rung,
    stage_choices,
    stage_time,
    with_foreseen_kernels,
    with_stage_decided,
)
from autofit.runs.stage_forecast import START_SECONDS, Speed, Work
from autofit.runs.stage_speed import forward_by_epochs, measured_speed
from autofit.runs.stages import stages_of
from autofit.runs.time_budget import TimeBudget, with_epochs, words_of_test
from autofit.storage.run_directory import RunDirectory
from tests.support.machines import make_hardware
from tests.support.records import make_attempt_record, make_probe_report

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = 1_000
HEAD = StageRecord(name="head", method="solved", epochs=1, seconds=2.0)


@pytest.fixture
def files(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def record(*, views: bool = False, **given: Any) -> RunRecord:
    """A run on a thousand images with a budget of five minutes; by default its head is not solved once more."""
    options = make_options(**({"time_budget": "5m"} | given))
    data = DataRecord(
        root="/",
        class_names=["a", "b"],
        train_count=IMAGES,
        validation_count=200,
        skipped_files=0,
        fingerprint="",
    )
    plan = staged_plan(options, IMAGES, 2, None, make_hardware())
    if not views:
        plan = plan.model_copy(update={"views": None})
    return RunRecord(options=options, has_callbacks=False, data=data, plan=plan, started=time.time())


def note_attempt(files: RunDirectory, run: RunRecord, *events: Event, wall: float, stage: StageName = "head") -> None:
    """Write what an attempt at a stage leaves, which took so many seconds; none if it was killed with its parent."""
    number, attempt = files.new_attempt()
    work = TrainJob(
        run_dir=str(files.path),
        data_root="/",
        class_names=["a", "b"],
        plan=run.plan,
        stage=stage,
        micro_batch_size=8,
        launched_at=0.0,
    )
    memory = MemoryBudget(device="cpu", limit_bytes=10**9, is_given=False)
    Job(attempt=number, source=model_source(run.options, 2), memory=memory, isolated=True, work=work).save(attempt.job)
    attempt.events.write_text("".join(event.model_dump_json() + "\n" for event in events))
    if wall:
        make_attempt_record(Verdict.COMPLETED, wall).save(attempt.record)


def budget(left_seconds: float) -> tuple[TimeBudget, float]:
    """A budget, and a reading of its clock when so much is left."""
    return TimeBudget(300.0, 1_000.0), 1_000.0 - left_seconds


def probed(largest: int, cut: str, **changes: Any) -> ProbeReport:
    """The report of a probe of the second stage."""
    report = make_probe_report(largest)
    workload = report.workload.model_copy(update={"cut": cut})
    return report.model_copy(update={"workload": workload} | changes)


def a_head_of(run: RunRecord, files: RunDirectory, images_per_second: float = 100.0) -> None:
    """Note the attempt that has trained the head, whose 1,200 images were extracted at such a speed."""
    seconds = 1_200 / images_per_second
    extracted = Event(extracted=ExtractionTime(images=1_200, seconds=seconds))
    note_attempt(files, run, extracted, solved_event(), wall=seconds + 8.0)


def cut_of(run: RunRecord) -> str:
    assert run.plan.fine_tune is not None
    return run.plan.fine_tune.cut


def solved_event() -> Event:
    return Event(epoch_end=EpochEnd(epoch=0, metrics={}, stage="head", solved=HEAD))


def test_the_speed_is_that_of_the_heads_extraction_and_its_start_the_rest(files: RunDirectory) -> None:
    """The forecast would be that of another stage, or count the images twice."""
    run = record()
    note_attempt(files, run, Event(extracted=ExtractionTime(images=400, seconds=5.0)), wall=0.0)
    note_attempt(files, run, Event(extracted=ExtractionTime(images=800, seconds=8.0)), solved_event(), wall=18.0)
    note_attempt(files, run, Event(extracted=ExtractionTime(images=1, seconds=9.0)), wall=99.0, stage="fine-tune")
    assert measured_speed(files) == Speed(100.0, run.plan.kernels, 8.0)


def test_epochs_of_a_head_are_no_part_of_its_start(files: RunDirectory) -> None:
    """A head that trained for a minute would leave no time for its fine-tuning, whose worker starts in seconds."""
    note_attempt(files, record(), Event(extracted=ExtractionTime(images=800, seconds=8.0)), wall=78.0)
    (attempt,) = files.attempts()
    spent = {Phase.START: 6.0, Phase.EXTRACT: 8.0, Phase.TRAIN: 55.0, Phase.VALIDATE: 5.0}
    attempt.progress.write_text(
        Progress(time=0.0, phase=Phase.SAVE, phase_seconds=spent).model_dump_json() + "\n", encoding="utf-8"
    )
    assert measured_speed(files).other_seconds == 10.0


def test_a_few_new_images_do_not_make_the_machine_slow(files: RunDirectory) -> None:
    """Five photos that were added to a folder take the time of the first step: nothing would be fine-tuned."""
    run = record()
    note_attempt(files, run, Event(extracted=ExtractionTime(images=5, seconds=3.0)), solved_event(), wall=12.0)
    whole, now = budget(300.0)
    known = dataclasses.replace(whole, known_per_second=100.0)
    decided, words = with_stage_decided(run, files, [HEAD], known, now, is_probed=True)
    assert "for 7 epochs" in words
    assert decided.plan.fine_tune is not None
    alone, _ = with_stage_decided(run, files, [HEAD], whole, now, is_probed=True)
    assert alone.plan.fine_tune is None  # nothing else is known


def test_without_attempts_or_features_to_extract_no_speed_is_known(files: RunDirectory) -> None:
    """A division by nothing would end the run, or a forecast be made of nothing."""
    assert measured_speed(files) == Speed(None)
    note_attempt(files, record(), solved_event(), wall=6.0)
    assert measured_speed(files) == Speed(None, "eigen", 4.0)


def test_the_speed_is_found_after_a_flood_of_events(files: RunDirectory) -> None:
    """An attempt that named 100,000 bad images would have no speed, and the second stage be planned by a guess."""
    run = record()
    flood = [Event(message="m" * 900_000)] * 20
    note_attempt(files, run, *flood, Event(extracted=ExtractionTime(images=800, seconds=8.0)), wall=10.0)
    assert measured_speed(files) == Speed(100.0, run.plan.kernels, 2.0)


def test_the_decision_is_made_once_and_written_down(files: RunDirectory) -> None:
    """A resumed or replayed run would train other epochs, at other rates."""
    run = record()
    note_attempt(files, run, Event(extracted=ExtractionTime(images=1200, seconds=12.0)), solved_event(), wall=20.0)
    decided, words = with_stage_decided(run, files, [HEAD], *budget(300.0), is_probed=True)
    assert "for 7 epochs" in words
    assert decided.plan.fine_tune is not None
    assert not decided.plan.fine_tune.by_budget
    assert RunRecord.load(files.run) == decided
    assert with_stage_decided(decided, files, [HEAD], *budget(3.0), is_probed=True) == (decided, "")
    whole = budget(250.0)[0]
    assert stage_time(decided, files, "fine-tune", whole).epoch_seconds > 1
    longer = stage_time(decided, files, "refit", whole).epoch_seconds  # four fifths trained thrice, a fifth once
    assert longer == pytest.approx(stage_time(decided, files, "fine-tune", whole).epoch_seconds * 15 / 13, rel=0.05)
    assert stage_time(decided, files, "head", whole) == whole.stage_time()


def with_test(run: RunRecord, images: int = 400) -> RunRecord:
    return run.model_copy(update={"data": run.data.model_copy(update={"test_count": images})})


def test_the_seconds_of_the_test_are_kept(files: RunDirectory) -> None:
    """Each budgeted run whose data has a test split would end later than its budget, by all of the test."""
    run = record()
    a_head_of(run, files)
    takes = Work(IMAGES, 200, measured_speed(files)).test_seconds(400)
    assert takes > 8.0 + 400 / 100.0
    without, words = with_stage_decided(run, files, [HEAD], *budget(300.0 - takes), is_probed=True)
    kept, said = with_stage_decided(with_test(run), files, [HEAD], *budget(300.0), is_probed=True)
    assert kept.plan == without.plan
    assert said == words + words_of_test(takes)
    assert "are kept for the test" in said
    whole = budget(250.0)[0]
    assert stage_time(with_test(run), files, "fine-tune", whole).end_at == pytest.approx(whole.end_at - takes)


def test_a_head_does_not_give_up_its_images_for_the_test(files: RunDirectory) -> None:
    """With a budget of ten seconds the worker's start for a test would leave no time for the features."""
    run = with_test(record())
    short = TimeBudget(12.0, 1_000.0)
    assert stage_time(run, files, "head", short).end_at == 1_000.0 - 3.0
    assert stage_time(run, files, "head", TimeBudget(300.0, 1_000.0)).end_at == 1_000.0 - START_SECONDS


def test_epochs_of_a_training_from_scratch_leave_time_for_the_test(
    files: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its speed is known by epochs alone: all of the budget would go into these."""
    monkeypatch.setattr("autofit.runs.stage_decision.forward_by_epochs", lambda *_: 100.0)
    monkeypatch.setattr("autofit.runs.stage_decision.measured_epochs", lambda _: (20.0, 10.0))
    run = record(weights="none", trainable="all")
    first = StageRecord(name="training", method="epochs", epochs=1)
    epochs = [
        with_stage_decided(each, files, [first], *budget(300.0), is_probed=False)[0].plan.epochs
        for each in (run, with_test(run, 4_000))
    ]
    takes = Work(IMAGES, 200, Speed(100.0)).test_seconds(4_000)
    assert epochs[0] - epochs[1] == pytest.approx(takes / 22.0, abs=1)


def test_the_speed_of_a_forward_pass_follows_from_epochs(files: RunDirectory) -> None:
    """Of a training from scratch no speed would be known to foresee a test by."""
    assert forward_by_epochs(files, 3_700) is None
    note_attempt(files, record(), *[Event(epoch_end=EpochEnd(epoch=epoch, metrics={})) for epoch in (0, 1)], wall=90.0)
    (attempt,) = files.attempts()
    line = Progress(time=0.0, phase=Phase.SAVE, phase_seconds={Phase.TRAIN: 70.0, Phase.VALIDATE: 4.0})
    attempt.progress.write_text(line.model_dump_json() + "\n", encoding="utf-8")
    assert forward_by_epochs(files, 3_700) == pytest.approx(100.0)


def test_without_time_the_plan_has_no_second_stage_any_more(files: RunDirectory) -> None:
    """A run whose budget is over would begin a stage when it is resumed."""
    decided, words = with_stage_decided(record(), files, [HEAD], *budget(-1.0), is_probed=False)
    assert stages_of(decided.plan) == ("head",)
    assert "the head is the result" in words


def test_a_stage_that_has_time_only_without_its_probe_is_not_probed(files: RunDirectory) -> None:
    """The time that was left would go by with a probe, and nothing be trained."""
    run = record()
    note_attempt(files, run, Event(extracted=ExtractionTime(images=1200, seconds=12.0)), solved_event(), wall=20.0)
    speed = measured_speed(files)
    stage = run.plan.fine_tune
    assert stage is not None
    (hoped,) = with_foreseen_kernels([stage], run)
    needed = Work(IMAGES, 200, speed).stage_seconds(with_epochs(hoped, 2))
    undecided, words = with_stage_decided(run, files, [HEAD], *budget(needed + 30.0), is_probed=False)
    assert (undecided, words) == (run, "")
    assert not files.run.exists()
    decided, words = with_stage_decided(run, files, [HEAD], *budget(needed + 1.0), is_probed=False)
    assert stages_of(decided.plan) == ("head",)
    make_probe_report(32).save(files.fine_tune_probe)  # an earlier attempt has probed it
    assert with_stage_decided(run, files, [HEAD], *budget(needed + 1.0), is_probed=False) == (run, "")


def test_what_the_probe_has_timed_counts_more_than_an_estimate(files: RunDirectory) -> None:
    """Epochs would be planned by a guess although their steps were measured."""
    slow = Trial(batch_size=32, verdict=Verdict.FITS, step_seconds=3.2)
    other = [
        Trial(batch_size=64, verdict=Verdict.DEVICE_OOM),
        Trial(batch_size=8, verdict=Verdict.FITS, step_seconds=0.1),
    ]
    probed(32, cut="auto", trials=[*other, slow]).save(files.fine_tune_probe)
    assert measured_speed(files).trained_per_second == {"auto": pytest.approx(10.0)}
    told = stage_time(record(), files, "fine-tune", budget(250.0)[0])
    assert told.epoch_seconds == pytest.approx(1.2 * ((3500 + 200) / 3.5 / 10 + 0.32 + 0.3))


def test_where_the_cache_had_all_features_a_profile_says_how_fast_the_machine_is(files: RunDirectory) -> None:
    """A second run would plan epochs for which there is no time, and end among them."""
    run = record()
    note_attempt(files, run, solved_event(), wall=8.0)
    whole, now = budget(60.0)
    known = dataclasses.replace(whole, known_per_second=20.0)
    unknown_speed, _ = with_stage_decided(run, files, [HEAD], whole, now, is_probed=True)
    known_speed, _ = with_stage_decided(run, files, [HEAD], known, now, is_probed=True)
    assert unknown_speed.plan.fine_tune is not None
    assert known_speed.plan.fine_tune is None


@pytest.mark.parametrize(
    ("given", "finished"),
    [({}, []), ({"fine_tune_epochs": 0}, [HEAD]), ({"time_budget": None, "fine_tune_epochs": "auto"}, [HEAD])],
    ids=str,
)
def test_nothing_is_decided_before_the_head_or_without_a_stage_or_budget(
    files: RunDirectory, given: dict[str, Any], finished: list[StageRecord]
) -> None:
    """A stage would be planned by a speed that nothing has shown."""
    run = record(**given)
    assert with_stage_decided(run, files, finished, *budget(250.0), is_probed=True) == (run, "")
    assert not files.run.exists()


@pytest.mark.parametrize(("left", "goes_on"), [(200.0, True), (30.0, False)])
def test_the_head_is_solved_once_more_on_views_if_there_is_time(
    files: RunDirectory, left: float, *, goes_on: bool
) -> None:
    """A point of accuracy would be left lying, or the budget be overrun."""
    run = record(views=True)
    note_attempt(files, run, Event(extracted=ExtractionTime(images=1200, seconds=12.0)), solved_event(), wall=20.0)
    decided, words = with_stage_decided(run, files, [HEAD], *budget(left), is_probed=False)
    assert ("views" in stages_of(decided.plan)) == goes_on
    assert ("solved once more, on 4 augmented views" in words) == goes_on
    assert RunRecord.load(files.run) == decided
    if goes_on:
        assert with_stage_decided(decided, files, [HEAD], *budget(1.0), is_probed=True) == (decided, "")


def test_views_are_left_out_where_no_speed_is_known_or_images_were_left_out(files: RunDirectory) -> None:
    """A stage without a forecast would be begun; or views of a part be preferred to the other images."""
    run = record(views=True)
    decided, _ = with_stage_decided(run, files, [HEAD], *budget(250.0), is_probed=True)
    assert "views" not in stages_of(decided.plan)
    note_attempt(files, run, Event(extracted=ExtractionTime(images=1200, seconds=12.0)), solved_event(), wall=20.0)
    short = HEAD.model_copy(update={"cut_short": "900 of 1,200 images"})
    decided, _ = with_stage_decided(run, files, [short], *budget(250.0), is_probed=True)
    assert "views" not in stages_of(decided.plan)


def test_all_layers_are_trained_where_there_is_time_for_them(files: RunDirectory) -> None:
    """A model would be handed over that is up to seven points worse than what the time would have bought."""
    run = record()
    a_head_of(run, files)
    chosen, words = with_stage_decided(run, files, [HEAD], *budget(1000.0), is_probed=False)
    assert (cut_of(chosen), words) == ("input", "")
    assert chosen.plan.fine_tune is not None
    assert chosen.plan.fine_tune.by_budget  # its epochs are decided when it is probed
    assert RunRecord.load(files.run) == chosen
    decided, words = with_stage_decided(chosen, files, [HEAD], *budget(910.0), is_probed=True)
    assert "fine-tuning of all layers for 5 epochs" in words
    assert decided.plan.fine_tune == with_epochs(chosen.plan.fine_tune, 5).model_copy(update={"by_budget": False})


def test_as_with_trainable_all(files: RunDirectory) -> None:
    """A budget would train the same layers in another way than the one that was measured."""
    run = record()
    a_head_of(run, files, images_per_second=1e4)
    chosen, _ = with_stage_decided(run, files, [HEAD], *budget(250.0), is_probed=False)
    of_all = record(trainable="all").plan.fine_tune
    assert of_all is not None
    assert chosen.plan.fine_tune is not None
    ours, theirs = (stage.model_copy(update={"kernels": "eigen"}) for stage in (chosen.plan.fine_tune, of_all))
    assert ours == theirs


def test_all_layers_that_turn_out_to_be_slow_give_way_to_the_upper_ones(files: RunDirectory) -> None:
    """The budget would be overrun, or nothing be fine-tuned, since a forecast was too good."""
    run = record()
    a_head_of(run, files)
    chosen, _ = with_stage_decided(run, files, [HEAD], *budget(700.0), is_probed=False)
    slow = Trial(batch_size=32, verdict=Verdict.FITS, step_seconds=6.4)
    probed(32, cut="input", trials=[slow]).save(files.fine_tune_probe)
    decided, words = with_stage_decided(chosen, files, [HEAD], *budget(400.0), is_probed=True)
    assert cut_of(decided) == "auto"
    assert "fine-tuning of the upper layers for 8 epochs" in words


def test_all_layers_are_tried_if_ample_memory_would_make_them_quick_enough(files: RunDirectory) -> None:
    """A longer budget would buy the upper layers where a shorter one, on a slower machine, buys all."""
    run = record()
    run = run.model_copy(update={"plan": run.plan.model_copy(update={"kernels": "onednn"})})
    a_head_of(run, files)
    left_seconds = 360.0
    chosen, _ = with_stage_decided(run, files, [HEAD], *budget(left_seconds), is_probed=False)
    assert cut_of(chosen) == "input"
    eigen = run.model_copy(update={"plan": run.plan.model_copy(update={"kernels": "eigen"})})
    chosen, _ = with_stage_decided(eigen, files, [HEAD], *budget(left_seconds), is_probed=False)
    assert cut_of(chosen) == "auto"


def test_what_was_probed_above_the_cut_is_not_widened(files: RunDirectory) -> None:
    """All layers would begin with the sizes of a few."""
    run = record()
    a_head_of(run, files)
    probed(32, cut="auto").save(files.fine_tune_probe)
    for is_probed in (False, True):
        decided, _ = with_stage_decided(run, files, [HEAD], *budget(3600.0), is_probed=is_probed)
        assert cut_of(decided) == "auto"


@pytest.mark.parametrize(
    "given", [{"fine_tune_epochs": 4}, {"fine_tune_from": "0.5", "fine_tune_epochs": "auto"}], ids=str
)
def test_what_the_user_has_asked_for_is_fine_tuned(files: RunDirectory, given: dict[str, Any]) -> None:
    """Other layers would train than those that were asked for."""
    run = record(**given)
    a_head_of(run, files)
    decided, _ = with_stage_decided(run, files, [HEAD], *budget(3600.0), is_probed=True)
    assert cut_of(decided) == run.options.fine_tune_from


def test_the_epochs_of_a_head_are_not_those_of_all_layers() -> None:
    """All layers would train for thirty epochs, or for two, because their head was given as many."""
    for epochs, stopping in ((30, 3), (2, None)):
        whole, upper = stage_choices(record(epochs=epochs, early_stopping=stopping, fine_tune_epochs="auto"))
        assert (whole.cut, whole.epochs, whole.early_stopping) == ("input", 10, stopping)
        assert (upper.cut, upper.epochs, upper.early_stopping) == ("auto", 8, None)


def test_all_layers_that_do_not_fit_into_memory_give_way(files: RunDirectory) -> None:
    """Nothing would be fine-tuned where the upper layers fit."""
    run = record()
    a_head_of(run, files)
    assert above_the_cut_instead(run, files) is None
    chosen, _ = with_stage_decided(run, files, [HEAD], *budget(3600.0), is_probed=False)
    upper = above_the_cut_instead(chosen, files)
    assert upper is not None
    assert upper.plan == run.plan
    assert RunRecord.load(files.run) == upper
    assert above_the_cut_instead(record(trainable="all"), files) is None


def test_views_do_not_take_the_time_of_all_layers(files: RunDirectory) -> None:
    """A point of accuracy would be bought with the epochs that gain seven."""
    run = record(views=True)
    a_head_of(run, files)
    short, _ = with_stage_decided(run, files, [HEAD], *budget(400.0), is_probed=False)
    ample, _ = with_stage_decided(run, files, [HEAD], *budget(3600.0), is_probed=False)
    assert ("views" in stages_of(short.plan), "views" in stages_of(ample.plan)) == (False, True)


SAVING = {
    "all layers": ({"trainable": "all"}, "training", KEPT, Rung(segments=8)),
    "few segments": ({"trainable": "all"}, "training", Rung(segments=4), Rung(segments=8)),
    "the next": ({"trainable": "all"}, "training", Rung(segments=8), Rung(segments=16)),
    "the end": ({"trainable": "all"}, "training", Rung(segments=16), None),
    "fine-tuning": ({}, "fine-tune", KEPT, Rung(segments=8)),
    "a head": ({}, "training", KEPT, None),
    "the head's stage": ({"trainable": "all"}, "head", KEPT, None),
    "on": ({"trainable": "all", "recompute": "on"}, "training", Rung(segments=8), None),
    "off": ({"trainable": "all", "recompute": "off"}, "training", KEPT, None),
}


@pytest.mark.parametrize(("given", "stage", "rung", "following"), SAVING.values(), ids=SAVING)
def test_a_training_climbs_only_where_that_helps_and_may_be(
    given: dict[str, Any], stage: StageName, rung: Rung, following: Rung | None
) -> None:
    """A head would be tried on rungs that change nothing, or a user's decision be overruled."""
    assert saving_rung(record(**given), stage, rung) == following


def test_a_replay_does_not_climb() -> None:
    """It would end with other bits than the run that it is to repeat."""
    of_all = record(trainable="all")
    replay = of_all.model_copy(update={"plan": of_all.plan.model_copy(update={"replay": "a"})})
    assert saving_rung(replay, "training", KEPT) is None
