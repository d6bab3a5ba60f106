"""Errors of the system at each call that autofit's own code makes of it: the calls are counted, and one of them fails.

The functions of `os`, `fcntl`, `mmap` and `open` are replaced, and the methods of the files that `open` returns. A call
counts if autofit's code is on the stack, below no import, and its file is none of Python's own.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import mmap
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import autofit

PACKAGE = str(Path(autofit.__file__).parent) + os.sep
OF_PYTHON = (str(Path(PACKAGE).parent), sys.prefix + os.sep, sys.base_prefix + os.sep)
"""What is installed, or is the checkout."""

WORK = str(Path(__file__).with_name("pieces_of_work.py"))
OF_THE_KERNEL = ("/proc/", "/sys/", "/dev/")

ANY = (errno.EIO, errno.ESTALE)
BARRED = (errno.EACCES, errno.EPERM)
FULL = (errno.ENOSPC, errno.EDQUOT)
NAMED = (errno.ELOOP, errno.ENAMETOOLONG)
DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)

ERRORS: dict[str, tuple[int, ...]] = {
    "open": (*BARRED, *NAMED, *DESCRIPTORS, *ANY),
    "create": (*BARRED, *FULL, errno.EROFS, *NAMED, *DESCRIPTORS, *ANY),
    "read": ANY,
    "write": (*FULL, errno.EFBIG, *ANY),
    "close": (*FULL, errno.EIO),
    "fsync": (*FULL, *UNSUPPORTED, errno.EROFS, errno.EIO),
    "rename": (*BARRED, *FULL, errno.EROFS, errno.EXDEV, *ANY, errno.EINTR),
    "link": (*BARRED, *FULL, errno.EROFS, errno.EXDEV, errno.ENOTSUP, errno.EMLINK, errno.EIO, errno.EINTR),
    "chmod": (*BARRED, errno.EROFS, errno.ENOTSUP, errno.ENOSYS, errno.EIO, errno.EINTR),
    "utime": (*BARRED, errno.EROFS, errno.ENOSYS, errno.EIO, errno.EINTR),
    "stat": (errno.EACCES, errno.ENAMETOOLONG, *ANY, errno.EINTR),
    "fstat": ANY,
    "statvfs": (errno.EACCES, errno.ENOSYS, errno.ENOTSUP, *ANY, errno.EINTR),
    "list": (errno.EACCES, *DESCRIPTORS, *ANY, errno.EINTR),
    "mkdir": (*BARRED, *FULL, errno.EROFS, *NAMED, errno.EIO, errno.EINTR),
    "unlink": (*BARRED, errno.EROFS, errno.EBUSY, *ANY, errno.EINTR),
    "truncate": (errno.EPERM, errno.EINVAL, errno.EIO),
    "lock": (errno.ENOLCK, *UNSUPPORTED, errno.EIO),
    "affinity": (errno.EPERM, errno.EINVAL, errno.ENOSYS),
    "map": (errno.ENOMEM, errno.ENODEV, errno.EACCES),
    "kernel": (errno.EACCES, errno.EMFILE),
}
"""Which errors may come of which kind of call, as the manual's section 2 and drives of all kinds have them.

EINTR is there for the calls that Python does not repeat after it, as it repeats those with a descriptor (PEP 475): a
drive in user space that is interrupted may give it.
"""

REPLACED: dict[str, tuple[str, ...]] = {
    "read": ("read", "pread", "preadv", "readlink"),
    "write": ("write", "pwrite"),
    "fsync": ("fsync", "fdatasync"),
    "rename": ("rename", "replace"),
    "link": ("link",),
    "chmod": ("chmod", "fchmod"),
    "utime": ("utime",),
    "stat": ("stat", "lstat"),
    "fstat": ("fstat",),
    "statvfs": ("statvfs", "fstatvfs"),
    "list": ("scandir", "listdir"),
    "mkdir": ("mkdir",),
    "unlink": ("unlink", "remove", "rmdir"),
    "truncate": ("truncate", "ftruncate"),
    "affinity": ("sched_getaffinity",),
}
"""Functions of `os`, by the kind of call."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the system: its kind, and the innermost function of autofit below it, as `module.function`."""

    kind: str
    place: str
    line: int


