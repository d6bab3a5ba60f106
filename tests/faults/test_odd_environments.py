"""Odd homes, temporary folders, terminals and locales: all commands run in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.paths import AUTOFIT_PATH

pytestmark = pytest.mark.slow

PROMISE = 19
UNWRITABLE = "/proc/self"
"""A folder in which not even root can make a file."""

TRAIN = ["--model", "autofit.demo.network:digit_network", "--image-size", "32", "--epochs", "1", "--batch-size", "32"]

ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "a home that cannot be written": {"HOME": UNWRITABLE, "XDG_DATA_HOME": None, "XDG_CACHE_HOME": None},
    "no home": {"HOME": None, "XDG_DATA_HOME": None, "XDG_CACHE_HOME": None, "USER": None, "LOGNAME": None},
    "a full temporary folder": {},
    "no terminal": {"TERM": None, "COLUMNS": None},
    "a C locale": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "a closed stdin": {},
    "a profile for debugging beside a keras.py": {
        "PYTHONWARNINGS": "error",
        "PYTHONOPTIMIZE": "2",
        "PYTHONINSPECT": "1",
        "PYTHONPATH": f":{AUTOFIT_PATH}",
    },
    "profiles, caches and fonts that cannot be written": {
        "AUTOFIT_PROFILES": UNWRITABLE,
        "AUTOFIT_CACHE": UNWRITABLE,
        "MPLCONFIGDIR": UNWRITABLE,
    },
    "Python's development mode": {"PYTHONDEVMODE": "1", "PYTHONSAFEPATH": "1"},
}
HIDING = ("keras.py", "numpy.py", "random.py", "json.py")
"""Files in the working folder that have the name of a module."""


def commands(photos: Path, run: Path, *, whole: bool = True) -> list[list[str]]:
    """The five commands, or three: what the machine is, what the data are, a training, a prediction, a page."""
    all_five = [
        ["doctor"],
        ["check", str(photos), "--no-labels"],
        ["train", str(photos), *TRAIN, "--run-dir", str(run)],
        ["predict", str(run), str(next(photos.rglob("*.png")))],
        ["report", str(run)],
    ]
    return all_five if whole else all_five[::2]


@pytest.mark.parametrize(
    "odd",
    [pytest.param(odd, marks=() if odd == "a full temporary folder" else pytest.mark.whole) for odd in ENVIRONMENTS],
)
def test_the_commands_run(photos: Path, tmp_path: Path, count: Callable[..., None], odd: str, *, whole: bool) -> None:
    """A cluster's node, a container or a cron job would end with a traceback, or train and then lose the model."""
    changes = {"PYTHONPATH": AUTOFIT_PATH, "MPLCONFIGDIR": None} | ENVIRONMENTS[odd]
    environment = {name: value for name, value in (os.environ | changes).items() if value is not None}
    before: list[str] = []
    if odd == "a full temporary folder":
        before = inside_a_full_temporary_folder(tmp_path)
    if "keras.py" in odd:
        for name in HIDING:
            (tmp_path / name).write_text("raise SystemExit('imported from the working folder')")
    for arguments in commands(photos, tmp_path / "run", whole=whole):
        count(promise=PROMISE)
        command = [*before, sys.executable, "-m", "autofit", *arguments]
        if odd == "a closed stdin":
            command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=tmp_path,
            timeout=300,
            check=False,
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, (arguments[0], said[-2000:])
        assert "Traceback" not in said, (arguments[0], said[-2000:])
    assert (tmp_path / "run" / "model.keras").stat().st_size > 10_000
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


@pytest.mark.whole
@pytest.mark.parametrize(("redirected", "code"), [(">/dev/full 2>/dev/full", 4), (">&- 2>&-", 0)])
def test_streams_that_are_lost_cost_no_result(
    photos: Path, tmp_path: Path, count: Callable[..., None], redirected: str, code: int
) -> None:
    """A batch job whose log has no room would lose what it has trained, or say that all went well."""
    run = tmp_path / "run"
    network = ["--model", "autofit.demo.network:digit_network", "--image-size", "32"]
    all_commands = [
        *commands(photos, run),
        ["evaluate", str(run), str(photos)],
        ["export", str(run)],
        ["probe", *network, "--num-classes", "2", "--max-batch", "8", "--json", str(tmp_path / "probe.json")],
        ["estimate", *network, "--memory", "16GB", "--json", str(tmp_path / "estimate.json")],
        ["cache", "list"],
        ["profiles", "list"],
    ]
    for arguments in all_commands:
        count(promise=PROMISE)
        command = ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "autofit", *arguments]
        environment = os.environ | {"PYTHONPATH": AUTOFIT_PATH}
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, cwd=tmp_path, timeout=300, check=False
        )
        assert done.returncode == code, arguments
    for written in ("run/model.keras", "run/report.html", "run/model.tflite", "probe.json", "estimate.json"):
        assert (tmp_path / written).stat().st_size > 100, written


def inside_a_full_temporary_folder(tmp_path: Path) -> list[str]:
    """The beginning of a command in a mount namespace whose TMPDIR has room for a few bytes."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    script = f'mount -t tmpfs -o size=16k tmpfs {folder} && export TMPDIR={folder} && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this user may not mount a file system")
    return command
