"""Starting a worker in a process of its own, and what it inherits."""

from __future__ import annotations

import errno
import os
import pickle
import sys
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from autofit.errors import TrainingFailedError, UserError
from autofit.process.launch import NOT_INHERITED, WORKER, Exit, ProcessLauncher, import_paths_for
from autofit.protocol.messages import Request
from autofit.protocol.payload import Payload
from autofit.storage.run_directory import AttemptDirectory
from tests.support.paths import AUTOFIT_PATH
from tests.support.waiting import exit_of


def small_worker(code: str) -> ProcessLauncher:
    return ProcessLauncher([sys.executable, "-S", "-c", code])


def descriptors() -> list[str]:
    return sorted(str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())


@pytest.fixture
def attempt(tmp_path: Path) -> AttemptDirectory:
    return AttemptDirectory(tmp_path)


def printed(attempt: AttemptDirectory, code: str, payload: Payload | None = None) -> str:
    """What a worker of this code prints, told nothing."""
    worker = small_worker(code).launch(attempt, payload, None)
    try:
        assert exit_of(worker) == Exit(0), attempt.stderr.read_text()
    finally:
        worker.close()
    return attempt.stdout.read_text()


def test_the_worker_is_a_module_and_imports_nothing_from_where_it_starts() -> None:
    """A `numpy.py` in a run directory, which may come from an untrusted source, would be run."""
    expected = (sys.executable, "-P", "-m", "autofit.worker")
    assert expected == WORKER


def test_a_worker_stands_alone(attempt: AttemptDirectory) -> None:
    """A Ctrl-C in the terminal would reach it in the middle of a step, and a read from stdin would wait for ever."""
    session, group, folder, given = printed(
        attempt,
        "import os, sys; print(os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid(), os.getcwd(), sys.argv[1])",
    ).split()
    assert (session, group) == ("True", "True")
    assert Path(folder) == Path(given) == attempt.path
    assert printed(attempt, "import sys; assert sys.stdin.read() == ''")


