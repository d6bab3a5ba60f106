"""What a worker finds of the host's memory before it begins; TensorFlow is not needed to tell that it is too little."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from autofit.config.backbones import ModelSpec
from autofit.config.batch_schedule import LEAST_BUFFER_BYTES
from autofit.errors import UserError
from autofit.machine.cgroups import MemoryLeft
from autofit.machine.process_limits import MAPPED_BYTES, ProcessLimits
from autofit.protocol.job import Job, Kernels, ModelSource, Outcome, TrainJob, TrialsJob, Tuning
from autofit.protocol.messages import MemoryBudget, Verdict
from autofit.protocol.model_jobs import PredictJob
from autofit.protocol.tf_choices import AUTOTUNE_VARIABLE, ONEDNN_VARIABLE, XLA_VARIABLE
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.jobs import dispatch
from autofit.worker.jobs.dispatch import run_job
from autofit.worker.runtime import tf_settings
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.exceptions import ShortOfMemoryError
from tests.support.records import make_plan

MB, GB = 10**6, 10**9
SHORT = "the machine has 180 MB of memory left (cgroup limit /job) for a worker that needs 420 MB"


@pytest.fixture(autouse=True)
def two_hundred_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which other programs have left 200 MB."""
    monkeypatch.setattr(
        "autofit.machine.cgroups.memory_left_reader", lambda: lambda: MemoryLeft(200 * MB, "cgroup limit /job")
    )


@pytest.mark.parametrize(("planned", "expected"), [(2 * GB, 780 * MB), (750 * MB, 750 * MB)])
def test_a_worker_takes_no_more_than_is_left_by_now(planned: int, expected: int) -> None:
    """What the machine had when the run was planned may be another program's when its tenth attempt starts."""
    assert tf_settings._host_limit(planned, now=600 * MB, least=700 * MB) == expected


def test_too_little_is_the_machines_and_no_memory_limit() -> None:
    """A person who never gave a memory_limit would be told to give a higher one."""
    with pytest.raises(ShortOfMemoryError) as caught:
        tf_settings._host_limit(2 * GB, now=600 * MB, least=1020 * MB)
    assert caught.value.cause == SHORT
    assert str(caught.value) == f"{SHORT}: free memory"


@pytest.mark.parametrize(
    ("address_space", "words"),
    [
        (MAPPED_BYTES + 700 * MB, "the address space (ulimit -v) leaves 100 MB for a worker that needs 420 MB: raise"),
        (MAPPED_BYTES + 4 * GB, "the machine has 100 MB of memory left (cgroup limit /job) for a worker that needs"),
    ],
    ids=["the shell's limit", "less was planned for another reason"],
)
def test_too_little_within_a_limit_of_the_shell_is_that_limits(
    monkeypatch: pytest.MonkeyPatch, address_space: int, words: str
) -> None:
    """A person would free memory of a machine that has plenty."""
    limits = ProcessLimits(address_space_bytes=address_space)
    monkeypatch.setattr(tf_settings, "process_limits", lambda: limits)
    with pytest.raises(ShortOfMemoryError, match=re.escape(words)):
        tf_settings._host_limit(700 * MB, now=600 * MB, least=1020 * MB)


