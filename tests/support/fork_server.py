"""Processes that have imported what workers need, and fork them: a test's worker then starts in 0.1 s instead of 3.

The worker is the same: it reads the same `job.json`, holds the same pipe and lock, has a session of its own, and runs
`autofit.worker.__main__.main`. Only its imports are shared, so its resident memory is not that of a fresh process.
Tests of memory, of the start and of what a user sees therefore start theirs as users do. The others have the marker
`forked_workers`.

There is one such process for `python -m autofit.worker`, and one for `tests/children/stub_worker.py`. Run as a program,
`fork_server.py SOCKET_FD PROGRAM`, this file is that process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from autofit.process.launch import CONTROL_FD, PAYLOAD_FD, WORKER, StartedProcess, start_process
from autofit.protocol.job import Job, TrainJob, kernels_asked
from autofit.storage.run_directory import AttemptDirectory
from tests.support.paths import CHILDREN, load_child

READ_AT_IMPORT = ("CUDA", "KERAS", "LD_", "MALLOC", "OMP", "OPENBLAS", "PYTHON", "TF_", "XLA")
"""The variables of these names count while Python, TensorFlow and Keras are loaded: a fork cannot change them."""
POLL_SECONDS = 0.01
PROGRAMS = {"worker": WORKER, "stub": (sys.executable, "-P", str(CHILDREN / "stub_worker.py"))}
"""What may be forked: the command without its arguments."""
MESSAGE_BYTES = 2**18


class ForkServer:
    """The client's side: starts the process, and asks it for workers."""

    def __init__(self, program: str, environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-P", __file__, str(theirs.fileno()), program]
            self._process = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        self._lock = threading.Lock()
        self._codes: dict[int, int] = {}

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        held: Sequence[int],
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> Forked:
        """Fork a worker with these arguments; the others are those of `autofit.process.launch.start_process`."""
        request = {"arguments": list(arguments), "environment": dict(environment), "held": list(held)}
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


start_fresh = start_process
"""As it was before a test replaced it."""


def start_worker(
    command: Sequence[str], environment: dict[str, str], held: Sequence[int], stdout: IO[bytes], stderr: IO[bytes]
) -> StartedProcess:
    """Do what `start_process` does: by a fork where its result is the same, else by a fresh start."""
    program = _program_of(command)
    if program is None:
        return start_fresh(command, environment, held, stdout, stderr)
    server = _server(program, frozenset(read_at_import(environment).items()))
    return server.start(command[len(PROGRAMS[program]) :], environment, held, stdout, stderr)


@functools.cache
def _server(program: str, at_import: frozenset[tuple[str, str]]) -> ForkServer:
    """The process for this program and what its imports depend on; it ends with ours."""
    server = ForkServer(program, os.environ | dict(at_import))
    atexit.register(server.close)
    return server


def _program_of(command: Sequence[str]) -> str | None:
    """Which program the command starts, if a fork does the same."""
    program = next((name for name, prefix in PROGRAMS.items() if tuple(command[: len(prefix)]) == prefix), None)
    return None if program == "worker" and not _as_imported(AttemptDirectory(Path(command[-1]))) else program


def _as_imported(attempt: AttemptDirectory) -> bool:
    """Whether a worker with this job finds what it would import, and is not judged by its size."""
    job = Job.load(attempt.job)
    planned = job.work.plan if isinstance(job.work, TrainJob) else None
    kernels = planned.kernels if planned else kernels_asked(os.environ)
    return job.memory.device == "cpu" and not job.memory.is_given and kernels == "eigen"


def read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a fork cannot change."""
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT)}


def serve(requests: socket.socket, main: Callable[[], int]) -> None:
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
            be_worker(main, json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(json.dumps({"started": pid}).encode())


def be_worker(main: Callable[[], int], request: dict[str, Any], descriptors: list[int]) -> None:
    """Become the worker of a request, and exit as the program does."""
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
        os.chdir(request["arguments"][-1])
        sys.argv[1:] = request["arguments"]
        code = main()
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - the interpreter would print it, and exit with 1
        traceback.print_exc()
    finally:
        os._exit(code)


def loaded_worker() -> Callable[[], int]:
    """The worker, with TensorFlow, Keras and the jobs imported, but without one operation."""
    from autofit.worker.runtime import tf_settings  # noqa: PLC0415 - in this order, as in a worker

    tf_settings.before_import("cpu")
    tf_settings.import_keras(isolated=True)
    import autofit.worker.jobs.attempt  # noqa: PLC0415
    import autofit.worker.jobs.predict  # noqa: F401, PLC0415
    from autofit.worker.__main__ import main  # noqa: PLC0415

    return main


def loaded_stub() -> Callable[[], int]:
    """The worker without TensorFlow."""
    main: Callable[[], int] = load_child("stub_worker").main
    return main


if __name__ == "__main__":
    load = {"worker": loaded_worker, "stub": loaded_stub}[sys.argv[2]]
    with socket.socket(fileno=int(sys.argv[1])) as client:
        serve(client, load())
