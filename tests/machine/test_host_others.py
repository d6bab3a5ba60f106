"""Which programs have taken memory since a moment: real ones."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from autofit.machine.cgroups import HOST_MEMORY, MemoryLeft
from autofit.machine.host_others import MUCH_BYTES, begun_since, taken_reader

MB = 10**6
TAKES = "import sys; held = b'x' * int(sys.argv[1]); print(len(held), flush=True); sys.stdin.read()"
STARTS = "import subprocess, sys; child = subprocess.Popen(sys.argv[1:], start_new_session=True); print(child.pid)"


def test_a_neighbour_is_found_and_our_own_are_not() -> None:
    """The run's own parent or worker would be named as the program that took its memory."""
    known = psutil.pids()
    taking = [sys.executable, "-c", TAKES, str(150 * MB)]
    with subprocess.Popen(taking, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ours:
        assert ours.stdout
        ours.stdout.readline()
        # its parent ends at once, so that it is no descendant of this process
        with subprocess.Popen(
            [sys.executable, "-c", STARTS, *taking], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as starter:
            assert starter.stdin
            assert starter.stdout
            told = sorted(int(starter.stdout.readline()) for _ in range(2))
            neighbour = next(number for number in told if number != 150 * MB)
            starter.wait()
            found = {process.pid: process for process in begun_since(known, 100 * MB)}
            starter.stdin.close()
        assert ours.pid not in found
        assert found[neighbour].resident_bytes >= 150 * MB
        assert "python" in found[neighbour].name
        assert neighbour not in {one.pid for one in begun_since([*known, neighbour], 100 * MB)}
        ours.communicate()


def test_what_we_hold_ourselves_was_not_taken_by_others() -> None:
    """Each worker of a probe that ran out of memory would be laid to a neighbour."""
    more_bytes, available_bytes = MUCH_BYTES + 100 * MB, 8000 * MB
    taken = taken_reader(available_bytes, lambda: MemoryLeft(available_bytes - more_bytes, HOST_MEMORY))
    held = b"x" * more_bytes
    assert taken() == 0
    del held
    assert taken() == pytest.approx(more_bytes, rel=0.1)
