"""Which precision a run computes in, if autofit may choose: decided by a measurement of both. Pure."""

from __future__ import annotations

from autofit.probing.evidence import CLEARLY_FASTER
from autofit.protocol.precision import PrecisionChoice, PrecisionComparison

FEATURE_TOLERANCE, SCORE_TOLERANCE, LOSS_TOLERANCE = 0.05, 0.05, 0.02
"""The largest relative difference of features, of scores before the softmax, and of a loss, from those in float32
(measurements: docs/decisions/0063)."""


def chosen_precision(found: PrecisionComparison) -> PrecisionChoice:
    """The 16-bit precision, if it is clearly faster and its results are within the tolerance; else float32."""
    speeds = f"{found.images_per_second:.1f} images/s, in float32 {found.float32_images_per_second:.1f}"
    name = found.precision
    is_faster = found.images_per_second > CLEARLY_FASTER * found.float32_images_per_second > 0
    if not is_faster:
        return PrecisionChoice(precision="float32", why=f"{name} is not clearly faster ({speeds})", comparison=found)
    known = []
    for what, verb, share, allowed in _differences(found):
        if share is not None and share > allowed:
            why = f"{what} in {name} {verb} by {share:.1%} from float32, more than {allowed:.0%}"
            return PrecisionChoice(precision="float32", why=why, comparison=found)
        known += [] if share is None else [f"{what} within {share:.1%}"]
    if found.feature_difference is None and found.score_difference is None:  # a loss alone is about ln(classes) in both
        return PrecisionChoice(precision="float32", why=f"no results of {name} could be compared", comparison=found)
    return PrecisionChoice(precision=name, why=f"{speeds}; {', '.join(known)} of float32", comparison=found)


def gives_the_same(found: PrecisionComparison) -> bool:
    """Whether everything that was compared is within the tolerance, whatever the speed."""
    shares = [(share, allowed) for *_, share, allowed in _differences(found) if share is not None]
    return bool(shares) and all(share <= allowed for share, allowed in shares)


def _differences(found: PrecisionComparison) -> tuple[tuple[str, str, float | None, float], ...]:
    """What was compared, the verb for it, its relative difference, and the difference that is allowed."""
    return (
        ("features", "differ", found.feature_difference, FEATURE_TOLERANCE),
        ("scores", "differ", found.score_difference, SCORE_TOLERANCE),
        ("the loss", "differs", found.loss_difference, LOSS_TOLERANCE),
    )
