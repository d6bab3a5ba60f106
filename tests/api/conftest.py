"""What the tests of `autofit.api` share: runs whose two stages, the probe and the attempts, are replaced.

Each `stages` knows what they were started with and says how they end; `train` and `interrupted` make runs over them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from autofit import api
from autofit.api.result import Result
from autofit.errors import AutofitError, InterruptedRunError
from autofit.probing.records import ProbeReport
from autofit.probing.request import ProbeRequest
from autofit.process.launch import Launcher
from autofit.protocol.messages import MemoryBudget, Trial, Verdict
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import RunDirectory
from tests.support.views import RecordingView


def _trial(size: int) -> Trial:
    return Trial(batch_size=size, verdict=Verdict.FITS, peak_bytes=10**9, fresh=True)


@dataclass
class Stages:
    """Stands for the two stages: what they were started with, and how they end."""

    ends: list[AutofitError | BaseException | None] = field(default_factory=list)
    largest: int = 64
    largest_in: dict[int, int] = field(default_factory=dict)  # where activations are computed again in so many segments
    failed: list[Trial] = field(default_factory=list)  # the trials where nothing fits
    probe_ends: list[BaseException] = field(default_factory=list)
    probes: list[tuple[ProbeRequest, Launcher]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)

    def prober(self, request: ProbeRequest, launcher: Launcher, view: Any) -> Any:
        """In place of `Prober`."""
        del view
        self.probes.append((request, launcher))
        return _Stage(lambda: self._probed(request))

    def supervisor(
        self, files: RunDirectory, record: RunRecord, memory: MemoryBudget, launcher: Launcher, **rest: Any
    ) -> Any:
        """In place of `Supervisor`."""
        self.runs.append({"files": files, "record": record, "memory": memory, "launcher": launcher, **rest})
        return _Stage(self._ended)

    def _probed(self, request: ProbeRequest) -> ProbeReport:
        if self.probe_ends:
            raise self.probe_ends.pop(0)
        largest = self.largest_in.get(request.workload.segments, self.largest)
        return ProbeReport(
            workload=request.workload,
            hardware={},
            non_allocator_bytes=400 * 10**6,
            memory_limit_bytes=request.memory.limit_bytes,
            limited_by=request.limited_by,
            max_batch=max(request.max_batch, largest),
            largest_feasible_batch=largest,
            recommended_batch=min(largest, 16),
            memory_model=None,
            trials=[_trial(largest)] if request.workload.segments in self.largest_in else self.failed,
            wall_seconds=1.0,
        )

    def _ended(self) -> AutofitError | None:
        end = self.ends.pop(0) if self.ends else None
        if isinstance(end, KeyboardInterrupt):
            raise end
        assert end is None or isinstance(end, AutofitError)
        return end


class _Stage:
    def __init__(self, run: Callable[[], Any]) -> None:
        self.run = run


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Stages:
    replaced = Stages()
    monkeypatch.setenv("AUTOFIT_PROFILES", str(tmp_path_factory.mktemp("profiles")))  # the probes of other tests
    monkeypatch.setattr("autofit.api.measure.Prober", replaced.prober)
    monkeypatch.setattr("autofit.api.supervision.Supervisor", replaced.supervisor)
    return replaced


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 2 x 100 photos, of one byte each, which nothing here decodes, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(100):  # without pathlib: hundreds of tests do this
            file = os.open(f"photos/{label}/{number}.jpg", os.O_WRONLY | os.O_CREAT, 0o644)
            os.write(file, b"x")
            os.close(file)
    return tmp_path / "photos"


class Train(Protocol):
    """See `train`."""

    def __call__(self, data: Any, run_dir: str | Path | None = "a", **given: Any) -> Result:
        """Run to the end, or to an error."""


class Interrupted(Protocol):
    """See `interrupted`."""

    def __call__(self, data: Any, **given: Any) -> str:
        """Leave an interrupted run, and return what its error said."""


Network = Callable[[tuple[int, int, int], int], Any]


@pytest.fixture
def view() -> RecordingView:
    return RecordingView()


@pytest.fixture
def network() -> Network:
    """A model function; it is never called here."""
    return lambda _input_shape, _num_classes: None


@pytest.fixture
def train() -> Train:
    """A run with a batch size, and so without a probe."""

    def train(data: Any, run_dir: str | Path | None = "a", **given: Any) -> Result:
        return api.run(data, run_dir=run_dir, **{"batch_size": 8, "view": RecordingView(), **given})

    return train


@pytest.fixture
def interrupted(stages: Stages, train: Train) -> Interrupted:
    """A run directory with an interrupted run, and what its error said."""

    def interrupted(data: Any, **given: Any) -> str:
        stages.ends = [InterruptedRunError("asked to stop")]
        with pytest.raises(InterruptedRunError) as raised:
            train(data, **given)
        return str(raised.value)

    return interrupted