def test_too_little_under_a_limit_that_was_given_is_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that can never do would be tried three times, and the machine blamed for it."""
    monkeypatch.setattr("autofit.worker.runtime.tf_settings.resident_bytes", lambda: 600 * MB)
    budget = MemoryBudget(device="cpu", limit_bytes=700 * MB, is_given=True)
    with pytest.raises(UserError, match=r"^memory_limit 700 MB is under what the bare process needs \(850 MB"):
        tf_settings._limit_cpu(None, budget, "head", 1)
    nearly = MemoryBudget(device="cpu", limit_bytes=1150 * MB, is_given=True)
    with pytest.raises(
        UserError, match=r"^memory_limit 1150 MB .* give over 1152 MB, or smaller images \(image_size\)$"
    ):
        tf_settings._limit_cpu(None, nearly, "head", 1)
    small = nearly.model_copy(update={"limit_bytes": 900 * MB, "buffer_bytes": LEAST_BUFFER_BYTES})
    with pytest.raises(UserError, match=r" give over \d+ MB$"):  # of any image the loader holds as much
        tf_settings._limit_cpu(None, small, "head", 1)


@pytest.mark.parametrize(("limit", "expected"), [(GB, 250 * MB), (3 * GB, 250 * MB), (19 * GB, 750 * MB)])
def test_what_the_allocator_takes_for_itself_is_in_the_estimate(limit: int, expected: int) -> None:
    """Under 20 GB the first attempt would pass its limit by half a gigabyte before it has trained anything."""
    assert tf_settings.after_import_bytes("head", limit) == expected


@pytest.mark.parametrize(
    ("device", "planned", "users", "expected"),
    [
        ("cpu", "eigen", None, "0"),
        ("cpu", "onednn", None, "1"),
        ("cpu", "onednn", "0", "1"),  # what the user had set when the run began is in its plan
        ("cpu", "eigen", "1", "0"),
        ("cpu", None, None, "0"),  # a probe, or a process that is not our own
        ("cpu", None, "1", "1"),
        ("gpu", "eigen", None, None),
    ],
)
def test_the_kernels_are_those_of_the_plan(
    device: str, planned: Kernels | None, users: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on from another shell would round in another way, or end where memory runs out."""
    monkeypatch.delenv(ONEDNN_VARIABLE, raising=False)
    for name in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL"):  # set beside it: as they were afterwards
        monkeypatch.setenv(name, os.environ.get(name, ""))
    if users is not None:
        monkeypatch.setenv(ONEDNN_VARIABLE, users)
    tf_settings.before_import(device, planned)
    assert os.environ.get(ONEDNN_VARIABLE) == expected
    assert tf_settings.kernels_in_use() == ("eigen" if expected == "0" else "onednn")


