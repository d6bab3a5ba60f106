"""Starting a worker in a process of its own; and the interface that both launchers implement."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from autofit.errors import TrainingFailedError, UserError
from autofit.machine.process_limits import process_limits
from autofit.printable import one_line
from autofit.process.limit_causes import limit_words
from autofit.protocol.messages import Request, Verdict
from autofit.protocol.payload import Payload
from autofit.shadowing import shadows_in
from autofit.storage.run_directory import AttemptDirectory, writing_in
from autofit.storage.system_errors import explained, reason, remedy

CONTROL_FD = "AUTOFIT_CONTROL_FD"
PAYLOAD_FD = "AUTOFIT_PAYLOAD_FD"
LATER_PATHS = "AUTOFIT_LATER_PATHS"
"""Folders of PYTHONPATH that hold files named like modules that a worker needs: the worker searches them last."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The exit of a worker, as its parent sees it: `code` as `Popen.returncode` gives it, negative for a signal."""

    code: int

    @property
    def signal_name(self) -> str | None:
        """The name of the signal that ended it, such as `SIGKILL`."""
        if self.code >= 0:
            return None
        try:
            return signal.Signals(-self.code).name
        except ValueError:
            return f"signal {-self.code}"


class StartedProcess(Protocol):
    """The part of `subprocess.Popen` that is used; tests have an implementation that starts faster."""

    @property
    def pid(self) -> int:
        """The process's number, and that of its process group."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""

    def wait(self) -> int | None:
        """Wait for its end."""


class Worker(Protocol):
    """A worker that was started."""

    def poll(self) -> Exit | None:
        """How it ended, or None while it runs."""

    def send(self, request: Request) -> None:
        """Send it a request; ignored if it has ended."""

    def kill(self) -> None:
        """End it at once, with everything that it started."""

    def close(self) -> None:
        """End it if it still runs, and release what this process holds for it."""


class Launcher(Protocol):
    """Starts workers. The supervisor cannot tell one launcher from another."""

    isolated: bool

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Start a worker on the attempt's `job.json`.

        Raises:
            UserError: the payload cannot leave this process.
            StorageError: the attempt's folder cannot be written.
            TrainingFailedError: the worker cannot be started.
        """


OF_LIMITS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}
"""Errors of starting a process that a limit causes: restarting Python would not help."""

WORKER = (sys.executable or "python3", "-P", "-m", "autofit.worker")


class ProcessLauncher:
    """The default: a fresh interpreter in a session of its own, so that whatever kills it does not kill us.

    It is never forked (a notebook may have initialized CUDA) and never started through a shell. `-P` keeps the folder
    that it starts in, where a `numpy.py` may lie, out of its import path.
    """

    isolated = True

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self._command = command

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Start `python -P -m autofit.worker ATTEMPT_DIR`."""
        try:
            control_read, control_write = os.pipe()
        except OSError as error:
            raise _not_started(error) from error
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as if_it_fails:
            ours.callback(os.close, control_read)
            if_it_fails.callback(os.close, control_write)
            inherited = {CONTROL_FD: control_read}
            if payload is not None:
                inherited[PAYLOAD_FD] = ours.enter_context(_anonymous_file(_pickled(payload))).fileno()
            with writing_in(attempt.path):
                stdout = ours.enter_context(attempt.stdout.open("ab"))
                stderr = ours.enter_context(attempt.stderr.open("ab"))
            process = self._start(attempt, inherited, lock_fd, stdout, stderr)
            if_it_fails.pop_all()
        return _ProcessWorker(process, control_write)

    def _start(
        self,
        attempt: AttemptDirectory,
        inherited: dict[str, int],
        lock_fd: int | None,
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> StartedProcess:
        environment = _environment() | {name: str(fd) for name, fd in inherited.items()}
        held = [*inherited.values(), *([] if lock_fd is None else [lock_fd])]
        try:
            return start_process([*self._command, str(attempt.path)], environment, held, stdout, stderr)
        except OSError as error:
            raise _not_started(error, self._command[0]) from error


def _not_started(error: OSError, program: str = "pipe") -> TrainingFailedError:
    why = f"the worker cannot be started ({program}: {reason(error)})"
    words = limit_words(Verdict.CRASHED, why, "", process_limits(), memory_is_full=False)
    limit = remedy(error) if error.errno in OF_LIMITS else None
    return TrainingFailedError(f"{why}: {words or limit or 'start Python anew, or use isolation=' + repr('inline')}")


def start_process(
    command: Sequence[str], environment: dict[str, str], held: Sequence[int], stdout: IO[bytes], stderr: IO[bytes]
) -> StartedProcess:
    """Start a worker's command, whose last word is its attempt's folder, in a session of its own.

    Args:
        command: the program and its arguments.
        environment: all of its variables.
        held: descriptors that it inherits under the same numbers.
        stdout: the file to which its standard output is appended.
        stderr: the file to which its standard error is appended.

    Raises:
        OSError: it cannot be started.
    """
    return subprocess.Popen(
        command,
        cwd=command[-1],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=held,
        start_new_session=True,
    )


NOT_INHERITED = ("PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONSTARTUP", "PYTHONBREAKPOINT", "MPLBACKEND")
"""Variables that are meant for an interactive session: they could keep a worker from ending, or end it at a warning."""


def _environment() -> dict[str, str]:
    """The environment of a worker: this process's, with absolute import paths and TensorFlow as Keras's backend."""
    environment = {
        **{name: value for name, value in os.environ.items() if name not in NOT_INHERITED},
        "KERAS_BACKEND": "tensorflow",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # NVML's order, so that an index means the same GPU to both
    }
    if given := os.environ.get("PYTHONPATH"):  # its entries may be relative to the folder that we are in
        paths = [str(Path(entry).absolute()) for entry in given.split(os.pathsep) if entry]
        later = [path for path in paths if _hides_modules(path)]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path not in later)
        environment[LATER_PATHS] = os.pathsep.join(later)
    return environment


def _hides_modules(folder: str) -> bool:
    """Whether a folder of PYTHONPATH, other than autofit's own, has a file named like a module that a worker needs."""
    return folder != str(Path(__file__).parents[2]) and bool(shadows_in(folder, checkouts=False))


