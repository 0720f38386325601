"""Files that are being written: under a name that no key has, and locked, so that a killed writer is noticed."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from orchestrator.store.location import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(re.escape(RESERVED) + r"(tmp|check)-[0-9a-f]{16}")
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_OLD = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK  # to be locked over NFS, a file must be open for writing

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})  # of some file systems


@contextmanager
def draft(folder: int, kind: str) -> Iterator[tuple[int, str]]:
    """The handle and the name of a new file in a folder; a file that still has the name at the end is removed."""
    handle, name = _new(folder, kind)
    try:
        yield handle, name
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)


def _new(folder: int, kind: str) -> tuple[int, str]:
    while True:
        name = f"{RESERVED}{kind}-{secrets.token_hex(8)}"
        handle = os.open(name, _NEW, 0o666, dir_fd=folder)
        _lock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink > 0:
            return handle, name
        os.close(handle)  # another process removed it before it was locked


def is_draft(name: str) -> bool:
    """Whether the name is one that ``draft`` gives to files."""
    return _NAME.fullmatch(name) is not None


def remove_draft(name: str, folder: int) -> None:
    """Remove a draft from its folder, if its writer is known to be dead.

    A lock ends with the process that held it, on whatever machine that was.
    """
    with suppress(FileNotFoundError, PermissionError):  # gone by now, or another user's
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return
        handle = os.open(name, _OLD, dir_fd=folder)
        try:
            if _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(handle)


def _lock(handle: int, how: int) -> bool:
    """Lock the file; False where LOCK_NB finds another's lock, or the file system has no locks."""
    try:
        fcntl.flock(handle, how)
    except OSError as error:
        if not isinstance(error, BlockingIOError) and error.errno not in _NO_LOCKS:
            raise
        return False
    return True
