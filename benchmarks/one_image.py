"""A limit under which one image does not fit with activations kept, and trains where they are computed again.

All layers train, from random weights. What a step with one image takes is measured both ways with room to spare, each
in a process of its own. Limits between the two are tried, the lowest first, until the image trains with activations
computed again: 20 steps, a validation, a checkpoint. Then it is tried with activations kept, under the same limit.

    python benchmarks/one_image.py --network ResNet50 --image-size 224

With `--tensors-mb` it is the other way round: under one limit, with so much of it for tensors, the largest square image
that trains alone, both ways. A network of convolutions has activations in proportion to its pixels, so the ratio of the
two is how much larger a network may be, by the bytes of its activations.

    python benchmarks/one_image.py --network MobileNetV2 --tensors-mb 300
"""

from __future__ import annotations

import argparse
import sys

from bisection import largest_that_fits
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

STEPS, QUICK_STEPS = 20, 3
SHARES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
"""Of the way from what is needed with activations computed again to what is needed with all kept."""

SIDE_STEP = 32


def one_image(network: str, side: int, segments: int, limit_bytes: int, beside_bytes: int, steps: int) -> Trial:
    """One image in a process of its own."""
    return run_alone(Case(network, side, "all", limit_bytes, beside_bytes, segments), 1, steps)


def row(network: str, side: int) -> list[str]:
    """One network, as a row of the table."""
    kept, again = (one_image(network, side, segments, AMPLE_BYTES, BESIDE_BYTES, 2) for segments in (0, SEGMENTS))
    images = image_buffer_bytes(1, (side, side))
    beside = max(kept.non_allocator_bytes, again.non_allocator_bytes) - images
    print(network, side, kept.peak_bytes, again.peak_bytes, beside, flush=True)
    tensors, under = 0, again
    for share in SHARES:
        tensors = round(again.peak_bytes + share * (kept.peak_bytes - again.peak_bytes))
        under = one_image(network, side, SEGMENTS, beside + images + tensors, beside, STEPS)
        print(f"    {tensors / 1e6:.0f} MB for tensors: {under.verdict} {under.cause}", flush=True)
        if fits(under):
            break
    limit = beside + images + tensors
    without = one_image(network, side, 0, limit, beside, STEPS)
    peaks = [f"{trial.peak_bytes / 1e6:.0f}" for trial in (kept, again)]
    found = ["fits" if fits(trial) else "out of memory" for trial in (without, under)]
    given = [f"{limit / GIGABYTE:.2f} GB", f"{tensors / 1e6:.0f}"]
    cells = [network, str(side), *peaks, *given, *found, f"{under.host_bytes / GIGABYTE:.2f} GB"]
    print(*cells, without.cause, flush=True)
    return cells


def fits(trial: Trial) -> bool:
    """Whether the image has trained."""
    return trial.verdict is Verdict.FITS


def largest_sides(network: str, tensors_mb: int, beside_bytes: int, near: int) -> list[str]:
    """The largest image that trains alone with activations kept, and computed again, as a row of the table."""
    found = []
    for segments in (0, SEGMENTS):

        def holds(steps_of_side: int, segments: int = segments) -> bool:
            side = steps_of_side * SIDE_STEP
            limit = beside_bytes + image_buffer_bytes(1, (side, side)) + tensors_mb * 10**6
            trial = one_image(network, side, segments, limit, beside_bytes, QUICK_STEPS)
            print(f"    {network} {side} px, {segments} segments: {trial.verdict} {trial.cause}", flush=True)
            return fits(trial)

        found.append(SIDE_STEP * largest_that_fits(holds, near // SIDE_STEP))
    kept, again = found
    ratio = (again / kept) ** 2 if kept else float("inf")
    return [network, f"{tensors_mb} MB", f"{kept} px", f"{again} px", f"{ratio:.2f}"]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", help="only these networks")
    parser.add_argument("--image-size", type=int, default=224, help="where to begin, with --tensors-mb")
    parser.add_argument("--tensors-mb", type=int, help="find the largest image under a limit with so much for tensors")
    parser.add_argument("--beside-mb", type=int, default=BESIDE_BYTES // 10**6, help="beside tensors and the image")
    asked = parser.parse_args()
    networks = asked.network or NETWORKS
    if asked.tensors_mb:
        header = ("network", "for tensors", "largest image kept", "again", "ratio of pixels")
        rows = [largest_sides(name, asked.tensors_mb, asked.beside_mb * 10**6, asked.image_size) for name in networks]
    else:
        header = (
            "network",
            "px",
            "peak kept, MB",
            "again, MB",
            "limit",
            "for tensors, MB",
            "kept",
            "again",
            "resident",
        )
        rows = [row(network, asked.image_size) for network in networks]
    print(f"\n{machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}; {today()}\n")
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
