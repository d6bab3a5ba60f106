"""Finds files of a user's that have the name of a module which autofit, or what it is built on, imports.

Python looks in the folder of a program, and in those of PYTHONPATH, before its own modules and the installed ones: a
`keras.py`, a `numpy.py` or a `random.py` there is imported instead, and ends whatever needs the real one with words
that do not name it. https://docs.python.org/3/tutorial/modules.html#the-module-search-path

Imports nothing that such a file could replace: `os` and `sys` are loaded before any of them is looked for, and
`autofit.errors` and `autofit.printable` import no more.
"""

from __future__ import annotations

import os
import sys

from autofit.errors import UserError
from autofit.printable import printable

PACKAGES = {
    "PIL": "pillow",
    "absl": "absl_py",
    "click": "click",
    "cloudpickle": "cloudpickle",
    "google": "protobuf",
    "h5py": "h5py",
    "keras": "keras",
    "keras_hub": "keras_hub",
    "matplotlib": "matplotlib",
    "ml_dtypes": "ml_dtypes",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "optree": "optree",
    "pandas": "pandas",
    "pillow_heif": "pillow_heif",
    "platformdirs": "platformdirs",
    "psutil": "psutil",
    "pydantic": "pydantic",
    "pynvml": "nvidia_ml_py",
    "rich": "rich",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "tensorflow": "tensorflow",
    "tf2onnx": "tf2onnx",
    "threadpoolctl": "threadpoolctl",
    "typer": "typer",
}
"""The packages that are imported, and the distributions that they come in, as the folders of their metadata begin."""

NEVER_IMPORTED = {"antigravity", "idlelib", "test", "this", "turtle", "turtledemo"}
"""Modules of Python's own that only people import."""

Shadow = tuple[str, str]
"""The name of a module, and the path of the file or folder that has it as well."""

_said: set[str] = set()


def shadows_in(folder: str, *, checkouts: bool = True) -> list[Shadow]:
    """The files and folders of a folder that have the name of a module which autofit needs.

    A package with its metadata beside it was installed there, and is the real one.

    Args:
        folder: its path.
        checkouts: whether a folder counts that has the name of a package: in a folder that PYTHONPATH names, it is its
            source.
    """
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return []
    installed = {name.lower() for name in names if name.endswith((".dist-info", ".egg-info"))}
    found = []
    for name in names:
        module, _, rest = name.partition(".")
        if module not in PACKAGES and module not in sys.stdlib_module_names - NEVER_IMPORTED:
            continue
        path = os.path.join(folder, name)  # noqa: PTH118 - pathlib itself may be hidden
        is_source = rest == "py" or rest.endswith(("so", "pyd"))
        is_package = (checkouts or module not in PACKAGES) and os.path.isfile(os.path.join(path, "__init__.py"))  # noqa: PTH113, PTH118
        begins = PACKAGES.get(module, module).lower() + "-"
        if (is_source or is_package) and not any(one.startswith(begins) for one in installed):
            found.append((module, path))
    return found


def folders_before_pythons() -> list[str]:
    """The folders in which Python looks for a module before its own: that of the program, and those of PYTHONPATH."""
    own = os.path.dirname(os.__file__)  # noqa: PTH120
    zipped = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    found: list[str] = []
    for entry in sys.path:
        if entry == own or entry.endswith(zipped):
            break
        found.append(_absolute(entry))
    return list(dict.fromkeys(one for one in found if one))


def shadows() -> list[Shadow]:
    """What hides a module from programs here: in the present folder, and in the folders before Python's own."""
    given = {_absolute(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    here = _absolute("")
    folders = dict.fromkeys([here, *folders_before_pythons()])
    return [one for folder in folders if folder for one in shadows_in(folder, checkouts=folder not in given - {here})]


def packages_to_name() -> list[str]:
    """A line for each package that programs here do not get as installed; each is given once in a process."""
    lines = []
    for module, path in shadows():
        if module in PACKAGES and path not in _said:
            _said.add(path)
            lines.append(
                f"{printable(path)} has the name of {named(module)}, and programs in that folder get it "
                "instead (workers of autofit do not): rename it"
            )
    return lines


def named(module: str) -> str:
    """A module in words."""
    return f"the package {module}" if module in PACKAGES else f"Python's own module {module}"


def cause_in_a_shadow(error: BaseException) -> str:
    """The line that names the user's file from which an error comes; empty if it comes from none."""
    files = _files_of(error)
    for module, path in shadows():
        loaded = getattr(sys.modules.get(module), "__file__", None) or ""
        if _holds(path, loaded) or any(_holds(path, file) for file in files):
            return f"{printable(path)} is imported in place of {named(module)}: rename it"
    return ""


def leave_out_working_folder() -> None:
    """Take the working folder out of the imports: `python -m` puts it first, and so does an empty entry of PYTHONPATH.

    For the command only. What a user names as `module:function` is looked for in it at last.
    """
    here = _absolute("")
    for entry in folders_before_pythons():
        if entry == here:
            sys.path[:] = [one for one in sys.path if _absolute(one) != here]


def is_command() -> bool:
    """Whether Python is about to run `python -m autofit`: `-m` then stands in for the name of the program."""
    words = sys.orig_argv
    return sys.argv[:1] == ["-m"] and "-m" in words and words[words.index("-m") + 1] == "autofit"


class NamesShadows:
    """A context in which an error that comes from such a file is an error of use that names it."""

    def __enter__(self) -> None:
        """Nothing is done before."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        """Replace the error.

        Raises:
            UserError: it comes from a file of the user's in a module's place.
        """
        if isinstance(error, Exception) and (words := cause_in_a_shadow(error)):
            raise UserError(words) from error


def _files_of(error: BaseException | None) -> set[str]:
    """The files in which an error arose, and what it arose from; of a syntax error also the file that has it."""
    found: set[str] = set()
    while error is not None:
        if isinstance(error, SyntaxError) and error.filename:
            found.add(error.filename)
        trace = error.__traceback__
        while trace is not None:
            found.add(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
    return found


def _holds(path: str, file: str) -> bool:
    """Whether a file is this path, or in this folder."""
    here, there = os.path.realpath(path), os.path.realpath(file) if file else ""
    return there == here or there.startswith(here + os.sep)


def _absolute(entry: str) -> str:
    """An entry of `sys.path` as an absolute path; empty where the working folder is gone."""
    try:
        return os.path.realpath(entry or os.getcwd())  # noqa: PTH109
    except OSError:
        return ""
