"""Which programs have taken memory since a moment: real ones."""

from __future__ import annotations

import subprocess
import sys

import psutil

from autofit.machine.host_others import begun_since

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
