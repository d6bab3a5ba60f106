"""What the exit of a worker says about the size that it was asked for."""

from __future__ import annotations

import pytest

from autofit.probing.trial_worker import trial_of_exit
from autofit.process.exit_classifier import ExitDiagnosis
from autofit.process.monitor import WorkerExit
from autofit.protocol.messages import Phase, Progress, Verdict


@pytest.mark.parametrize("phase", [None, *Phase])
def test_a_network_that_could_not_be_built_is_told_from_a_size_that_does_not_fit(phase: Phase | None) -> None:
    """All rungs would be tried for a network that fits on none, or none for one that needs them."""
    last = None if phase is None else Progress(time=0.0, phase=phase)
    diagnosis = ExitDiagnosis(Verdict.DEVICE_OOM, "full")
    trial = trial_of_exit(4, WorkerExit(diagnosis=diagnosis, outcome=None, last=last, events=(), wall_seconds=1.0))
    assert (trial.batch_size, trial.verdict, trial.cause) == (4, Verdict.DEVICE_OOM, "full")
    assert trial.was_building is (phase in {Phase.START, Phase.WEIGHTS, Phase.BUILD})
