"""What an extraction measured is kept, and the next one begins with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autofit.api.extractions import fitting_size, save_extraction
from autofit.config.options import make_options
from autofit.errors import AutofitError, InterruptedRunError
from autofit.machine import hardware
from autofit.profiles.records import SavedExtraction
from autofit.profiles.store import ProfileStore
from autofit.protocol.cache_job import CacheJob
from autofit.protocol.job import Event, ExtractionSpeed, Job, TrainJob
from autofit.protocol.messages import MemoryBudget, StageName
from autofit.runs.model_source import model_source
from autofit.runs.plan import staged_plan
from autofit.runs.run_record import DataRecord, RunRecord
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from tests.support.machines import make_hardware
from tests.support.records import make_probe_report

if TYPE_CHECKING:
    from tests.api.conftest import Stages, Train
    from tests.support.views import RecordingView

Extracts = Callable[..., None]


@pytest.fixture(autouse=True)
def folder(stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of profiles, which the runs use instead of that of `stages`."""
    del stages
    monkeypatch.setenv("AUTOFIT_PROFILES", str(tmp_path / "profiles"))
    return tmp_path / "profiles"


def speed(micro_batch_size: int, images_per_second: float = 230.0) -> ExtractionSpeed:
    return ExtractionSpeed(micro_batch_size=micro_batch_size, images_per_second=images_per_second, peak_bytes=10**8)


def begun(files: RunDirectory, record: RunRecord, stage: StageName = "head") -> AttemptDirectory:
    """A new attempt at a stage, with its job."""
    number, attempt = files.new_attempt()
    work = TrainJob(
        run_dir="/",
        data_root="/",
        class_names=["a"],
        plan=record.plan,
        stage=stage,
        micro_batch_size=8,
        launched_at=0.0,
    )
    memory = MemoryBudget(device="cpu", limit_bytes=10**9, is_given=False)
    source = model_source(record.options, 2)
    Job(attempt=number, source=source, memory=memory, isolated=True, work=work).save(attempt.job)
    return attempt