def test_a_worker_finds_what_the_parent_finds(attempt: AttemptDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative PYTHONPATH means another folder where the worker starts: autofit itself would not be found."""
    monkeypatch.chdir(attempt.path.parent)
    code = "import os; print(os.environ.get('PYTHONPATH'), os.environ['KERAS_BACKEND'], end=' ')"
    for given, expected in ((".", str(attempt.path.parent)), ("x:/y", f"{attempt.path.parent}/x:/y"), ("", "")):
        attempt.stdout.unlink(missing_ok=True)
        monkeypatch.setenv("PYTHONPATH", given)
        assert printed(attempt, code) == f"{expected} tensorflow "


def test_no_file_in_pythonpath_hides_a_module_from_a_worker(
    attempt: AttemptDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `keras.py` of the user's, or in the folder that an empty entry means, would be imported in place of Keras."""
    folder = attempt.path.parent
    (folder / "hiding").mkdir()
    (folder / "hiding" / "keras.py").touch()
    (folder / "source" / "keras").mkdir(parents=True)
    (folder / "source" / "keras" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", f":{folder / 'hiding'}:{folder / 'source'}:{AUTOFIT_PATH}")
    code = "import os; print(os.environ['PYTHONPATH'], os.environ['AUTOFIT_LATER_PATHS'], end='')"
    assert printed(attempt, code) == f"{folder / 'source'}:{AUTOFIT_PATH} {folder / 'hiding'}"


def test_nothing_is_inherited_by_chance(attempt: AttemptDirectory, tmp_path: Path) -> None:
    """A worker that holds the parent's own end of the pipe never sees that the parent is gone."""
    open_ones = "[fd for fd in range(3, 256) if os.path.lexists(f'/proc/self/fd/{fd}')]"
    code = f"import os; print({open_ones}, os.environ['AUTOFIT_CONTROL_FD'])"
    with (tmp_path / "open").open("w") as other:
        os.set_inheritable(other.fileno(), True)
        inherited, _, control = printed(attempt, code).rpartition(" ")
    assert inherited == f"[{control.strip()}]"


def test_requests_arrive_in_their_order_and_the_end_is_seen(attempt: AttemptDirectory) -> None:
    """A worker that misses the end of its pipe outlives its parent."""
    worker = small_worker(
        "import os; print(*os.fdopen(int(os.environ['AUTOFIT_CONTROL_FD'])), sep='', end='END')"
    ).launch(attempt, None, None)
    requests = [Request(trial=8), Request(trial=16), Request(leave="interrupted")]
    for request in requests:
        worker.send(request)
    os.close(worker._control)  # type: ignore[attr-defined]  # what the kernel does when the parent dies
    exit_of(worker)
    worker._control = -1  # type: ignore[attr-defined]
    lines = attempt.stdout.read_text().splitlines()
    assert [Request.model_validate_json(line) for line in lines[:-1]] == requests
    assert lines[-1] == "END"


def test_a_request_to_a_worker_that_is_gone_is_ignored(attempt: AttemptDirectory) -> None:
    """A worker that ends at the moment it is asked for something would end its parent."""
    worker = small_worker("").launch(attempt, None, None)
    exit_of(worker)
    worker.send(Request(trial=1))
    worker.kill()
    worker.close()
    worker.send(Request(trial=1))
    worker.kill()
    worker.close()
    assert worker.poll() == Exit(0)


def test_a_killed_worker_is_dead_when_kill_returns(attempt: AttemptDirectory) -> None:
    """The next attempt would start while the last one still holds its memory."""
    worker = small_worker("import time; time.sleep(60)").launch(attempt, None, None)
    assert worker.poll() is None
    worker.kill()
    ended = worker.poll()
    assert ended
    assert ended.signal_name == "SIGKILL"
    worker.close()


@pytest.mark.parametrize("command", [("/nowhere/python",), (__file__,), ("",)])
def test_a_worker_that_cannot_be_started_is_one_line(attempt: AttemptDirectory, command: tuple[str, ...]) -> None:
    """A Python that was removed under a running notebook would end in a traceback, with two open files left."""
    before = descriptors()
    with pytest.raises(
        TrainingFailedError, match=r"^the worker cannot be started \(.*: .+\): start Python anew"
    ) as caught:
        ProcessLauncher(command).launch(attempt, Payload(len), None)
    assert "\n" not in str(caught.value)
    assert descriptors() == before


class Unpicklable:
    """Refuses to be sent, in two lines."""

    def __reduce__(self) -> NoReturn:
        raise RuntimeError("two\nlines")


@pytest.mark.parametrize("thing", [Unpicklable(), threading.Lock(), sys.stdout])
def test_what_cannot_leave_the_process_is_refused_in_one_line(attempt: AttemptDirectory, thing: object) -> None:
    """A callback that holds a lock or a file would end in a traceback of cloudpickle's own."""
    before = descriptors()
    with pytest.raises(
        UserError, match=r"^model or callbacks cannot be sent to the worker \(.*use isolation='inline'$"
    ):
        small_worker("").launch(attempt, Payload(callbacks=(thing,)), None)
    assert descriptors() == before
    assert not attempt.stdout.exists()


def with_a_local_metaclass() -> type:
    """A base class as MLflow's callback is one."""

    class Meta(type):
        """A class of classes that no module has."""

    return Meta("Base", (), {})


def test_a_class_with_a_metaclass_that_no_module_has_is_refused(
    attempt: AttemptDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subclass of MLflow's callback, from a notebook, would end in the worker, as a conflict of metaclasses."""
    own = type("OneRun", (with_a_local_metaclass(),), {})
    monkeypatch.setattr(own, "__module__", "__main__")
    with pytest.raises(UserError, match=r"^the callback OneRun cannot be sent to the worker: .*define it in a module"):
        small_worker("").launch(attempt, Payload(callbacks=(own(),)), None)
    assert not attempt.stdout.exists()


def test_a_payload_crosses_by_value_and_leaves_no_file(attempt: AttemptDirectory) -> None:
    """A function from a notebook cell has no module to import it from; and its pickle must not outlive the parent."""
    code = "import os, shutil; shutil.copyfileobj(open(int(os.environ['AUTOFIT_PAYLOAD_FD']), 'rb'), open(1, 'wb'))"
    worker = small_worker(code).launch(attempt, Payload(lambda shape, classes: (shape, classes)), None)
    exit_of(worker)
    worker.close()
    payload = pickle.loads(attempt.stdout.read_bytes())  # noqa: S301 - our own
    assert payload.model(1, 2) == (1, 2)
    assert sorted(path.name for path in attempt.path.iterdir()) == ["stderr.log", "stdout.log"]


def test_a_signal_has_a_name() -> None:
    """An exit code of -9 says nothing to a person."""
    assert [Exit(code).signal_name for code in (0, 1, -9, -11, -64)] == [None, None, "SIGKILL", "SIGSEGV", "SIGRTMAX"]
    assert Exit(-50).signal_name == "signal 50"


def test_the_users_own_modules_are_looked_for_last_and_only_where_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without a function of the user's own has no business in the user's folder."""
    monkeypatch.setattr(sys, "path", ["", "/a", str(tmp_path), "/a"])
    assert import_paths_for(function_given=False, working_folder=tmp_path) == []
    assert import_paths_for(function_given=True, working_folder=tmp_path) == [str(tmp_path), "/a"]


def test_a_payload_needs_no_file_in_memory(attempt: AttemptDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel or a sandbox without memfd_create would take no function and no callbacks."""

    def refuse(_: str) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "memfd_create", refuse)
    code = "import os; print(len(os.fdopen(int(os.environ['AUTOFIT_PAYLOAD_FD']), 'rb').read()) > 0)"
    assert printed(attempt, code, Payload(dict)) == "True\n"


@pytest.mark.parametrize("name", NOT_INHERITED)
def test_what_is_for_a_session_at_the_keyboard_is_kept_from_workers(
    attempt: AttemptDirectory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """PYTHONINSPECT would keep a finished worker from ending, and a broken MPLBACKEND end it."""
    monkeypatch.setenv(name, "1")
    assert printed(attempt, f"import os; print({name!r} in os.environ)") == "False\n"
