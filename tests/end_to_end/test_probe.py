"""The probe with real TensorFlow: answers that hold, within the limit; profiles save time and do no harm."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autofit import api
from autofit.api.workers import import_paths
from autofit.config.batch_schedule import image_buffer_bytes
from autofit.config.options import make_options
from autofit.machine import hardware
from autofit.probing.records import ProbeReport
from autofit.process.launch import ProcessLauncher
from autofit.process.monitor import monitored
from autofit.process.tail import Tail
from autofit.protocol.job import Job, TrialsJob
from autofit.protocol.messages import MemoryBudget, Phase, Progress, Request, Trial, Verdict
from autofit.runs.model_source import model_source
from autofit.storage.run_directory import AttemptDirectory
from tests.support.paths import CHILDREN
from tests.support.shared import made_once
from tests.support.views import RecordingView

pytestmark = pytest.mark.slow

LIMIT_BYTES = 1_500_000_000
NETWORKS: dict[str, dict[str, Any]] = {
    "small": {"model": "survivor_network:hungry_network", "image_size": 96, "recompute": "off"},
    "MobileNetV2": {"backbone": "MobileNetV2", "image_size": 96, "weights": "none", "trainable": "head"},
}
"""The first is built soon. What other networks are answered is in `benchmarks/find_batch.py` and `ladder.py`."""


@pytest.fixture(scope="module", params=["small", pytest.param("MobileNetV2", marks=pytest.mark.whole)])
def network(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What is probed."""
    return NETWORKS[request.param]


@pytest.fixture(scope="module", autouse=True)
def _where_the_small_network_is() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(CHILDREN)
        yield


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of profiles for the user, and no profiles that come with autofit."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    monkeypatch.setenv("AUTOFIT_PROFILES", str(folder))
    monkeypatch.setattr("autofit.api.workers.shipped_folder", lambda: None)
    return folder


def probe(network: dict[str, Any], view: RecordingView | None = None, **more: Any) -> ProbeReport:
    return api.probe(view=view or RecordingView(), **(network | {"memory_limit": LIMIT_BYTES} | more))


