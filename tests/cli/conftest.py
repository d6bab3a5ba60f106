"""The fixtures of the tests of the command line."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from autofit import api
from autofit.demo import demo_run
from tests.cli.fake_api import Calls


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    for name in ("run", "resume", "probe", "sweep", "estimate", "write_report"):
        monkeypatch.setattr(api, name, calls.function(name))
    monkeypatch.setattr("autofit.demo.demo_run.run_demo", calls.function("run_demo", demo_run))
    return calls


@pytest.fixture(autouse=True)
def _signals_as_before() -> Any:
    before = {asked: signal.getsignal(asked) for asked in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for asked, handler in before.items():
        signal.signal(asked, handler)
