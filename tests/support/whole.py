"""`--whole`: every case is tried, where else a share of them is. Imported by conftest files."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--whole`, of `make test-faults` and `make test-oldest`."""
    parser.addoption("--whole", action="store_true", help="try every case, where else a share of them is tried")


def without_left_out(config: pytest.Config, items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests without those marked `whole`, unless all cases are tried."""
    left_out = [] if config.option.whole else [item for item in items if item.get_closest_marker("whole")]
    config.hook.pytest_deselected(items=left_out)
    return [item for item in items if item not in left_out]


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether to try all cases, and not only a share of them."""
    return bool(request.config.getoption("whole"))
