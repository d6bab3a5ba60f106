"""Tests of the straight line from batch to peak memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.probing.memory_model import UNBOUNDED_BATCH, MemoryModel, fit

MIB = 2**20
POINTS = st.lists(st.tuples(st.integers(1, 4096), st.integers(1, 10**12)), min_size=1, max_size=8)


def test_exact_line_is_found_again() -> None:
    """A least-squares formula with a slip in it would not return the line its points were taken from."""
    model = fit([(batch, 100 * MIB + 7 * MIB * batch) for batch in (4, 16, 128)])

    assert model.base_bytes == pytest.approx(100 * MIB)
    assert model.bytes_per_image == pytest.approx(7 * MIB)
    assert model.max_relative_error == pytest.approx(0, abs=1e-9)


def test_largest_sizes_weigh_most() -> None:
    """An unweighted fit would miss the limit where the network is a quarter below its small sizes' line."""
    points = [(4, 400), (16, 1600), (128, 9600), (256, 19200)]

    model = fit(points)

    assert model.predict(256) == pytest.approx(19200, rel=0.001)  # unweighted: 0.002 too low
    assert (
        model.max_relative_error == abs(model.predict(16) - 1600) / 1600
    )  # the size with the least weight has the largest error


def test_one_point_is_pessimistic_above_it() -> None:
    """A guessed base from a single size could send the second trial over the limit."""
    model = fit([(4, 1000)])

    assert model == MemoryModel(base_bytes=0.0, bytes_per_image=250.0, max_relative_error=0.0)
    assert model.predict(16) == 4000  # however much of the 1000 is really base, 16 images take no more than that


def test_the_same_size_twice_is_one_size() -> None:
    """Two runs of one size would divide by a spread of zero."""
    assert fit([(8, 900), (8, 1100)]) == MemoryModel(0.0, 125.0, max_relative_error=100 / 900)


def test_peaks_that_point_down_give_no_falling_line() -> None:
    """A falling line would predict that any batch fits."""
    model = fit([(16, 1000), (32, 900)])

    assert model.bytes_per_image > 0
    assert model.predict(64) > 900


def test_no_points_is_an_error_in_one_line() -> None:
    """A model of nothing would be used as if it were measured."""
    with pytest.raises(ValueError, match="at least one measured size"):
        fit([])


def test_nothing_fits_below_the_base() -> None:
    """A limit below the weights alone would be answered with a negative batch."""
    model = MemoryModel(base_bytes=1000.0, bytes_per_image=10.0, max_relative_error=0.0)

    assert [model.largest_batch(limit) for limit in (500, 1009, 1010, 1029)] == [0, 0, 1, 2]


def test_flat_line_has_a_finite_answer() -> None:
    """A network whose memory hardly depends on the batch would divide by zero."""
    assert fit([(4, 10**9), (16, 10**9 + 1)]).largest_batch(10**12) > 4096
    assert MemoryModel(0.0, 0.0, 0.0).largest_batch(10**30) > 4096


@given(points=POINTS)
def test_slope_is_never_negative_and_error_is_over_the_points(points: list[tuple[int, int]]) -> None:
    """Any measured peaks, however odd, must give a line that rises and knows its own error."""
    model = fit(points)

    assert model.bytes_per_image > 0
    assert model.max_relative_error == max(abs(model.predict(batch) - peak) / peak for batch, peak in points)


@given(points=POINTS.filter(lambda points: fit(points).bytes_per_image >= 1), limit_bytes=st.integers(1, 10**12))
def test_largest_batch_is_the_last_one_predicted_to_fit(points: list[tuple[int, int]], limit_bytes: int) -> None:
    """An off-by-one against `predict` would ask for a size that the model itself calls too large."""
    model = fit(points)
    batch = model.largest_batch(limit_bytes)
    slack_bytes = 1e-6 * (limit_bytes + abs(model.base_bytes) + model.bytes_per_image)

    assert batch == 0 or model.predict(batch) <= limit_bytes + slack_bytes
    assert batch == UNBOUNDED_BATCH or model.predict(batch + 1) > limit_bytes - slack_bytes