@pytest.mark.parametrize(
    ("device", "tuning", "users", "expected"),
    [
        ("gpu", "quick", None, "0"),
        ("gpu", "tuned", "0", "1"),  # what the user had set when the run began is in its plan
        ("gpu", None, "0", "0"),  # a probe
        ("cpu", "quick", None, None),
    ],
)
def test_the_tuning_is_that_of_the_plan(
    device: str, tuning: Tuning | None, users: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on from another shell would choose other convolutions, with other bits."""
    monkeypatch.setenv(AUTOTUNE_VARIABLE, "")  # so that it is gone again afterwards
    monkeypatch.delenv(AUTOTUNE_VARIABLE)
    for name in (ONEDNN_VARIABLE, "KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL"):  # set beside it: as they were afterwards
        monkeypatch.setenv(name, os.environ.get(name, ""))
    if users is not None:
        monkeypatch.setenv(AUTOTUNE_VARIABLE, users)
    tf_settings.before_import(device, None, tuning)
    assert os.environ.get(AUTOTUNE_VARIABLE) == expected


@pytest.mark.parametrize(
    ("device", "xla", "users", "expected"),
    [
        ("gpu", True, "", "--tf_xla_auto_jit=2"),  # resumed from another shell
        ("gpu", True, "--tf_xla_auto_jit=fusible", "--tf_xla_auto_jit=fusible"),
        ("gpu", False, "--tf_xla_auto_jit=2 --tf_xla_clustering_debug", "--tf_xla_clustering_debug"),
        ("gpu", None, "--tf_xla_auto_jit=2", "--tf_xla_auto_jit=2"),  # a probe
        ("cpu", False, "--tf_xla_auto_jit=2", "--tf_xla_auto_jit=2"),
    ],
)
def test_xla_is_that_of_the_plan(
    device: str, *, xla: bool | None, users: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on from another shell would be compiled by halves, with other bits; or lose the user's flags."""
    monkeypatch.setenv(XLA_VARIABLE, users)
    for name in (AUTOTUNE_VARIABLE, ONEDNN_VARIABLE, "KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    tf_settings.before_import(device, None, None, xla=xla)
    assert os.environ[XLA_VARIABLE] == expected


def test_cuda_keeps_its_kernels_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start in a container would compile again; or a folder that cannot be made would end the run."""
    for name in ("CUDA_CACHE_PATH", "CUDA_CACHE_MAXSIZE"):
        monkeypatch.setenv(name, "")  # so that it is gone again afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / "cache"))
    tf_settings.keep_compiled_kernels()
    assert os.environ["CUDA_CACHE_PATH"] == str(tmp_path / "cache" / "cuda")
    assert (tmp_path / "cache" / "cuda").is_dir()
    monkeypatch.delenv("CUDA_CACHE_PATH")
    (tmp_path / "file").touch()
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / "file"))
    tf_settings.keep_compiled_kernels()
    assert "CUDA_CACHE_PATH" not in os.environ


WORKS = {
    "train": (
        TrainJob(
            run_dir="/none",
            data_root="/none",
            class_names=["a"],
            plan=make_plan(),
            micro_batch_size=8,
            launched_at=0.0,
        ),
        Verdict.YIELDED,
        SHORT,
    ),
    "predict": (
        PredictJob(model_path="/none", image_size=(32, 32), batch_size=8, threads=2, idle_seconds=1.0),
        Verdict.USER_ERROR,
        f"{SHORT}: free memory",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("work", "verdict", "cause"), WORKS.values(), ids=WORKS)
def test_a_training_that_finds_too_little_may_be_tried_again(
    work: TrainJob | PredictJob, verdict: Verdict, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of a week would end for good in the minute in which another program needs the memory."""

    def short(*_: object) -> int:
        raise ShortOfMemoryError(SHORT)

    monkeypatch.setattr(tf_settings, "before_import", lambda *_, **__: None)
    monkeypatch.setattr(tf_settings, "import_keras", lambda **_: None)
    monkeypatch.setattr(tf_settings, "limit_allocator", short)
    attempt = AttemptDirectory(tmp_path)
    spec = ModelSpec(
        backbone=None,
        weights="none",
        image_size=(32, 32),
        trainable="all",
        hidden_units=0,
        dropout=0.0,
        seed=0,
    )
    source = ModelSource(spec=spec, num_classes=1, optimizer="adam", learning_rate=0.001)
    budget = MemoryBudget(device="cpu", limit_bytes=GB, is_given=False)
    Job(attempt=1, source=source, memory=budget, isolated=True, work=work).save(attempt.job)
    assert run_job(tmp_path, Requests(), lambda: None) == 1
    outcome = Outcome.load(attempt.outcome)
    assert (outcome.verdict, outcome.cause) == (verdict, cause)


@pytest.mark.parametrize(
    ("job", "ordered"),
    [
        ((8, "cpu", True), 1),
        ((1, "cpu", True), 1),
        ((0, "cpu", True), 0),
        ((8, "gpu", True), 0),
        ((8, "cpu", False), 0),
    ],
)
def test_on_a_rung_a_cpu_computes_one_operation_after_another(
    monkeypatch: pytest.MonkeyPatch, job: tuple[int, str, bool], ordered: int
) -> None:
    """The memory of a step would be another in each; in the user's own process TensorFlow may have begun."""
    segments, device, isolated = job
    calls: list[None] = []
    monkeypatch.setattr(tf_settings, "import_keras", lambda **_: None)
    monkeypatch.setattr(tf_settings, "compute_in_order", lambda: calls.append(None))
    spec = ModelSpec(backbone=None, weights="none", image_size=(32, 32), trainable="all", segments=segments)
    source = ModelSource(spec=spec, num_classes=2, optimizer="sgd", learning_rate=1e-3)
    memory = MemoryBudget(device=device, limit_bytes=GB, is_given=True)
    dispatch._import_keras(Job(attempt=1, source=source, memory=memory, isolated=isolated, work=TrialsJob()))
    assert len(calls) == ordered