@dataclass
class Injector:
    """Counts the calls, and lets one fail.

    Attributes:
        target: the call that fails; None counts alone.
        occurrence: its how-manieth, from 1.
        code: the error's number.
        for_good: each later call of its kind fails too.
        calls: how often each was made so far.
        was_hit: the call has been made, and has failed.
    """

    target: Call | None = None
    occurrence: int = 1
    code: int = 0
    for_good: bool = False
    calls: Counter[Call] = field(default_factory=Counter)
    was_hit: bool = False

    def made(self, kind: str, path: object = None) -> None:
        """Count a call, and fail it if it is the one.

        Raises:
            OSError: it is.
        """
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if name.startswith(OF_PYTHON):
            return
        site = _site()
        if site is None:
            return
        call = Call("kernel" if name.startswith(OF_THE_KERNEL) else kind, *site)
        self.calls[call] += 1
        is_it = call == self.target and self.calls[call] == self.occurrence
        if is_it or (self.for_good and self.was_hit and self.target and call.kind == self.target.kind):
            self.was_hit = True
            raise OSError(self.code, os.strerror(self.code), *([name] if name else []))


def _site() -> tuple[str, int] | None:
    """The function and line of autofit that called; None if another did, or the code of a test."""
    frame: FrameType | None = sys._getframe(2)
    site = None
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib") or (site is None and name.startswith(WORK)):
            return None
        if site is None and name.startswith(PACKAGE):
            module = name[len(PACKAGE) :].removesuffix(".py").replace(os.sep, ".")
            site = f"{module}.{frame.f_code.co_qualname}", frame.f_lineno
        frame = frame.f_back
    return site


@contextmanager
def injecting(injector: Injector) -> Iterator[Injector]:
    """Let autofit's code in all threads of this process call the system through the injector."""
    with pytest.MonkeyPatch.context() as patched:
        for kind, names in REPLACED.items():
            for name in names:
                if hasattr(os, name):
                    patched.setattr(os, name, _replaced(injector, kind, getattr(os, name)))
        patched.setattr(os, "open", _replaced_open(injector, os.open))
        patched.setattr(fcntl, "flock", _replaced(injector, "lock", fcntl.flock))
        patched.setattr(mmap, "mmap", _replaced(injector, "map", mmap.mmap))
        opened = _opened(injector, io.open)
        patched.setattr(io, "open", opened)
        patched.setattr(builtins, "open", opened)
        yield injector


def _replaced(injector: Injector, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def replaced(*arguments: Any, **named: Any) -> Any:
        injector.made(kind, arguments[0] if arguments else named.get("path"))
        return function(*arguments, **named)

    return replaced


def _replaced_open(injector: Injector, function: Callable[..., int]) -> Callable[..., int]:
    def replaced(path: Any, flags: int, *more: Any, **named: Any) -> int:
        injector.made(_kind_of_open(writes=bool(flags & (os.O_WRONLY | os.O_RDWR))), path)
        return function(path, flags, *more, **named)

    return replaced


def _kind_of_open(*, writes: bool) -> str:
    return "create" if writes else "open"


def _opened(injector: Injector, function: Callable[..., Any]) -> Callable[..., Any]:
    """`open`, whose files call through the injector; from elsewhere than autofit's code it is as it was."""
    kind_of_file = _file_class(injector)

    def opened(file: Any, mode: str = "r", buffering: int = -1, *more: Any, **named: Any) -> Any:
        if _site() is None or str(file).startswith(OF_PYTHON):
            return function(file, mode, buffering, *more, **named)
        values = dict(zip(("encoding", "errors", "newline", "closefd", "opener"), more, strict=False)) | named
        opener, closefd = values.pop("opener", None), values.pop("closefd", True)
        if opener is None and not isinstance(file, int):
            injector.made(_kind_of_open(writes=any(letter in mode for letter in "wax+")), file)
        raw = kind_of_file(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        return raw if buffering == 0 else _buffered(raw, mode, values)

    return opened


def _buffered(raw: io.FileIO, mode: str, text: dict[str, Any]) -> Any:
    """The stream of this mode over a file."""
    stream: Any
    if "+" in mode:
        stream = io.BufferedRandom(raw)
    else:
        stream = io.BufferedReader(raw) if "r" in mode else io.BufferedWriter(raw)
    return stream if "b" in mode else io.TextIOWrapper(stream, **text)


def _file_class(injector: Injector) -> type[io.FileIO]:
    class File(io.FileIO):
        """A file of which each call may fail."""

        def readall(self) -> bytes:
            injector.made("read", self.name)
            return super().readall()

        def readinto(self, buffer: Any, /) -> Any:
            injector.made("read", self.name)
            return super().readinto(buffer)

        def read(self, size: Any = -1, /) -> Any:
            injector.made("read", self.name)
            return super().read(size)

        def write(self, data: Any, /) -> Any:
            injector.made("write", self.name)
            return super().write(data)

        def truncate(self, size: Any = None, /) -> Any:
            injector.made("truncate", self.name)
            return super().truncate(size)

        def close(self) -> None:
            writes = not self.closed and self.writable()
            super().close()
            if writes:
                injector.made("close", self.name)

    return File
