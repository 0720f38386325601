"""Storage in a folder of this machine, or of a file system that several machines mount."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator.errors import NotFoundError, StorageError
from orchestrator.store.local_errors import explained
from orchestrator.store.location import RESERVED, Store, check_key, is_key, too_large

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


class LocalStore(Store):
    """Blobs as files below ``root``, which need not exist before the first write.

    The root is made absolute at once: a worker process has another working directory.
    """

    parallel_reads: int = 4

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def __repr__(self) -> str:
        return f"LocalStore({self.uri!r})"

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    def path(self, key: str) -> Path:
        """Where the blob ``key`` is, or would be."""
        return self._root / check_key(key)

    def read(self, key: str, limit: int | None = None) -> bytes:
        """See Store."""
        path = self.path(key)
        with explained(path, "read"):
            try:
                with path.open("rb") as file:
                    data = file.read(-1 if limit is None else limit + 1)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise NotFoundError(f"{path}: no such file; check the storage and the job's name") from None
        if limit is not None and len(data) > limit:
            raise too_large(str(path), limit)
        return data

    def exists(self, key: str) -> bool:
        """See Store."""
        path = self.path(key)
        with explained(path, "look up"):
            try:
                return stat.S_ISREG(path.stat().st_mode)
            except (FileNotFoundError, NotADirectoryError):
                return False

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """See Store."""
        path = self.path(key)
        with explained(path, "write"):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not replace and path.is_file():
                return False
            return _write_whole(path, data, replace=replace)

    def keys(self, prefix: str = "") -> list[str]:
        """See Store. Links to folders are not followed, but ``prefix`` itself may be one."""
        base = self.path(prefix) if prefix else self._root
        start = len(str(self._root).rstrip("/")) + 1
        with explained(base, "list"):
            return sorted(key for key in (path[start:] for path in _files(base)) if is_key(key))

    def folders(self) -> list[str]:
        """See Store."""
        with explained(self._root, "list"):
            try:
                return sorted(path.name for path in self._root.iterdir() if path.is_dir() and is_key(path.name))
            except (FileNotFoundError, NotADirectoryError):
                return []

    def delete(self, key: str) -> None:
        """See Store."""
        path = self.path(key)
        with explained(path, "delete"), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            path.unlink()

    def child(self, folder: str) -> LocalStore:
        """See Store."""
        return LocalStore(self.path(folder))

    def sibling(self, folder: str) -> LocalStore:
        """See Store."""
        return LocalStore(self._root.parent).child(folder)

    def check_place(self) -> None:
        """Raise StorageError where the root can never be a folder, since a file is in its way; makes nothing."""
        nearest = next((place for place in (self._root, *self._root.parents) if os.path.lexists(place)), self._root)
        with explained(self._root, "write"):
            if not nearest.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))

    def quick(self) -> LocalStore:
        """See Store. A folder answers at once, or it is up to the file system how long that takes."""
        return self

    def check(self) -> None:
        """See Store."""
        probe = self._root / f"{RESERVED}check-{secrets.token_hex(8)}"
        with explained(self._root, "write"):
            self._root.mkdir(parents=True, exist_ok=True)
            try:
                _write_whole(probe, b"orch", replace=True)
                found = probe in self._root.iterdir() and probe.read_bytes() == b"orch"
            finally:
                probe.unlink(missing_ok=True)
        if not found:
            raise StorageError(f"{self.uri}: a file just written is not there; choose another storage")


def _write_whole(path: Path, data: bytes, *, replace: bool) -> bool:
    """Write beside ``path``, then give the finished file its name; the folder must exist."""
    draft = path.with_name(f"{RESERVED}tmp-{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
            return True
        return _claim(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _claim(draft: Path, path: Path) -> bool:
    """Name the finished ``draft`` ``path`` unless that name is taken: of many writers one succeeds."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path)) from None
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # FAT and some network mounts cannot link. Two writers may then both believe that they were first;
        # both files are whole, and names made of content hashes make them equal.
        if path.is_file():
            return False
        draft.replace(path)
    return True


def _files(base: Path) -> Iterator[str]:
    def stop(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for folder, _, names in os.walk(base, onerror=stop):
        for name in names:
            yield f"{folder.rstrip('/')}/{name}"
