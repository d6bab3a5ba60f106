"""Tells whether this user has written a file: by a key that only this user can read, by its owner and by its mode."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from autofit.storage.safe_files import open_plain

KEY_BYTES = 32

_WRITTEN_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def read_key(path: Path) -> bytes | None:
    """The key in a file; None if there is none, or if others own it or may read it."""
    try:
        with open_plain(path) as file:
            about = os.fstat(file.fileno())
            key = file.read(KEY_BYTES)
    except OSError:
        return None
    is_ours = about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return key if is_ours and len(key) == KEY_BYTES else None


def new_key(path: Path) -> bytes | None:
    """Create a key that no other user can read; returns None if it cannot be stored.

    If two processes create one at once, both get the key of the first.
    """
    temporary = path.with_name(f".key.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    except OSError:
        return None
    return read_key(path)


def is_of_this_user(file: int, *, mode_counts: bool = True) -> bool:
    """Whether an open file or folder belongs to this user and, with `mode_counts`, no other user may write it."""
    about = os.fstat(file)
    is_closed = not mode_counts or not about.st_mode & _WRITTEN_BY_OTHERS
    return about.st_uid == os.geteuid() and is_closed


def forces_modes(folder: Path) -> bool:
    """Whether every new file on the drive of a folder can be written by everybody, as on FAT, SMB and some FUSE drives.

    False if nothing can be written there.
    """
    trial = folder / f".mode.{secrets.token_hex(8)}"
    try:
        file = os.open(trial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        return bool(os.fstat(file).st_mode & _WRITTEN_BY_OTHERS)
    finally:
        os.close(file)
        trial.unlink(missing_ok=True)
