"""Translates errors of the file system into StorageErrors with cause and remedy."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.errors import StorageError, StorageRefused, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ELSEWHERE = "or choose another storage"
_CAUSES: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", f"free some space, {_ELSEWHERE}"),
    errno.EDQUOT: ("the disk quota is used up", f"free some space, {_ELSEWHERE}"),
    errno.EFBIG: ("the file would be larger than allowed here", f"raise the limit (ulimit -f), {_ELSEWHERE}"),
    errno.EROFS: ("the file system is read-only", f"mount it for writing, {_ELSEWHERE}"),
    errno.EACCES: ("permission denied", f"give this user the right to, {_ELSEWHERE}"),
    errno.EPERM: ("the operation is not permitted", f"give this user the right to, {_ELSEWHERE}"),
    errno.EISDIR: ("there is a folder of that name", "move it away"),
    errno.ENAMETOOLONG: ("the path is too long", "choose a storage with a shorter path"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n)"),
    errno.ENFILE: ("too many files are open on this machine", "close some"),
    errno.EIO: ("the disk reported an input/output error", f"check the disk, {_ELSEWHERE}"),
}
_NETWORK = frozenset(
    {errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH}
    | {errno.ENOTCONN, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE}
)
"""Errors of network file systems whose server does not answer."""
_MAY_PASS = _NETWORK | {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EAGAIN, errno.EBUSY}
_OF_ONE_BLOB = frozenset({errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EBADMSG})


@contextmanager
def explained(path: Path, action: str) -> Iterator[None]:
    """Raise the system's errors on ``path`` as StorageErrors; ``action`` is a verb."""
    try:
        yield
    except OSError as error:
        raise _storage_error(error, path, action) from error


def _storage_error(error: OSError, path: Path, action: str) -> StorageError:
    code = error.errno or 0
    if code in _NETWORK:
        return StorageUnavailable(f"{path}: cannot {action}: {os.strerror(code)}; check the mount, then try again")
    blocker = next((place for place in (path, *path.parents) if os.path.lexists(place) and not place.is_dir()), None)
    if code in (errno.ENOTDIR, errno.EEXIST) and blocker:
        cause, remedy = f"{blocker} is not a folder", f"move it away, {_ELSEWHERE}"
    else:
        cause, remedy = _CAUSES.get(code, (error.strerror or str(error), f"mend that, {_ELSEWHERE}"))
    # An error that is not known to concern this one name concerns the whole storage: no trial is at fault.
    kind = StorageUnavailable if code in _MAY_PASS else StorageError if code in _OF_ONE_BLOB else StorageRefused
    return kind(f"{path}: cannot {action}: {cause}; {remedy}")