@pytest.fixture(scope="module")
def measured(network: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the report of a probe from nothing, and the profiles that it saved. Tests only read it."""

    def measure(folder: Path) -> None:
        (folder / "profiles").mkdir()
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("AUTOFIT_PROFILES", str(folder / "profiles"))
            patched.setattr("autofit.api.workers.shipped_folder", lambda: None)
            probe(network).save(folder / "report.json")

    return made_once(tmp_path_factory, f"probe-{network.get('backbone')}", measure)


def run_alone(
    network: dict[str, Any], folder: Path, size: int, steps: int, non_allocator_bytes: int | None
) -> tuple[Trial, float]:
    """One size in a worker of its own; and how long its answer took, in seconds, without the worker's start."""
    options = make_options(**network, memory_limit=LIMIT_BYTES)
    memory = MemoryBudget(
        device="cpu",
        limit_bytes=LIMIT_BYTES,
        is_given=True,
        non_allocator_bytes=non_allocator_bytes,
        buffer_bytes=image_buffer_bytes(size, options.image_size),
    )
    job = Job(
        attempt=1,
        source=model_source(options, 10),
        import_paths=import_paths(options, None),
        memory=memory,
        isolated=True,
        work=TrialsJob(),
    )
    folder.mkdir()
    attempt = AttemptDirectory(folder)
    with monitored(job, attempt, ProcessLauncher(), view=RecordingView()) as worker:
        worker.send(Request(trial=size, steps=steps, memory=memory))
        trial = next(event.trial for event in worker.events() if event.trial)
        lines = Tail(attempt.progress).records(Progress)
        return trial, time.time() - next(line.time for line in lines if line.phase is Phase.PROBE)


@pytest.mark.usefixtures("profiles")
@pytest.mark.skipif(hardware.detect().device != "cpu", reason="the limit is on a CPU's resident memory")
def test_the_answer_trains_within_the_limit_and_little_more_does_not(
    network: dict[str, Any], tmp_path: Path, measured: Path, *, whole: bool
) -> None:
    """The size that was "found" would run out of memory in the training, or would be half of the largest that fits."""
    report = ProbeReport.load(measured / "report.json")
    answer = report.largest_feasible_batch
    [verified] = [t for t in report.trials if t.batch_size == answer and t.fresh]
    assert verified.host_bytes <= LIMIT_BYTES
    assert report.source == "measured"
    assert report.memory_model is not None
    assert report.headroom_bytes > 0
    if whole:  # the probe has tried it so itself, with fewer steps
        held, _ = run_alone(network, tmp_path / "a", answer, 20, report.non_allocator_bytes)
        assert (held.verdict, held.host_bytes <= LIMIT_BYTES) == (Verdict.FITS, True)
    # the largest of the small network is 140 to 170 from one process to the next, by how the threads take turns
    too_many = answer * 100 // 90 if "backbone" in network else answer * 3 // 2
    more, seconds = run_alone(network, tmp_path / "b", too_many, 3, report.non_allocator_bytes)
    assert more.verdict is Verdict.DEVICE_OOM
    assert more.cause == "the allocator waits for memory that nothing will free"
    assert more.non_allocator_bytes > 0  # where nothing fits, the next process is given this
    assert seconds < 10 + 8  # the allocator alone would have waited 10 s after building and tracing


@pytest.mark.whole
@pytest.mark.parametrize("network", ["MobileNetV2"], indirect=True)  # a function's code may change: no profile has it
def test_a_second_probe_is_one_trial_and_another_limit_starts_from_the_line(
    network: dict[str, Any], profiles: Path, measured: Path
) -> None:
    """The findings of the first probe would be lost, as they are with the known tools."""
    first = ProbeReport.load(measured / "report.json")
    shutil.copytree(measured / "profiles", profiles, dirs_exist_ok=True)
    view = RecordingView()
    second = probe(network, view)
    assert second.source == "profile"
    assert [trial.saved for trial in second.trials] == [True] * len(first.trials) + [False]
    # it changes with the resident size of the process before it begins: some megabytes from start to start
    assert second.largest_feasible_batch == pytest.approx(first.largest_feasible_batch, rel=0.05)
    assert view.messages[0].startswith("starting from your profile of ")
    other = probe(network, memory_limit=LIMIT_BYTES - 200_000_000)
    assert other.source == "profile"
    assert sum(not trial.saved for trial in other.trials) <= 2
    assert 0.5 * first.largest_feasible_batch < other.largest_feasible_batch < first.largest_feasible_batch


GOOD = {"schema": "autofit/profile/2", "fingerprint": "0123456789abcdef", "hardware": {}, "entries": []}
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "binary": bytes(range(256)) * 64,
    "zeros": bytes(4096),
    "truncated": json.dumps(GOOD).encode()[:40],
    "no object": b"[1, 2, 3]",
    "null": b"null",
    "infinity": b"1e400",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "another schema": json.dumps(GOOD | {"schema": "autofit/run/1"}).encode(),
    "a newer schema": json.dumps(GOOD | {"schema": "autofit/profile/99"}).encode(),
    "no schema": json.dumps({"entries": []}).encode(),
    "a path for a name": json.dumps(GOOD | {"fingerprint": "../../../../etc/passwd"}).encode(),
    "wrong types": json.dumps(GOOD | {"entries": "many"}).encode(),
    "entries of numbers": json.dumps(GOOD | {"entries": [1, 2, 3]}).encode(),
    "huge numbers": json.dumps(GOOD | {"entries": [{"largest_feasible_batch": 10**400}]}).encode(),
    "nan": b'{"schema": "autofit/profile/2", "fingerprint": NaN}',
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "unknown fields": json.dumps(GOOD | {"__class__": "os.system"}).encode(),
    "a hundred megabytes": b" " * 100_000_000,
}


@pytest.mark.whole
def test_twenty_hostile_profiles_are_twenty_warnings_and_a_normal_probe(profiles: Path) -> None:
    """A file from an untrusted source would end the probe, hang it, or be believed."""
    for name, content in HOSTILE.items():
        (profiles / f"{name.replace(' ', '-')}.json").write_bytes(content)
    view = RecordingView()
    report = probe(NETWORKS["MobileNetV2"], view, max_batch=6)
    assert len(HOSTILE) == 20
    for name in HOSTILE:
        assert sum(f"{name.replace(' ', '-')}.json" in line for line in view.messages) == 1, name
    assert (report.source, report.largest_feasible_batch) == ("measured", 6)
    aside = [path.name for path in profiles.iterdir() if path.suffix in {".damaged", ".newer"}]
    assert len(aside) == 20
    again = RecordingView()
    assert probe(NETWORKS["MobileNetV2"], again, max_batch=6).source == "profile"
    assert again.messages[0].startswith("starting from your profile of ")