@pytest.fixture
def extracts(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Extracts:
    """`extracts(speed, …)`: from now on the attempts of a run, one after another, measure these."""

    def extracts(*speeds: ExtractionSpeed) -> None:
        def supervisor(files: Any, *given: Any, **named: Any) -> Any:
            stage = stages.supervisor(files, *given, **named)
            ends = stage.run

            def run() -> AutofitError | None:
                for measured in speeds:
                    attempt = begun(files, given[0])
                    lines = [Event(message="first"), Event(extraction=measured), Event(kept_rows=3)]
                    attempt.events.write_text("".join(line.model_dump_json() + "\n" for line in lines) + '{"half')
                end: AutofitError | None = ends()
                return end

            stage.run = run
            return stage

        monkeypatch.setattr("autofit.api.supervision.Supervisor", supervisor)

    return extracts


def saved(folder: Path) -> list[SavedExtraction]:
    return [one for profile, _ in ProfileStore(folder, None, pytest.fail).load() for one in profile.extractions]


def told(stages: Stages) -> list[tuple[int | None, int]]:
    """The size and the peak that each run was told."""
    caches: list[CacheJob] = [run["cache"] for run in stages.runs]
    return [(cache.first_size, cache.first_peak_bytes) for cache in caches]


def test_the_next_run_begins_with_what_the_last_measured(
    stages: Stages, photos: Path, train: Train, extracts: Extracts, folder: Path
) -> None:
    """Every extraction would find its size anew, though the machine is known."""
    extracts(speed(16), speed(32))
    train(photos, "a")
    train(photos, "b", optimizer="sgd", weights=_weights(photos))
    train(photos, "c", image_size=96)
    assert told(stages) == [(None, 0), (32, 10**8), (None, 0)]
    sizes = [(one.backbone, one.image_size, one.micro_batch_size) for one in saved(folder)]
    assert sizes == [("MobileNetV2", (96, 96), 32), ("MobileNetV2", (224, 224), 32)]
    ((profile, _),) = ProfileStore(folder, None, pytest.fail).load()
    assert profile.fingerprint == hardware.fingerprint(hardware.detect())


def _weights(photos: Path) -> Path:
    weights = photos.parent / "some.weights.h5"
    weights.touch()
    return weights


def test_what_is_extracted_in_fine_tuning_is_no_measurement_of_the_whole_backbone(folder: Path, tmp_path: Path) -> None:
    """The next budget would plan with the speed of a part of the network, on augmented views."""
    files, options, machine = RunDirectory(tmp_path / "run"), make_options(fine_tune_epochs=2), make_hardware()
    files.path.mkdir()
    data = DataRecord(root="/", class_names=["a"], train_count=80, validation_count=20, skipped_files=0, fingerprint="")
    planned = staged_plan(options, 80, 2, None, machine)
    record = RunRecord(options=options, has_callbacks=False, data=data, plan=planned, started=0.0)
    stages: tuple[StageName, ...] = ("head", "views", "fine-tune", "refit")
    for size, stage in enumerate(stages, 16):
        attempt = begun(files, record, stage)
        attempt.events.write_text(Event(extraction=speed(size)).model_dump_json() + "\n")
    attempt.job.write_text("damaged")
    save_extraction(record, machine, ProfileStore(folder, None, pytest.fail), files, 0)
    assert [one.micro_batch_size for one in saved(folder)] == [16]


def test_a_given_size_is_the_extractions(stages: Stages, photos: Path, train: Train, extracts: Extracts) -> None:
    """Two runs with the same `micro_batch_size` would not be equal."""
    extracts(speed(32))
    train(photos, "a")
    train(photos, "b", micro_batch_size=4)
    train(photos, "c", feature_cache="off")
    assert told(stages)[1:] == [(None, 0)] * 2
    assert stages.runs[1]["cache"].fixed_size == 4


def test_a_run_that_is_interrupted_keeps_what_it_measured(
    stages: Stages, photos: Path, train: Train, extracts: Extracts, folder: Path
) -> None:
    """Who stops a training because of its result has measured the machine all the same."""
    extracts(speed(32))
    for number, end in enumerate((InterruptedRunError("asked to stop"), KeyboardInterrupt())):
        stages.ends = [end]
        with pytest.raises(InterruptedRunError):
            train(photos, str(number), image_size=96 + number)
    assert [one.image_size[0] for one in saved(folder)] == [97, 96]


def test_what_earlier_attempts_measured_is_not_measured_again(
    stages: Stages, photos: Path, train: Train, extracts: Extracts, folder: Path
) -> None:
    """A run that is taken to another machine would lend it the speed of the first."""
    extracts(speed(32))
    stages.ends = [InterruptedRunError("asked to stop")]
    with pytest.raises(InterruptedRunError):
        train(photos)
    for path in folder.glob("*.json"):
        path.unlink()
    extracts()
    train(photos)
    assert saved(folder) == []


def test_a_profile_that_cannot_be_used_never_ends_a_run(
    stages: Stages, photos: Path, train: Train, extracts: Extracts, folder: Path, view: RecordingView
) -> None:
    """A training of a night would be lost with a file that only saves time."""
    extracts(speed(32, float("nan")))
    train(photos, "a", view=view)
    extracts(speed(32))
    folder.touch()
    result = train(photos, "b", view=view)
    assert result.status == "completed"
    warnings = [line for line in view.messages if "profile" in line or "not saved" in line]
    assert warnings[0].startswith("the speed of this extraction is not saved for the next time (images_per_second: ")
    assert "Not a directory" in warnings[1]
    assert warnings[2].startswith("the speed of this extraction is not saved for the next time (")
    assert len(warnings) == 3
    assert told(stages) == [(None, 0)] * 2


@pytest.mark.parametrize(
    ("largest", "limit_bytes", "size"),
    [(8, 10**9, 8), (32, 10**9, 32), (4096, 10**9, 32), (8, 4 * 10**9, 32), (0, 10**9, 1)],
    ids=["eight fit", "as many as wanted", "more fit", "under another limit", "none fits"],
)
def test_a_probe_of_this_machine_says_how_many_fit(folder: Path, largest: int, limit_bytes: int, size: int) -> None:
    """A node of a cluster would run out of memory first, though it was probed; or be slow for no reason."""
    store, machine = ProfileStore(folder, None, pytest.fail), make_hardware()
    report = make_probe_report(0, largest).model_copy(update={"max_batch": 4096})
    memory = MemoryBudget(device="cpu", limit_bytes=limit_bytes, is_given=True)
    assert fitting_size(report.workload, machine, memory, store, 32) == 32
    store.save(report, machine, 1.0, limit_is_given=True)
    assert fitting_size(report.workload, machine, memory, store, 32) == size
