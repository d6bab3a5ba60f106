"""Made-up small sizes of a network, as an estimate measures them."""

from __future__ import annotations

from typing import Any

from autofit.config.options import make_options
from autofit.probing.estimate import MeasuredLine
from autofit.protocol.messages import Trial, Verdict
from autofit.runs.model_source import workload

MB, GB = 10**6, 10**9
BASE_BYTES, IMAGE_BYTES, PROCESS_BYTES = 100 * MB, 10 * MB, 800 * MB
SIZES = (4, 16, 32, 64)


def measured_line(gaps: float = 1.0, sizes: tuple[int, ...] = SIZES, **options: Any) -> MeasuredLine:
    """A network whose tensors take 100 MB and 10 MB an image, times the gaps between them, in a process of 800 MB."""
    peaks = {size: BASE_BYTES + size * IMAGE_BYTES for size in sizes}
    trials = [
        Trial(
            batch_size=size,
            verdict=Verdict.FITS,
            peak_bytes=peak,
            arena_resident_bytes=round(gaps * peak),
            non_allocator_bytes=PROCESS_BYTES,
        )
        for size, peak in peaks.items()
    ]
    probed = workload(make_options(**options), 10)
    return MeasuredLine(workload=probed, limit_bytes=4 * GB, trials=trials, wall_seconds=1.0)
