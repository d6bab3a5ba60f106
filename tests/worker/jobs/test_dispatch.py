"""From the exception that ends a job to a verdict."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autofit.config.learning_rates import fall_at_the_end
from autofit.protocol.job import Job, Outcome, TrialsJob
from autofit.protocol.messages import MemoryBudget, Verdict
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.jobs import dispatch
from autofit.worker.jobs.dispatch import _verdict_of
from autofit.worker.runtime.control_pipe import Requests

HEARTBEAT: Any = SimpleNamespace(epoch=2, step=1, micro_batch_size=8)


@pytest.mark.parametrize(
    ("said", "cause"),
    [("", "RuntimeError: RuntimeError"), (" \n", "RuntimeError: RuntimeError"), ("\n a \nb", "RuntimeError: a")],
)
def test_an_exception_has_a_verdict_whatever_it_says(said: str, cause: str) -> None:
    """A callback that raises with a blank message would end its worker without an outcome, and be tried three times."""
    assert _verdict_of(RuntimeError(said)) == (Verdict.CRASHED, cause)


def test_code_of_the_user_that_exits_has_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback that calls sys.exit() would end its worker without an outcome, and be tried three times."""

    def exits(*_: Any) -> None:
        raise SystemExit(3)

    monkeypatch.setattr(dispatch, "_dispatch", exits)
    job = SimpleNamespace(deterministic=True, source=None)
    found = dispatch._outcome(job, None, HEARTBEAT, None, None)  # type: ignore[arg-type]
    assert (found.verdict, found.cause, found.epoch) == (Verdict.CRASHED, "SystemExit: 3", 2)
    assert "in exits" in found.traceback


@pytest.mark.parametrize(
    ("rest", "cause"),
    [
        (
            "Detected at node l/Assert defined at (most recent call last):\n  File\n\nassertion failed: [x]\n\t [[l]]",
            "assertion failed: [x]",
        ),
        ("Detected at node l/Cast defined at (most recent call last):\n<stack traces unavailable>\nlost", "lost"),
        ("Detected at node l/Cast defined at (most recent call last):", "Graph execution error:"),
        ("", "Graph execution error:"),
    ],
)
def test_what_failed_in_a_compiled_function_is_told(rest: str, cause: str) -> None:
    """An assertion in a user's own layer would end the run with `Graph execution error:` and no word more."""
    error = RuntimeError(f"Graph execution error:\n\n{rest}")
    assert _verdict_of(error) == (Verdict.CRASHED, f"RuntimeError: {cause}")


SETS = TypeError("This optimizer was created with a `LearningRateSchedule` object, hence its rate is not settable.")
NOTHING = AttributeError("'NoneType' object has no attribute 'assign'", name="assign")
ASSIGNS = AttributeError("'EagerTensor' object has no attribute 'assign'", name="assign")


@pytest.mark.parametrize("falls", [True, False])
@pytest.mark.parametrize(
    ("error", "is_told"), [(SETS, True), (ASSIGNS, True), (NOTHING, False), (TypeError("settable"), False)]
)
def test_a_callback_that_sets_a_rate_that_falls_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *, is_told: bool, falls: bool
) -> None:
    """A resume with a callback would end in Keras's words about an optimizer that the user has not made."""

    def raises(*_: Any) -> None:
        raise error

    monkeypatch.setattr(dispatch, "_dispatch", raises)
    source = SimpleNamespace(rate_falls=(fall_at_the_end(10),) if falls else ())
    job = SimpleNamespace(deterministic=False, source=source)
    found = dispatch._outcome(job, None, HEARTBEAT, None, None)  # type: ignore[arg-type]
    if is_told and falls:
        assert found.verdict is Verdict.USER_ERROR
        assert found.cause.endswith("resume without that callback")
    else:
        assert (found.verdict, found.cause) == (Verdict.CRASHED, f"{type(error).__name__}: {error}")


@pytest.mark.slow
def test_a_job_in_the_users_process_leaves_their_keras_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook would go on in float32, and give its next layers names that its earlier ones have."""
    import keras  # noqa: PLC0415 - takes seconds

    attempt = AttemptDirectory(tmp_path)
    memory = MemoryBudget(device="cpu", limit_bytes=2**30, is_given=False, buffer_bytes=2**20)
    Job(attempt=1, source=None, memory=memory, isolated=False, work=TrialsJob()).save(attempt.job)
    monkeypatch.setattr(dispatch, "_outcome", lambda *_: Outcome(verdict=Verdict.COMPLETED))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert dispatch.run_job(attempt.path, Requests(), lambda: None) == 0
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
