"""In which order a sweep's probes stand."""

from __future__ import annotations

from autofit.probing.recommend import recommended_speed, sweep_order
from autofit.probing.records import ProbeReport
from autofit.protocol.messages import Trial, Verdict
from tests.support.records import make_workload


def _probe(name: str, *speeds: float, fits: bool = True) -> ProbeReport:
    """A probe whose sizes 8, 16, 32… ran so fast; the first is recommended."""
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


def _names(probes: list[ProbeReport]) -> list[str]:
    return [probe.workload.backbone for probe in probes]


def test_the_fastest_at_its_recommended_batch_is_first() -> None:
    """The table's first row would not be what the machine does best."""
    probes = [_probe("slow", 10.0, 10.2), _probe("fast", 100.0), _probe("middle", 50.0, 52.0)]
    assert _names(sweep_order(probes)) == ["fast", "middle", "slow"]


def test_what_does_not_fit_is_last_and_stays_in_order() -> None:
    """A network of which not one image fits would stand above those that can be trained."""
    probes = [_probe("b", 0.0, fits=False), _probe("a", 0.0, fits=False), _probe("untimed", 0.0), _probe("c", 1.0)]
    assert _names(sweep_order(probes)) == ["c", "untimed", "b", "a"]


def test_equals_keep_the_order_they_were_asked_in() -> None:
    """The same sweep would be shown in another order each time."""
    assert _names(sweep_order([_probe(name, 5.0) for name in "cab"])) == ["c", "a", "b"]


def test_a_size_that_ran_twice_counts_as_its_best() -> None:
    """The speed shown would be another than the one that made the recommendation."""
    probe = _probe("twice", 10.0, 11.0)
    again = [*probe.trials, probe.trials[0].model_copy(update={"images_per_second": 10.6})]
    assert recommended_speed(probe.model_copy(update={"trials": again})) == 10.6


def test_a_probe_without_a_timing_has_no_speed() -> None:
    """An empty probe would end in an error about its order."""
    assert recommended_speed(_probe("none", 0.0, fits=False)) == 0.0
