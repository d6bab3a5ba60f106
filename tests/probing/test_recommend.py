"""Tests of the recommended batch and of the order of a sweep."""

from hypothesis import given
from hypothesis import strategies as st

from autofit.probing.recommend import recommended_batch, recommended_speed, speed_of, sweep_order
from autofit.probing.records import ProbeReport
from autofit.protocol.messages import Trial, Verdict
from tests.support.records import make_workload


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


def test_on_a_gpu_smaller_within_three_percent_wins() -> None:
    """On a GPU 96 of 100 images/s are a loss, and not the error of a timing."""
    assert recommended_batch([trial(2048, 100), trial(1024, 97)], 2048, device="gpu") == 1024
    assert recommended_batch([trial(2048, 100), trial(1024, 96.9)], 2048, device="gpu") == 2048


def test_a_size_that_takes_of_the_headroom_is_recommended_only_if_all_do() -> None:
    """A training would begin with a size that the next process on the card makes run out."""
    full, roomy = (
        trial(size, speed).model_copy(update={"peak_bytes": size}) for size, speed in ((100, 200), (90, 100))
    )
    assert recommended_batch([roomy, full], 100, keep_below_bytes=95) == 90
    assert recommended_batch([full], 100, keep_below_bytes=95) == 100


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


# The order of a sweep -------------------------------------------------------------------------------------------------


def make_probe(name: str, *speeds: float, fits: bool = True) -> ProbeReport:
    """A probe whose sizes 8, 16, 32… ran at these images/s; the first is recommended."""
    verdict = Verdict.FITS if fits else Verdict.DEVICE_OOM
    trials = [
        Trial(batch_size=8 << place, verdict=verdict, images_per_second=speed) for place, speed in enumerate(speeds)
    ]
    return ProbeReport(
        workload=make_workload(backbone=name),
        hardware={},
        memory_limit_bytes=10**9,
        limited_by="host memory",
        largest_feasible_batch=trials[-1].batch_size if fits else 0,
        recommended_batch=8 if fits else 0,
        memory_model=None,
        trials=trials,
        wall_seconds=1.0,
    )


def names(probes: list[ProbeReport]) -> list[str]:
    return [probe.workload.backbone for probe in probes]


def test_the_fastest_at_its_recommended_batch_is_first() -> None:
    """The table's first row would not be what the machine does best."""
    probes = [make_probe("slow", 10.0, 10.2), make_probe("fast", 100.0), make_probe("middle", 50.0, 52.0)]
    assert names(sweep_order(probes)) == ["fast", "middle", "slow"]


def test_probes_that_fit_nothing_are_last_and_keep_their_order() -> None:
    """A network that fits no image would be listed above those that can be trained."""
    probes = [
        make_probe("b", 0.0, fits=False),
        make_probe("a", 0.0, fits=False),
        make_probe("untimed", 0.0),
        make_probe("c", 1.0),
    ]
    assert names(sweep_order(probes)) == ["c", "untimed", "b", "a"]


def test_equally_fast_probes_keep_their_order() -> None:
    """The same sweep would be shown in another order each time."""
    assert names(sweep_order([make_probe(name, 5.0) for name in "cab"])) == ["c", "a", "b"]


def test_a_size_that_ran_twice_counts_as_its_best() -> None:
    """The shown speed would differ from the one that led to the recommendation."""
    probe = make_probe("twice", 10.0, 11.0)
    again = [*probe.trials, probe.trials[0].model_copy(update={"images_per_second": 10.6})]
    assert recommended_speed(probe.model_copy(update={"trials": again})) == 10.6


def test_a_probe_without_a_timing_has_no_speed() -> None:
    """A probe without timings would make sorting fail."""
    assert recommended_speed(make_probe("none", 0.0, fits=False)) == 0.0


def test_a_recommended_size_that_a_slightly_larger_one_timed_has_its_speed() -> None:
    """A network that starts from a profile, with a few images less today, would be the slowest of a sweep."""
    trials = [trial(16, 50), trial(372, 80), trial(400, 90), trial(365, 0)]
    assert [speed_of(size, trials) for size in (16, 365, 300)] == [50, 80, 0]
    moved = make_probe("moved", 50.0).model_copy(update={"recommended_batch": 365, "trials": trials})
    assert names(sweep_order([make_probe("slower", 60.0), moved])) == ["moved", "slower"]
