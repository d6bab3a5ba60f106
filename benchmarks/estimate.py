"""How near `autofit estimate` comes to the probe: a network under a limit on this machine, both from nothing.

An estimate measures a network once, for all limits; a probe runs its answer under each. What counts is the ratio of the
two sizes. Each is a whole process without profiles, and keeps all activations, as an estimate does.

    python benchmarks/estimate.py --json estimate.json     # goes on where it was stopped
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from machine import machine, today, versions
from markdown_table import markdown_table

CASES = [
    ("MobileNet", 96, "head", ("1.5GB", "2.5GB")),
    ("MobileNetV2", 128, "all", ("1.5GB", "3GB")),
    ("EfficientNetB0", 96, "all", ("2GB", "3GB")),
    ("ResNet50", 96, "head", ("1.2GB", "2GB")),
    ("ResNet50", 128, "all", ("2GB", "3GB")),
    ("MobileNetV2", 224, "head", ("1.5GB", "2.5GB")),
]
"""Networks with the side of their images in pixels, what trains, and the limits: five of them over twelve cases."""

Row = dict[str, Any]


def autofit(command: str, network: str, side: int, trains: str, rest: Sequence[str]) -> tuple[dict[str, Any], float]:
    """The JSON that a command of autofit writes, and the seconds that it took."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        given = ["--backbone", network, "--image-size", str(side), "--trainable", trains, "--no-profile"]
        program = [sys.executable, "-m", "autofit", command, *given, *rest, "--json", str(file)]
        began = time.monotonic()
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.loads(file.read_text(encoding="utf-8")), time.monotonic() - began


def estimates(network: str, side: int, trains: str, limits: Sequence[str]) -> Iterable[Row]:
    """One row for each limit, without the probe's answer."""
    found, seconds = autofit(
        "estimate", network, side, trains, ["--weights", "none", "--device", "cpu", "--memory", ",".join(limits)]
    )
    for limit, one in zip(limits, found["estimates"], strict=True):
        yield {
            "network": network,
            "side": side,
            "trains": trains,
            "limit": limit,
            "estimate": one["largest_batch"],
            "estimate_seconds": seconds,
        }


def probed(row: Row) -> Row:
    """The row with the probe's answer under its limit."""
    rest = ["--weights", "none", "--memory-limit", row["limit"], "--recompute", "off"]
    found, seconds = autofit("probe", row["network"], row["side"], row["trains"], rest)
    return row | {"probe": found["largest_feasible_batch"], "probe_seconds": seconds}


def table(rows: Iterable[Row]) -> str:
    """The rows in Markdown."""
    header = ("network", "px", "trains", "limit", "estimate", "probe", "ratio")
    return markdown_table(header, [_cells(row) for row in rows])


def _cells(row: Row) -> list[str]:
    ratio = row["estimate"] / row["probe"]
    size, found = f"{row['estimate']:,}", f"{row['probe']:,}"
    return [row["network"], str(row["side"]), row["trains"], row["limit"], size, found, f"{ratio:.3f}"]


def main() -> None:
    """Measure what the file does not hold yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("estimate.json"), help="keeps what is measured")
    file = parser.parse_args().json
    rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    done = {(row["network"], row["side"], row["trains"], row["limit"]) for row in rows}
    for network, side, trains, limits in CASES:
        left = [limit for limit in limits if (network, side, trains, limit) not in done]
        for row in estimates(network, side, trains, left) if left else ():
            rows.append(probed(row))
            print(_cells(rows[-1]), flush=True)
            file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(f"\n{machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}; {today()}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
