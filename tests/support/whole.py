"""`--whole`: every case is tried, where else a share of them is. Imported by conftest files."""

from __future__ import annotations

import pytest

FAULTS = "faults"
"""The folder whose tests all run where faults are tried, as each counts in the table at the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--whole`, of `make test-faults` and `make test-oldest`, and `--only-more`, of the former."""
    parser.addoption("--whole", action="store_true", help="try every case, where else a share of them is tried")
    parser.addoption("--only-more", action="store_true", help="leave out tests that --whole does not change")


def without_left_out(config: pytest.Config, items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests without those marked `whole`, unless all cases are tried; with `--only-more` without the others."""
    kept = [item for item in items if config.option.whole or item.get_closest_marker("whole") is None]
    if config.option.only_more:
        kept = [item for item in kept if tries_more(item)]
    config.hook.pytest_deselected(items=list(set(items).difference(kept)))
    return kept


def tries_more(item: pytest.Item) -> bool:
    """Whether `--whole` makes a test, or more of its cases, run; or it is one of the tests of faults."""
    asks = "whole" in getattr(item, "fixturenames", ())
    return asks or item.get_closest_marker("whole") is not None or item.path.parent.name == FAULTS


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether to try all cases, and not only a share of them."""
    return bool(request.config.getoption("whole"))
