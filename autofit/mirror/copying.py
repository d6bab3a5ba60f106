"""Copies files and checkpoint generations between a run directory and its mirror, whole and verified or not at all.

Either side may be a slow drive, or a folder from an untrusted source: links are never followed, neither for reading nor
for writing, and only files with known names are touched.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from autofit.storage.checkpoint_files import MANIFEST, STATE, DamagedError, Manifest
from autofit.storage.json_bounds import LONG_RECORD, MAX_RECORD_BYTES, parsed
from autofit.storage.safe_files import create_plain, fsync_file, fsync_folder, let_others_read, open_plain

CHUNK_BYTES = 2**18
SYNC_EVERY_BYTES = 2**24
"""The most bytes that are written between two syncs: a sync of a whole gigabyte would look as if the drive hung."""

SAVING, REMOVED = ".saving-", ".removed-"
"""Prefixes as in `storage/checkpoints.py`, whose next save removes what a killed copy has left."""

Beat = Callable[[], None]
Copy = Callable[[IO[bytes], Path, int, Beat], str]
"""The signature of `copy_file`, which tests replace by slow and failing functions."""


class UnreadableError(OSError):
    """The source cannot be read; the target is not at fault."""


class VanishedError(Exception):
    """The source was removed or rewritten while it was copied."""


def open_if_there(path: Path) -> IO[bytes] | None:
    """Open a regular file for reading; None if there is no such file. Links are not followed, and pipes not opened."""
    try:
        return open_plain(path, follow_links=False)
    except FileNotFoundError:
        return None


def read_plain(path: Path, limit_bytes: int) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it is no regular file, cannot be read, or has more than `limit_bytes`.
    """
    with open_plain(path, follow_links=False) as stream:
        data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise OSError(errno.EFBIG, f"{path.name} has more than {limit_bytes} bytes")
    return data


def make_folder(path: Path) -> None:
    """Create a folder if there is none.

    Raises:
        OSError: it cannot be created, or the path is a link or a file.
    """
    with suppress(FileExistsError):
        path.mkdir()
    require_folder(path)


def require_folder(path: Path) -> None:
    """Check that a path is a folder, and not a link, which could lead elsewhere.

    Raises:
        OSError: it does not exist, or is something else.
    """
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise OSError(errno.ENOTDIR, f"{path.name} is no folder")


def copy_file(source: IO[bytes], target: Path, size_bytes: int, beat: Beat) -> str:
    """Copy the next `size_bytes` of a stream into a new file, make it durable, and read it back; returns its SHA-256.

    Raises:
        UnreadableError: the source cannot be read, or ends before that.
        OSError: the target cannot be written, or does not read back as it was written.
    """
    digest, left_bytes, unsynced_bytes = hashlib.sha256(), size_bytes, 0
    with create_plain(target) as stream:
        while left_bytes:
            chunk = _read(source, min(CHUNK_BYTES, left_bytes))
            stream.write(chunk)
            digest.update(chunk)
            left_bytes -= len(chunk)
            unsynced_bytes += len(chunk)
            if unsynced_bytes >= SYNC_EVERY_BYTES or not left_bytes:
                _sync(stream)
                unsynced_bytes = 0
            beat()
    if sha256_of(target, size_bytes, beat) != digest.hexdigest():
        raise OSError(errno.EIO, "what was written reads back differently")
    return digest.hexdigest()


def _read(source: IO[bytes], most_bytes: int) -> bytes:
    try:
        chunk = source.read(most_bytes)
    except OSError as error:
        raise UnreadableError(error.errno, error.strerror) from error
    if not chunk:
        raise UnreadableError(errno.EIO, "a file ends too early")
    return chunk


def _sync(stream: IO[bytes]) -> None:
    stream.flush()
    fsync_file(stream.fileno())


