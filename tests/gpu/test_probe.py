"""The probe on a card beside the true maximum, which bisection finds in workers of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bisection import largest_that_fits  # type: ignore[import-not-found]  # lies in benchmarks/

import autofit
from autofit.config.options import make_options
from autofit.machine.hardware import Hardware
from autofit.process.launch import ProcessLauncher
from autofit.process.monitor import monitored
from autofit.protocol.job import Job, TrialsJob
from autofit.protocol.messages import MemoryBudget, Request, Verdict
from autofit.runs.model_source import model_source
from autofit.storage.run_directory import AttemptDirectory
from tests.support.views import RecordingView

pytestmark = pytest.mark.gpu

LIMIT_BYTES = 3 * 10**9
LARGEST = 4096
STEPS = 20
NETWORK: dict[str, Any] = {"backbone": "MobileNet", "image_size": 224, "weights": "none"}


def fits(folder: Path, size: int, trainable: str) -> bool:
    """Whether a size trains 20 steps with validation in a process of its own under the limit."""
    options = make_options(**NETWORK, trainable=trainable, memory_limit=LIMIT_BYTES)
    memory = MemoryBudget(device="gpu", limit_bytes=LIMIT_BYTES, is_given=True)
    job = Job(attempt=1, source=model_source(options, 10), memory=memory, isolated=True, work=TrialsJob())
    attempt = AttemptDirectory(folder / f"{trainable}-{size}")
    attempt.path.mkdir()
    with monitored(job, attempt, ProcessLauncher(), view=RecordingView()) as worker:
        worker.send(Request(trial=size, steps=STEPS, memory=memory))
        trial = next((event.trial for event in worker.events() if event.trial), None)
    return trial is not None and trial.verdict is Verdict.FITS


@pytest.mark.timeout(240)
@pytest.mark.parametrize("trainable", ["head", "all"])
@pytest.mark.parametrize("backbone", ["MobileNet", "ResNet50"])
def test_a_probe_of_the_whole_card_takes_a_minute_and_tells_no_absurd_number(backbone: str, trainable: str) -> None:
    """A user would wait for minutes, or most of the card be kept free, as the first readings were."""
    network = {**NETWORK, "backbone": backbone, "trainable": trainable}
    report = autofit.probe(**network, profile=False, num_classes=10)
    assert report.wall_seconds <= 60, report.time_spent
    assert len({trial.batch_size for trial in report.trials}) <= 6
    assert report.headroom_bytes <= 0.08 * report.memory_limit_bytes
    assert report.memory_model is None or report.memory_model.max_relative_error <= 0.3


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "option", [{"precision": "mixed_float16"}, {"precision": "mixed_bfloat16"}, {"recompute": "on"}]
)
def test_what_saves_memory_holds_more_images(option: dict[str, str]) -> None:
    """Half precision, or activations computed again, would cost time and save nothing on a card."""
    given = {**NETWORK, "trainable": "all", "memory_limit": LIMIT_BYTES, "profile": False, "num_classes": 10}
    plain = autofit.probe(**{"recompute": "off", **given})
    saving = autofit.probe(**{"recompute": "off", **given, **option})
    assert saving.largest_feasible_batch >= 1.3 * plain.largest_feasible_batch


@pytest.mark.timeout(900)
@pytest.mark.parametrize("trainable", ["head", "all"])
def test_the_answer_is_at_least_95_percent_of_the_true_maximum_and_never_over(
    trainable: str, card: Hardware, tmp_path: Path
) -> None:
    """A card would train with a part of what fits, or a training run out of memory with what the probe found."""
    if (card.device_free_bytes or 0) < LIMIT_BYTES + 10**9:
        pytest.skip("the card has too little memory free")
    report = autofit.probe(
        **NETWORK, trainable=trainable, memory_limit=LIMIT_BYTES, max_batch=LARGEST, profile=False, num_classes=10
    )
    answer = report.largest_feasible_batch
    assert fits(tmp_path, answer, trainable)
    if answer == LARGEST:
        return
    largest = largest_that_fits(lambda size: size <= answer or fits(tmp_path, size, trainable), answer)
    assert answer >= 0.95 * largest