def _pickled(payload: Payload) -> bytes:
    """The payload pickled by value, which also works for what was defined in a notebook cell.

    Raises:
        UserError: it holds something that cannot leave this process.
    """
    import cloudpickle  # noqa: PLC0415 - only a run with a function or callbacks of its own needs it

    for kind in map(type, payload.callbacks):
        if _has_local_metaclass(kind):
            raise UserError(
                f"the callback {one_line(kind.__name__)} cannot be sent to the worker: its base has a metaclass that "
                f"no module has; define it in a module that can be imported, or use isolation='inline'"
            )
    try:
        return bytes(cloudpickle.dumps(payload))
    except Exception as error:  # whatever an object's own pickling raises
        why = one_line(error)
        raise UserError(f"model or callbacks cannot be sent to the worker ({why}): use isolation='inline'") from error


def _has_local_metaclass(kind: type) -> bool:
    """Whether a class cannot be unpickled in a worker because of its metaclass, as MLflow's callback.

    The class and its metaclass, which was made in a function, are sent by value, but the base class by name. So the
    worker's copy of the metaclass is not the metaclass of the base, and Python refuses such a class.
    """
    return kind.__module__ == "__main__" and "<locals>" in type(kind).__qualname__


def _anonymous_file(payload: bytes) -> IO[bytes]:
    """A file without a name, which the worker inherits; it disappears with the last process that has it open."""
    try:
        file = _file_in_memory() or tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        file.write(payload)
        file.flush()
        file.seek(0)
    except OSError as error:
        raise TrainingFailedError(explained(error, "model and callbacks cannot be given to the worker")) from error
    return file


def _file_in_memory() -> IO[bytes] | None:
    """A file in memory, which takes no space in the temporary folder; None if the system does not provide one."""
    with contextlib.suppress(AttributeError, OSError):
        return os.fdopen(os.memfd_create("autofit-payload"), "w+b")
    return None


class _ProcessWorker:
    def __init__(self, process: StartedProcess, control: int) -> None:
        self._process = process
        self._control = control

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> Exit | None:
        code = self._process.poll()
        return None if code is None else Exit(code)

    def send(self, request: Request) -> None:
        with contextlib.suppress(OSError):  # it has ended, or was closed
            os.write(self._control, (request.model_dump_json() + "\n").encode())

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self._control >= 0:
            self._process.wait()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it has started."""
        if self._control >= 0:  # after close() the group's number may belong to other processes
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def close(self) -> None:
        """End it, and what it has started, which may have outlived it in its process group."""
        self.kill()
        if self._control >= 0:
            os.close(self._control)
            self._control = -1


def import_paths_for(*, function_given: bool, working_folder: Path) -> list[str]:
    """Folders in which the worker looks for a user's own module, after all others: none hides an installed package."""
    if not function_given:
        return []
    ours = [str(Path(entry or working_folder).resolve()) for entry in sys.path]
    return list(dict.fromkeys([str(working_folder.resolve()), *ours]))
