"""Simulates workers that share shards by leases, and fail: how long all takes, and what is extracted in vain.

    python benchmarks/leases.py --images 1000000000 --workers 512

The decisions are those of `autofit/storage/leases.py`; time is simulated, and the failures follow from the seed.
"""

from __future__ import annotations

import argparse
import heapq
import random
from dataclasses import dataclass

from autofit.storage.leases import LEASE_SECONDS, RENEWALS, Seen, Sign, next_generation, observed


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    Attributes:
        shards: how many there are.
        shard_seconds: that a worker needs for one.
        workers: how many there are, each replaced after a failure.
        hours_between_failures: of one worker, on average.
        restart_seconds: from a failure until its successor begins.
        look_seconds: between two looks of a worker that waits.
        lease_seconds: of a lease.
    """

    shards: int
    shard_seconds: float
    workers: int
    hours_between_failures: float = 24.0
    restart_seconds: float = 300.0
    look_seconds: float = 2.0
    lease_seconds: float = LEASE_SECONDS


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        seconds: until the last shard was committed.
        failures: of workers.
        lost_seconds: of work on shards whose worker failed.
        twice: commits that another worker was before.
        efficiency: the seconds that the shards need, over those that all workers had.
    """

    seconds: float
    failures: int
    lost_seconds: float
    twice: int
    efficiency: float


@dataclass
class _Lease:
    generation: int
    begun: float
    until: float
    """When its owner failed or was done; renewals end then."""

    def sign(self, now: float, lease_seconds: float) -> Sign:
        """What an observer sees."""
        return Sign(self.generation, str(int((min(now, self.until) - self.begun) / (lease_seconds / RENEWALS))))


def simulate(setting: Setting, seed: int) -> Outcome:
    """Let the workers work until each shard is committed."""
    chance = random.Random(seed)
    free, leases, committed = list(range(setting.shards)), dict[int, _Lease](), set[int]()
    seen = [dict[int, Seen]() for _ in range(setting.workers)]
    rate = 1.0 / (setting.hours_between_failures * 3600.0)
    fails_at = [chance.expovariate(rate) for _ in range(setting.workers)]
    failures, lost, twice, now = 0, 0.0, 0, 0.0
    events: list[tuple[float, int, int | None]] = [(0.0, worker, None) for worker in range(setting.workers)]
    heapq.heapify(events)
    while len(committed) < setting.shards:
        now, worker, done = heapq.heappop(events)
        if done is not None:
            twice += done in committed
            committed.add(done)
            leases.pop(done, None)
        if now >= fails_at[worker]:  # it failed while it waited
            failures, fails_at[worker] = failures + 1, now + chance.expovariate(rate)
            seen[worker].clear()
            heapq.heappush(events, (now + setting.restart_seconds, worker, None))
            continue
        shard = free.pop() if free else _expired(leases, seen[worker], now, setting, worker)
        if shard is None:
            heapq.heappush(events, (now + setting.look_seconds, worker, None))
            continue
        ends = now + setting.shard_seconds
        before = leases[shard].generation if shard in leases else 0
        leases[shard] = _Lease(before + 1, now, min(ends, fails_at[worker]))
        if fails_at[worker] < ends:
            failures, lost = failures + 1, lost + fails_at[worker] - now
            back = fails_at[worker] + setting.restart_seconds
            fails_at[worker] += chance.expovariate(rate)
            seen[worker].clear()
            heapq.heappush(events, (back, worker, None))
        else:
            heapq.heappush(events, (ends, worker, shard))
    needed = setting.shards * setting.shard_seconds
    return Outcome(now, failures, lost, twice, needed / (now * setting.workers))


def _expired(leases: dict[int, _Lease], seen: dict[int, Seen], now: float, setting: Setting, worker: int) -> int | None:
    """A shard whose lease has shown no sign for its time, as this worker has seen it."""
    found = None
    for shard, lease in leases.items():
        seen[shard] = observed(seen.get(shard), lease.sign(now, setting.lease_seconds), now)
        if found is None and next_generation(seen[shard], now, setting.lease_seconds, str(worker)):
            found = shard
    return found


def main() -> None:
    """Print a line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10**8)
    parser.add_argument("--shards", type=int, default=256)
    parser.add_argument("--images-per-second", type=float, default=1000.0, help="of one worker")
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for workers in given.workers:
        seconds = given.images / given.shards / given.images_per_second
        look = max(2.0, seconds / 200)
        outcome = simulate(Setting(given.shards, seconds, workers, look_seconds=look), given.seed)
        print(
            f"{given.images:,} images, {given.shards:,} shards, {workers} workers: {outcome.seconds / 3600:.2f} h, "
            f"{outcome.failures} failures, {outcome.lost_seconds / 3600:.2f} h lost, {outcome.twice} twice, "
            f"efficiency {outcome.efficiency:.2f}"
        )


if __name__ == "__main__":
    main()
