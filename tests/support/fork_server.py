"""A process that has imported TensorFlow and forks workers: a test's worker then starts in 0.1 s instead of 3.

The worker is the same: it reads the same `job.json`, holds the same pipe and lock, has a session of its own, and runs
`autofit.worker.__main__.main`. Only its imports are shared, so its resident memory is not that of a fresh process.
Tests of memory, of the start and of what a user sees therefore start theirs as users do. The others have the marker
`forked_workers`.

Run as a program (`fork_server.py SOCKET_FD`), this file is that process.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from autofit.process.launch import CONTROL_FD, PAYLOAD_FD, WORKER, StartedProcess, start_process
from autofit.protocol.job import Job, TrainJob, kernels_asked
from autofit.storage.run_directory import AttemptDirectory

READ_AT_IMPORT = ("CUDA", "KERAS", "LD_", "MALLOC", "OMP", "PYTHON", "TF_", "XLA")
"""The variables of these names count while Python, TensorFlow and Keras are loaded: a fork cannot change them."""
POLL_SECONDS = 0.01
MESSAGE_BYTES = 2**18


class ForkServer:
    """The client's side: starts the process, and asks it for workers."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._at_import = read_at_import(environment)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-P", __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        self._lock = threading.Lock()
        self._codes: dict[int, int] = {}

    def serves(self, environment: Mapping[str, str]) -> bool:
        """Whether a worker with this environment would find its imports made as it wants them."""
        return read_at_import(environment) == self._at_import

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        held: Sequence[int],
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> Forked:
        """Fork a worker; the arguments are those of `autofit.process.launch.start_process`."""
        request = {"folder": command[-1], "environment": dict(environment), "held": list(held)}
        with self._lock:
            files = [stdout.fileno(), stderr.fileno(), *held]
            socket.send_fds(self._socket, [json.dumps(request).encode()], files)
            while True:
                answer = json.loads(self._socket.recv(MESSAGE_BYTES))
                if "started" in answer:
                    return Forked(self, answer["started"])
                self._codes[answer["ended"]] = answer["code"]

    def code_of(self, pid: int, *, wait: bool) -> int | None:
        """How a worker ended, as `Popen.returncode` says it; None while it runs."""
        with self._lock:
            while pid not in self._codes and (wait or select.select([self._socket], [], [], 0)[0]):
                answer = json.loads(self._socket.recv(MESSAGE_BYTES))
                self._codes[answer["ended"]] = answer["code"]
            return self._codes.get(pid)

    def close(self) -> None:
        """End the process; its workers have ended before."""
        self._socket.close()
        self._process.wait()


class Forked:
    """A forked worker, with what autofit uses of `subprocess.Popen`."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.pid = pid

    def poll(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._server.code_of(self.pid, wait=False)

    def wait(self) -> int | None:
        """Wait until it has ended."""
        return self._server.code_of(self.pid, wait=True)


_servers: list[ForkServer] = []
start_fresh = start_process
"""As it was before a test replaced it."""


def start_worker(
    command: Sequence[str], environment: dict[str, str], held: Sequence[int], stdout: IO[bytes], stderr: IO[bytes]
) -> StartedProcess:
    """Do what `start_process` does: by a fork where its result is the same, else by a fresh start."""
    if tuple(command[:-1]) != WORKER or not _as_imported(environment, AttemptDirectory(Path(command[-1]))):
        return start_fresh(command, environment, held, stdout, stderr)
    if not _servers:
        _servers.append(ForkServer(environment))
        atexit.register(_servers[0].close)
    return _servers[0].start(command, environment, held, stdout, stderr)


def _as_imported(environment: Mapping[str, str], attempt: AttemptDirectory) -> bool:
    """Whether a worker with this environment and job finds what it would import, and is not judged by its size."""
    if _servers and not _servers[0].serves(environment):
        return False
    job = Job.load(attempt.job)
    planned = job.work.plan if isinstance(job.work, TrainJob) else None
    kernels = planned.kernels if planned else kernels_asked(environment)
    return job.memory.device == "cpu" and not job.memory.is_given and kernels == "eigen"


def read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a fork cannot change."""
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT)}


def serve(requests: socket.socket) -> None:
    """Fork a worker for each request, and say how it ended, until the client is gone."""
    while True:
        with contextlib.suppress(ChildProcessError):  # there is none
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended:
                requests.send(json.dumps({"ended": ended, "code": os.waitstatus_to_exitcode(status)}).encode())
        if not select.select([requests], [], [], POLL_SECONDS)[0]:
            continue
        message, descriptors, _flags, _address = socket.recv_fds(requests, MESSAGE_BYTES, 16)
        if not message:
            return
        pid = os.fork()
        if not pid:
            requests.close()
            be_worker(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(json.dumps({"started": pid}).encode())


def be_worker(request: dict[str, Any], descriptors: list[int]) -> None:
    """Become the worker of a request, and exit as `python -m autofit.worker` does."""
    from autofit.worker.__main__ import main  # noqa: PLC0415 - loaded by now

    code = 1
    try:
        os.setsid()
        stdout, stderr, *held = descriptors
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        numbers = {str(theirs): str(ours) for theirs, ours in zip(request["held"], held, strict=True)}
        environment = request["environment"]
        for name in {CONTROL_FD, PAYLOAD_FD} & set(environment):
            environment[name] = numbers[environment[name]]
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(request["folder"])
        sys.argv[1:] = [request["folder"]]
        code = main()
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - the interpreter would print it, and exit with 1
        traceback.print_exc()
    finally:
        os._exit(code)


def import_what_workers_do() -> None:
    """Load TensorFlow, Keras and the jobs, without one operation."""
    from autofit.worker.runtime import tf_settings  # noqa: PLC0415 - in this order, as in a worker

    tf_settings.before_import("cpu")
    tf_settings.import_keras(isolated=True)
    import autofit.worker.__main__  # noqa: PLC0415
    import autofit.worker.jobs.attempt  # noqa: PLC0415
    import autofit.worker.jobs.predict  # noqa: F401, PLC0415


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as client:
        import_what_workers_do()
        serve(client)
