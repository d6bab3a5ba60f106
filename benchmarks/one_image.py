"""A limit under which one image does not fit with activations kept, and trains where they are computed again.

All layers train, from random weights. What a step with one image takes is measured both ways with room to spare, each
in a process of its own; the limit lies between the two. Then both run under it: 20 steps, a validation, a checkpoint.

    python benchmarks/one_image.py --network ResNet50 --image-size 224
"""

from __future__ import annotations

import argparse
import sys

from machine import GIGABYTE, machine, today, versions
from markdown_table import markdown_table
from true_maximum import Case, run_alone

from autofit.config.batch_schedule import image_buffer_bytes
from autofit.protocol.messages import Trial, Verdict

NETWORKS = ("ResNet50", "EfficientNetB0", "MobileNetV2")
SEGMENTS = 8
AMPLE_BYTES = 4 * 10**9
BESIDE_BYTES = 1_100 * 10**6
"""Beside tensors, where there is room to spare: more than a process was seen to take."""

STEPS = 20


def one_image(network: str, side: int, segments: int, limit_bytes: int, beside_bytes: int, steps: int) -> Trial:
    """One image in a process of its own."""
    return run_alone(Case(network, side, "all", limit_bytes, beside_bytes, segments), 1, steps)


def row(network: str, side: int) -> list[str]:
    """One network, as a row of the table."""
    kept, again = (one_image(network, side, segments, AMPLE_BYTES, BESIDE_BYTES, 2) for segments in (0, SEGMENTS))
    images = image_buffer_bytes(1, (side, side))
    beside = max(kept.non_allocator_bytes, again.non_allocator_bytes) - images
    limit = beside + images + (kept.peak_bytes + again.peak_bytes) // 2
    under = [one_image(network, side, segments, limit, beside, STEPS) for segments in (0, SEGMENTS)]
    peaks = [f"{trial.peak_bytes / 1e6:.0f}" for trial in (kept, again)]
    found = ["fits" if trial.verdict is Verdict.FITS else "out of memory" for trial in under]
    cells = [
        network,
        str(side),
        *peaks,
        f"{limit / GIGABYTE:.2f} GB",
        *found,
        f"{under[1].host_bytes / GIGABYTE:.2f} GB",
    ]
    print(*cells, under[1].cause, flush=True)
    return cells


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", help="only these networks")
    parser.add_argument("--image-size", type=int, default=224)
    asked = parser.parse_args()
    rows = [row(network, asked.image_size) for network in asked.network or NETWORKS]
    print(f"\n{machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}; {today()}\n")
    print(markdown_table(("network", "px", "peak kept, MB", "again, MB", "limit", "kept", "again", "resident"), rows))


if __name__ == "__main__":
    main()
