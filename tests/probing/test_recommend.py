"""Tests of the choice of the fastest batch."""

from hypothesis import given
from hypothesis import strategies as st

from autofit.probing.recommend import recommended_batch
from autofit.protocol.messages import Trial, Verdict


def trial(batch_size: int, images_per_second: float, verdict: Verdict = Verdict.FITS) -> Trial:
    return Trial(batch_size=batch_size, verdict=verdict, images_per_second=images_per_second)


TRIALS = st.lists(
    st.builds(trial, st.integers(1, 4096), st.floats(0, 1e5), st.sampled_from([Verdict.FITS, Verdict.DEVICE_OOM]))
)


def test_fastest_wins_over_largest() -> None:
    """MobileNetV2's measured curve: recommending the largest would lose a fifth of the speed."""
    assert recommended_batch([trial(32, 149), trial(8, 110), trial(256, 120)], 256) == 32


def test_smaller_within_five_percent_wins() -> None:
    """The promise is the smallest within 5 %: 95 of 100 counts, 94.9 does not."""
    assert recommended_batch([trial(64, 100), trial(16, 95)], 64) == 16
    assert recommended_batch([trial(64, 100), trial(16, 94.9)], 64) == 64


def test_failed_trial_is_never_recommended() -> None:
    """A size that ran out of memory may have been fast until then."""
    assert recommended_batch([trial(64, 500, Verdict.DEVICE_OOM), trial(16, 90)], 16) == 16


def test_nothing_fits() -> None:
    """Zero is how a report says that not even one image fits."""
    assert recommended_batch([], 0) == 0
    assert recommended_batch([trial(1, 0, Verdict.HOST_OOM)], 0) == 0


def test_a_slightly_larger_size_that_was_timed_speaks_for_the_answer() -> None:
    """A profile's answer that is two images smaller today would lose its speed, and a slow size be recommended."""
    known = [trial(32, 100), trial(400, 200)]
    assert recommended_batch(known, 380) == 380
    assert recommended_batch(known, 340) == 32


@given(trials=TRIALS)
def test_recommendation_is_a_fitting_trial_and_the_first_fast_one(trials: list[Trial]) -> None:
    """For any trials: something that fits, within 5 % of the best, and nothing smaller is."""
    batch = recommended_batch(trials, 4096)
    speeds = [(t.batch_size, t.images_per_second) for t in trials if t.verdict is Verdict.FITS]
    fast = {size for size, speed in speeds if speed >= 0.95 * max(speed for _, speed in speeds)}

    assert batch == (min(fast) if fast else 0)