def sha256_of(path: Path, size_bytes: int, beat: Beat) -> str:
    """SHA-256 of a file's first `size_bytes`, or of the whole file if it is shorter.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_plain(path, follow_links=False) as stream:
        while chunk := stream.read(min(CHUNK_BYTES, size_bytes)):
            digest.update(chunk)
            size_bytes -= len(chunk)
            beat()
    return digest.hexdigest()


def replace_file(source: IO[bytes], target: Path, size_bytes: int, copy: Copy, beat: Beat) -> str:
    """Copy so that a reader of `target` sees the old file or the new one; a link in its place is replaced.

    Returns:
        SHA-256 of what was copied.

    Raises:
        OSError: it could not be copied; the old file is untouched.
    """
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        sha256 = copy(source, part, size_bytes, beat)
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    fsync_folder(target.parent)
    return sha256


def stage_generation(source: Path, manifest: Manifest, folder: Path, copy: Copy, beat: Beat) -> Path:
    """Copy a checkpoint generation under a hidden name into `folder`: data first, the manifest last.

    All its files are opened before the first is copied, so that a writer may remove the generation meanwhile.

    Raises:
        VanishedError: the generation was removed before that.
        DamagedError: its files do not match the manifest.
        OSError: it cannot be copied.
    """
    with ExitStack() as open_files:
        streams = {name: open_files.enter_context(_open_listed(source / name)) for name in manifest.files}
        staged = Path(tempfile.mkdtemp(prefix=SAVING, dir=folder))
        try:
            let_others_read(staged, 0o755)  # mkdtemp makes 0700
            for name, entry in manifest.files.items():
                _copy_listed(streams[name], staged / name, entry.bytes, entry.sha256, copy, beat)
            listed = manifest.to_json().encode()
            copy(io.BytesIO(listed), staged / MANIFEST, len(listed), beat)
            fsync_folder(staged)
        except BaseException:
            with suppress(OSError):
                remove_folder(staged)
            raise
    return staged


def _open_listed(path: Path) -> IO[bytes]:
    try:
        return open_plain(path, follow_links=False)
    except FileNotFoundError as error:
        if not path.parent.exists():
            raise VanishedError from error
        raise DamagedError from error


def _copy_listed(stream: IO[bytes], target: Path, size_bytes: int, sha256: str, copy: Copy, beat: Beat) -> None:
    """Copy a file that a manifest lists.

    Raises:
        DamagedError: its size or hash is not the listed one: it was damaged before it was copied.
    """
    if os.fstat(stream.fileno()).st_size != size_bytes or copy(stream, target, size_bytes, beat) != sha256:
        raise DamagedError


def place_generation(staged: Path, generation: int) -> None:
    """Rename a staged generation to its number; an existing generation of that number is removed.

    Raises:
        OSError: it cannot be renamed.
    """
    target = staged.with_name(f"{generation:08d}")
    if os.path.lexists(target):
        remove_generation(target)
    staged.rename(target)
    fsync_folder(target.parent)


def remove_generation(folder: Path) -> None:
    """Remove a generation, which is renamed first, so that a half-deleted one is never taken for a good one.

    Raises:
        OSError: it cannot be removed.
    """
    hidden = folder.with_name(REMOVED + folder.name)
    if os.path.lexists(hidden):
        remove_folder(hidden)
    folder.rename(hidden)
    remove_folder(hidden)


def remove_folder(folder: Path) -> None:
    """Remove a folder, after truncating its files.

    Google Drive keeps deleted files for 30 days, and they count towards the quota:
    https://support.google.com/drive/answer/2375102

    Raises:
        OSError: it cannot be removed.
    """
    for path in folder.iterdir() if not folder.is_symlink() else ():
        with suppress(OSError):
            about = path.lstat()
            # a file with another name may be a hard link in a good generation
            if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:
                os.close(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW))
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)


def sweep(folder: Path) -> None:
    """Remove the hidden folders that killed copies have left among the generations.

    Raises:
        OSError: one cannot be removed.
    """
    for path in folder.iterdir():
        if path.name.startswith((SAVING, REMOVED)):
            remove_folder(path)


def audit_log_bytes_of(generation: Path) -> int:
    """How many bytes of the audit log belong to a generation; 0 if the run has no audit log.

    Raises:
        DamagedError: the state of the generation cannot be read, or has an impossible number.
    """
    try:
        data = read_plain(generation / STATE, MAX_RECORD_BYTES)
        size_bytes = parsed(data, STATE, LONG_RECORD).get("ledger_bytes", 0)
    except (ValueError, AttributeError) as error:
        raise DamagedError from error
    if type(size_bytes) is not int or size_bytes < 0:
        raise DamagedError
    return size_bytes
