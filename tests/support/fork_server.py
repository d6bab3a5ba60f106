"""Processes that have imported what workers need, and fork them: a test's worker then starts in 0.1 s instead of 3.

The worker is the same: it reads the same `job.json`, holds the same pipe and lock, has a session of its own, and runs
`autofit.worker.__main__.main`. Only its imports are shared, so its resident memory is not that of a fresh process, and
its parent is this process. Tests of memory, of the start and of what a user sees therefore start theirs as users do.
The others have the marker `forked_workers`; a command whose workers are forked runs under `tests/children/forking.py`.

There is one such process for `python -m autofit.worker`, and one for `tests/children/stub_worker.py`. All processes of
a test session share them, commands that tests start included. Run as a program, `fork_server.py SOCKET PROGRAM`, this
file is that process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from autofit.process.launch import CONTROL_FD, PAYLOAD_FD, WORKER, StartedProcess, start_process
from autofit.protocol.job import Job, TrainJob
from autofit.protocol.tf_choices import kernels_asked
from autofit.storage.locks import Lock, open_lock_file, wait_for_lock
from autofit.storage.run_directory import AttemptDirectory
from tests.support.paths import AUTOFIT_PATH, CHILDREN, load_child

FOLDER = "AUTOFIT_TEST_FORK_SERVERS"
"""The variable with the folder of a session's sockets. Its processes end when it is gone, or the session's first."""
OWNER = "owner"
"""The file there with the number of the session's first process."""
READ_AT_IMPORT = ("CUDA", "KERAS", "LD_", "MALLOC", "OMP", "OPENBLAS", "PYTHON", "TF_", "XLA")
"""The variables of these names count while Python, TensorFlow and Keras are loaded: a fork cannot change them."""
POLL_SECONDS = 0.01
LOOK_SECONDS = 1.0
START_SECONDS = 200.0
PROGRAMS = {"worker": WORKER, "stub": (sys.executable, "-P", str(CHILDREN / "stub_worker.py"))}
"""What may be forked: the command without its arguments."""
MESSAGE_BYTES = 2**18


class ForkServer:
    """The client's side: asks the process that listens at a path for workers."""

    def __init__(self, path: Path) -> None:
        self._socket = _connected(path)
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
        """End the connection; workers go on."""
        self._socket.close()


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
    """The session's process for this program and what its imports depend on; started by the first that asks."""
    name = hashlib.sha256(json.dumps([program, sorted(at_import)]).encode()).hexdigest()[:8]
    path = Path(os.environ[FOLDER]) / name
    lock = open_lock_file(path.with_suffix(".lock"))
    try:
        assert wait_for_lock(lock, START_SECONDS) is not Lock.BUSY
        if not path.exists():
            _start_server(path, program, at_import)
    finally:
        os.close(lock)
    server = ForkServer(path)
    atexit.register(server.close)
    return server


def _start_server(path: Path, program: str, at_import: frozenset[tuple[str, str]]) -> None:
    """Start the process, and wait until it listens."""
    with path.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(path), program],
            env=os.environ | dict(at_import),
            stdin=subprocess.DEVNULL,
            stdout=log,  # a pipe of ours would not end with us
            stderr=log,
            start_new_session=True,
        )
    until = time.monotonic() + START_SECONDS
    while not path.exists():
        assert process.poll() is None, path.with_suffix(".log").read_text()
        assert time.monotonic() < until, "the process that forks workers did not start"
        time.sleep(POLL_SECONDS)
    process.returncode = 0  # it outlives us, and Python would warn of that


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(str(path))
    return connection


def forked_by(parent: int) -> list[psutil.Process]:
    """The living workers that were forked for this process."""
    found = []
    for record in Path(os.environ[FOLDER]).glob(f"{parent}-*"):
        with contextlib.suppress(psutil.Error):
            worker = psutil.Process(int(record.name.partition("-")[2]))
            if worker.status() != psutil.STATUS_ZOMBIE:
                found.append(worker)
    return found


def forks_workers(process: psutil.Process) -> bool:
    """Whether this is such a process: a child of the command that needed it first, and used by all others."""
    try:
        return __file__ in process.cmdline()
    except psutil.Error:
        return False


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
    """The part of an environment that a fork cannot change; the autofit under test is imported in any case."""
    found = {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT)}
    return {name: value for name, value in found.items() if (name, value) != ("PYTHONPATH", AUTOFIT_PATH)}


class Listener:
    """The side of the process: forks a worker for each request, and says how it ended, until the session is over."""

    def __init__(self, path: Path, main: Callable[[], int]) -> None:
        self._path, self._main = path, main
        self._owner = int((path.parent / OWNER).read_text())
        self._clients: list[socket.socket] = []
        self._client_of: dict[int, socket.socket] = {}

    def serve(self) -> None:
        """Listen until the folder is gone, or the process that made it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            made = self._path.with_suffix(".new")
            listener.bind(str(made))
            listener.listen(64)
            made.rename(self._path)
            while self._is_wanted():
                until = time.monotonic() + LOOK_SECONDS
                while time.monotonic() < until:
                    self._tell_ends()
                    self._listen(listener)

    def _is_wanted(self) -> bool:
        return self._path.exists() and psutil.pid_exists(self._owner)

    def _listen(self, listener: socket.socket) -> None:
        for ready in select.select([listener, *self._clients], [], [], POLL_SECONDS)[0]:
            if ready is listener:
                self._clients.append(listener.accept()[0])
            else:
                self._answer(ready, listener)

    def _tell_ends(self) -> None:
        """Reap what has ended, and tell those who asked for it, if they are still there."""
        with contextlib.suppress(ChildProcessError):  # there is none
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                answer = {"ended": pid, "code": os.waitstatus_to_exitcode(status)}
                with contextlib.suppress(OSError):
                    self._client_of.pop(pid).send(json.dumps(answer).encode())

    def _answer(self, client: socket.socket, listener: socket.socket) -> None:
        """Fork a worker for a request; one without content is the end of the client."""
        try:
            message, descriptors, _flags, _address = socket.recv_fds(client, MESSAGE_BYTES, 16)
        except OSError:
            message, descriptors = b"", []
        if not message:
            self._clients.remove(client)
            client.close()
            return
        pid = os.fork()
        if not pid:
            for other in (listener, *self._clients):
                other.close()
            be_worker(self._main, json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        parent = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        (self._path.parent / f"{parent}-{pid}").touch()
        self._client_of[pid] = client
        with contextlib.suppress(OSError):  # it was killed meanwhile, and its worker sees that
            client.send(json.dumps({"started": pid}).encode())


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
    Listener(Path(sys.argv[1]), load()).serve()
