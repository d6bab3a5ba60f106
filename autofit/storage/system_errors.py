"""What an error of the operating system means for the user: its name in words, and what can be done about it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from autofit.errors import StorageError
from autofit.printable import printable

REMEDIES = {
    errno.EACCES: "give this user the permission (ls -ld shows whose it is), or take another folder",
    errno.EPERM: "it may be immutable (lsattr shows it, chattr -i ends it) or another user's: change that, or take "
    "another folder",
    errno.ELOOP: "a link stands in the way: remove it",
    errno.EROFS: "the drive is read-only, as some become after an error: mount it for writing, or take another folder",
    errno.EDQUOT: "your quota on that drive is used up: remove files of yours, or take another drive",
    errno.ENOSPC: "make room on that drive (df -h and df -i show it), or take another",
    errno.EFBIG: "a limit on the size of files is in the way (ulimit -f, or 4 GB on FAT): raise it, or take another "
    "drive",
    errno.EIO: "the drive fails (dmesg may say why): take another",
    errno.ESTALE: "the network drive was mounted anew, or the folder replaced: mount it again",
    errno.ENOTCONN: "the drive is no longer connected: mount it again",
    errno.ENODEV: "the drive is no longer there: mount it again",
    errno.ENXIO: "the drive is no longer there: mount it again",
    errno.ETIMEDOUT: "the network drive does not answer: wait, or mount it again",
    errno.EHOSTDOWN: "the network drive does not answer: wait, or mount it again",
    errno.ENOENT: "it was removed, or a folder of its path was: check the path",
    errno.ENOTDIR: "a file stands where a folder is needed: remove it, or check the path",
    errno.EISDIR: "a folder stands where a file is needed: check the path",
    errno.EEXIST: "something of this name is there: remove it",
    errno.ENAMETOOLONG: "the path is too long for that drive: take a shorter one",
    errno.EXDEV: "a folder of it lies on another drive: put it all on one",
    errno.EBUSY: "another program or mount uses it: end that, or take another folder",
    errno.ETXTBSY: "another program uses it: end that",
    errno.ENFILE: "the whole machine has too many files open: end other programs",
    errno.ENOMEM: "the machine is out of memory: end other programs",
    errno.EINTR: "a signal interrupted the drive's answer: give the same call again",
    errno.EAGAIN: "a limit on processes or memory is reached (ulimit -u): end other programs, or raise it",
    errno.EINVAL: "that drive cannot do what is asked: take another folder",
    errno.EOPNOTSUPP: "that drive cannot do what is asked: take another folder",
    errno.ENOSYS: "this system cannot do what is asked: take another folder",
}
"""What to do, by the error's number."""

OTHERWISE = "check the drive (dmesg may say why), or take another folder"

OF_STORAGE = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM, errno.ELOOP,
        errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.EMFILE, errno.ENFILE, errno.EXDEV, errno.ETIMEDOUT,
    }
)  # fmt: skip
"""Errors of a drive, or of a limit on files, for which it does not help to repeat the attempt on the same machine."""


def reason(error: OSError) -> str:
    """The error in words, in one line."""
    return printable(error.strerror or str(error) or type(error).__name__)


def remedy(error: OSError) -> str:
    """What to do about an error."""
    if error.errno == errno.EMFILE:
        return f"this process may have {_most_open_files()} open: raise that (ulimit -n), or end what holds them"
    return REMEDIES.get(error.errno or 0, OTHERWISE)


def explained(error: OSError, what: str) -> str:
    """One line: what could not be done, why, and what to do.

    Args:
        error: the error of the system.
        what: what could not be done, such as "/runs/a cannot be written".
    """
    return f"{what} ({reason(error)}): {remedy(error)}"


def said_of(error: Exception, what: str, otherwise: str) -> str:
    """One line, as by `explained` for an error of the drive, and with other advice for any other error.

    Args:
        error: an OSError, or another error whose text is one line.
        what: as in `explained`.
        otherwise: what to do if the content, the path, or a check of autofit is the cause, and not the drive.
    """
    if isinstance(error, OSError) and _is_of_the_drive(error):
        return explained(error, what)
    why = reason(error) if isinstance(error, OSError) else printable(str(error))
    return f"{what} ({why}): {otherwise}"


@contextmanager
def naming_system_errors() -> Iterator[None]:
    """Turn an OSError that no other code has explained into a StorageError, so that the user sees no traceback.

    Raises:
        StorageError: there was an OSError in the block.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(described(error)) from error


def described(error: OSError) -> str:
    """One line about an error that no other code has explained: the file, why, and what to do."""
    what = f"{printable(os.fsdecode(error.filename))} cannot be used" if isinstance(error.filename, str | bytes) else ""
    if error.errno == errno.ENOENT and not what and not _has_working_folder():
        return "the working folder was removed: go to another one (cd), and begin again"
    return explained(error, what) if what else f"{reason(error)}: {remedy(error)}"


def _has_working_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - asked for its error alone
    except OSError:
        return False
    return True


def _is_of_the_drive(error: OSError) -> bool:
    """Whether the drive failed: the path is not wrong, and the error is not one that autofit itself has raised."""
    code = error.errno or 0
    return code not in {0, errno.ENOENT, errno.ENOTDIR, errno.EISDIR} and error.strerror == os.strerror(code)


def _most_open_files() -> str:
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not on every system

        return f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]:,} files"
    return "no more files"
