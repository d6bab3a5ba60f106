"""The comparison of two precisions, driven on workers that are simulated, and once on a real one."""

# ruff: noqa: D102 - the methods of our seams are documented where the seams are

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from autofit.config.fine_tuning import FineTuning
from autofit.config.options import make_options
from autofit.config.precisions import Precision
from autofit.config.rungs import ON_REQUEST, Rung
from autofit.errors import TrainingFailedError, UserError
from autofit.probing.precision_trial import ComparisonRequest, compare_precisions
from autofit.process.launch import Exit, Launcher, ProcessLauncher, Worker
from autofit.protocol.job import ComparisonJob, Event, Job, Outcome
from autofit.protocol.messages import MemoryBudget, Phase, Progress, Request, Verdict
from autofit.protocol.payload import Payload
from autofit.protocol.precision import PrecisionComparison
from autofit.runs.model_source import model_source, on_rung
from autofit.storage.run_directory import AttemptDirectory
from tests.support.views import RecordingView

MEMORY = MemoryBudget(device="cpu", limit_bytes=3 * 10**9, is_given=False)
FOUND = PrecisionComparison(
    precision="mixed_bfloat16", batch_size=2, images_per_second=2.0, float32_images_per_second=1.0
)


@dataclass
class Done:
    """A worker that has ended."""

    exit: Exit = field(default_factory=lambda: Exit(0))

    def poll(self) -> Exit | None:
        return self.exit

    def send(self, request: Request) -> None: ...

    def kill(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class Workers:
    """Starts workers that end at once, as `answer` says for a number of images."""

    answer: Callable[[int], Outcome | PrecisionComparison]
    isolated: bool = True
    jobs: list[Job] = field(default_factory=list)
    phase: Phase = Phase.PROBE

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        del payload, lock_fd
        job = Job.load(attempt.job)
        assert isinstance(job.work, ComparisonJob)
        self.jobs.append(job)
        answer = self.answer(job.work.batch_size)
        if isinstance(answer, PrecisionComparison):
            line = Event(comparison=answer).model_dump_json(exclude_defaults=True)
            attempt.events.write_text(f"{line}\n", encoding="utf-8")
            answer = Outcome(verdict=Verdict.COMPLETED)
        line = Progress(time=0.0, phase=self.phase).model_dump_json()
        attempt.progress.write_text(f"{line}\n", encoding="utf-8")
        answer.save(attempt.outcome)
        return Done()

    @property
    def sizes(self) -> list[int]:
        return [job.work.batch_size for job in self.jobs if isinstance(job.work, ComparisonJob)]

    @property
    def segments(self) -> list[int]:
        return [job.source.spec.segments for job in self.jobs if job.source is not None]


def compared(
    launcher: Launcher,
    folder: Path,
    precision: Precision = "mixed_bfloat16",
    saving: Rung | None = None,
    **given: str | None,
) -> PrecisionComparison | None:
    options = make_options(**({"backbone": "MobileNet", "weights": "none", "image_size": 32} | given))
    work = ComparisonJob(precision=precision, batch_size=8)
    source = model_source(options, 3)
    request = ComparisonRequest(source, work, MEMORY, folder, saving=on_rung(source, saving) if saving else None)
    return compare_precisions(request, launcher, RecordingView())


def out_above(largest: int, verdict: Verdict = Verdict.DEVICE_OOM) -> Workers:
    return Workers(lambda size: FOUND if size <= largest else Outcome(verdict=verdict, cause="why"))


@pytest.mark.parametrize("verdict", [Verdict.DEVICE_OOM, Verdict.HOST_OOM])
def test_fewer_images_are_compared_where_memory_runs_out(verdict: Verdict, tmp_path: Path) -> None:
    """A network that is tight would train in float32 because eight images did not fit."""
    workers = out_above(2, verdict)
    assert compared(workers, tmp_path) == FOUND
    assert workers.sizes == [8, 4, 2]


def test_where_not_one_image_fits_nothing_is_known(tmp_path: Path) -> None:
    """It would go on with no image at all, or end the run."""
    workers = out_above(0)
    assert compared(workers, tmp_path) is None
    assert workers.sizes == [8, 4, 2, 1]


def test_where_not_one_image_fits_the_rung_is_compared_on_which_it_may_train(tmp_path: Path) -> None:
    """Where memory is short it would always be float32, and the run fail if only 16 bits fit."""
    workers = Workers(lambda _: FOUND if workers.segments[-1] else Outcome(verdict=Verdict.DEVICE_OOM))
    assert compared(workers, tmp_path, saving=ON_REQUEST) == FOUND
    assert [*zip(workers.sizes, workers.segments, strict=True)] == [(8, 0), (4, 0), (2, 0), (1, 0), (1, 8)]


def test_weights_that_do_not_fit_are_compared_once(tmp_path: Path) -> None:
    """Each of four sizes would cost a start of TensorFlow, before the probe says that the weights do not fit."""
    workers = out_above(0)
    workers.phase = Phase.BUILD
    assert compared(workers, tmp_path, saving=ON_REQUEST) is None
    assert workers.sizes == [8]


@pytest.mark.parametrize(("verdict", "kind"), [(Verdict.USER_ERROR, UserError), (Verdict.CRASHED, TrainingFailedError)])
def test_another_end_is_raised(verdict: Verdict, kind: type[Exception], tmp_path: Path) -> None:
    """A model that cannot compute in 16 bits would be measured again with fewer and fewer images."""
    workers = out_above(0, verdict)
    with pytest.raises(kind, match="why"):
        compared(workers, tmp_path)
    assert workers.sizes == [8]


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.forked_workers
def test_fine_tuning_is_measured_as_it_trains(calibrated: Callable[[str], Path], tmp_path: Path) -> None:
    """The speed would be that of an extraction, or nothing said of a loss."""
    weights = str(calibrated("MobileNet"))  # of random ones the activations are too small for float16
    source = model_source(make_options(backbone="MobileNet", weights=weights, image_size=64), 3)
    spec = source.spec.model_copy(update={"trainable": "all", "cut": "conv_pw_11_relu"})
    settings = FineTuning(updates=10, warmup_updates=1)
    source = source.model_copy(update={"spec": spec, "fine_tuning": settings})
    work = ComparisonJob(precision="mixed_bfloat16", batch_size=4)
    found = compare_precisions(ComparisonRequest(source, work, MEMORY, tmp_path), ProcessLauncher(), RecordingView())
    assert found is not None
    shares = (found.loss_difference, found.feature_difference, found.score_difference)
    assert all(share is not None and 0 < share < 0.5 for share in shares)


@pytest.mark.slow
@pytest.mark.forked_workers
@pytest.mark.parametrize(
    ("precision", "trainable", "most"),
    [
        ("float32", "head", 0.0),
        pytest.param("float32", "all", 0.0, marks=pytest.mark.whole),
        pytest.param("mixed_bfloat16", "head", 0.5, marks=pytest.mark.whole),
    ],
)
def test_the_same_weights_see_the_same_images_in_both(
    precision: Precision, trainable: str, most: float, tmp_path: Path
) -> None:
    """Other weights, images or random numbers would be taken for the difference that rounding makes."""
    found = compared(ProcessLauncher(), tmp_path, precision, trainable=trainable)
    assert found is not None
    assert found.batch_size == 8
    assert min(found.images_per_second, found.float32_images_per_second) > 0
    differences = [found.feature_difference, *([found.loss_difference] if trainable == "all" else [])]
    assert all(share is not None and share <= most for share in differences)
    assert all(differences) is (precision != "float32")
    assert (found.loss_difference is None) is (trainable == "head")
    assert found.score_difference is None  # the features tell of all layers


@pytest.mark.slow
@pytest.mark.forked_workers
@pytest.mark.parametrize(("precision", "least"), [("float32", 0.0), ("mixed_bfloat16", 1e-4)])
def test_a_network_of_the_users_own_is_compared_by_what_it_gives(
    precision: Precision, least: float, tmp_path: Path
) -> None:
    """It would be taken in 16 bits for its first loss, which is about the same whatever it computes."""
    found = compared(
        ProcessLauncher(), tmp_path, precision, backbone=None, weights=None, model="autofit.demo.network:digit_network"
    )
    assert found is not None
    assert (found.feature_difference, found.loss_difference is None) == (None, False)
    assert found.score_difference is not None
    assert least <= found.score_difference <= 1000 * least
