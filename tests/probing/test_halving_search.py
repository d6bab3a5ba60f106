"""The search for a size of a small batch, from above."""

from __future__ import annotations

import pytest

from autofit.probing.halving_search import HalvingSearch
from autofit.protocol.messages import Trial, Verdict


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 15, 16, 31, 32, 100])
@pytest.mark.parametrize("most", [1, 8, 32])
def test_the_answer_ran_and_is_over_a_half_of_what_fits(limit: int, most: int) -> None:
    """A stage would begin with a size that does not fit, or far below; or each start cost a dozen processes."""
    search, asked = HalvingSearch(10**9, most), []
    while (trial := search.ask()) is not None:
        assert trial.fresh
        asked.append(trial.size)
        fits = trial.size <= limit
        verdict = Verdict.FITS if fits else Verdict.DEVICE_OOM
        search.tell(Trial(batch_size=trial.size, verdict=verdict, peak_bytes=trial.size * 10**6, fresh=True))
    fitting = [size for size in asked if size <= limit]
    assert search.answer == max(fitting, default=0)
    assert search.answer > min(limit, most) // 2 or limit == 0
    assert asked[0] == most
    assert len(asked) <= 6
    assert len(fitting) <= 1
