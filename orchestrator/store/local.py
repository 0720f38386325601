"""Storage in a folder of this machine, or of a file system that several machines mount.

Anyone who can write into a storage may put a link there, at any moment. Below the root no link is followed: each folder
of a key is opened by itself from the handle of its parent, and files are accessed through their folder's handle.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from orchestrator.errors import NotFoundError, StorageError, StorageMovedError
from orchestrator.store.drafts import draft, is_draft, remove_draft
from orchestrator.store.local_errors import explained
from orchestrator.store.location import Store, check_key, is_key, too_large

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROOT = os.O_RDONLY | os.O_DIRECTORY
_FOLDER = _ROOT | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a named pipe that nobody writes to would be waited for
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
_ABSENT = (FileNotFoundError, NotADirectoryError)


class LocalStore(Store):
    """Blobs as files below ``root``, which need not exist before the first write.

    ``root`` is what the user named, and may hold links; the folder ``inner`` below it, such as a job's, may not. The
    root is made absolute at once: a worker process has another working directory.

    A folder that existed once is not made again: it was moved away, and a new one in its place would have half a job.
    Then StorageMovedError is raised, in this process and in those that the store is sent to.
    """

    parallel_reads: int = 4

    def __init__(self, root: Path, inner: str = "") -> None:
        self._base, self._inner = root.absolute(), inner and check_key(inner)
        self._root = self._base / self._inner
        self._was_there = False

    def __repr__(self) -> str:
        return f"LocalStore({self.uri!r})"

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    def read(self, key: str, limit: int | None = None) -> bytes:
        """See Store. A file that is being appended to is read up to its present size."""
        place = self._place(key)
        with explained(place, "read"):
            try:
                with self._parent(key) as (folder, name):
                    return _content(name, folder, place, limit)
            except (*_ABSENT, IsADirectoryError):
                raise NotFoundError(f"{place}: no such file; check the storage and the job's name") from None

    def exists(self, key: str) -> bool:
        """See Store."""
        place = self._place(key)
        with explained(place, "look up"):
            try:
                with self._parent(key) as (folder, name):
                    return _is_file(name, folder, place)
            except _ABSENT:
                return False

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """See Store. The data is synchronised to disk, so that it survives a loss of power."""
        place = self._place(key)
        with explained(place, "write"), self._parent(key, make=True) as (folder, name):
            if not replace and _is_file(name, folder, place):
                return False
            with draft(folder, "tmp") as (handle, written):
                _fill(handle, data)
                if replace:
                    os.replace(written, name, src_dir_fd=folder, dst_dir_fd=folder)
                elif not _claim(written, name, folder, place):
                    return False
                os.fsync(folder)
            return True

    def keys(self, prefix: str = "") -> list[str]:
        """See Store. Other than regular files are listed, and refused when read: they must not seem to be absent."""
        with explained(self._place(prefix) if prefix else self._root, "list"):
            try:
                with self._folder(prefix) as folder:
                    start = f"{prefix}/" if prefix else ""
                    return sorted(key for _, above, name in _files(folder, start) if is_key(key := above + name))
            except _ABSENT:
                return []

    def stamps(self, folder: str = "") -> dict[str, str]:
        """See Store. A stamp is the file's size and its modification time."""
        return {key: f"{status.st_size}-{status.st_mtime_ns}" for key, status in self._statuses(folder)}

    def sizes(self, folder: str = "") -> dict[str, int]:
        """See Store. Other than regular files count as empty."""
        return {key: status.st_size * stat.S_ISREG(status.st_mode) for key, status in self._statuses(folder)}

    def folders(self) -> list[str]:
        """See Store. Links do not count as folders."""
        with explained(self._root, "list"):
            try:
                with self._folder() as folder, os.scandir(folder) as entries:
                    return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and is_key(e.name))
            except _ABSENT:
                return []

    def delete(self, key: str) -> None:
        """See Store. A link itself is removed, not its target."""
        with (
            explained(self._place(key), "delete"),
            suppress(*_ABSENT, IsADirectoryError),
            self._parent(key) as (folder, name),
        ):
            os.unlink(name, dir_fd=folder)

    def drop_folder(self, folder: str = "") -> None:
        """See Store. What the user named as the storage stays."""
        inner = f"{self._inner}/{check_key(folder)}".removeprefix("/") if folder else self._inner
        above, _, name = inner.rpartition("/")
        if not name:
            return
        place = self._base / inner
        with explained(place, "delete"), suppress(*_ABSENT):
            parent = _descend(os.open(self._base, _ROOT), self._base, above, make=False)
            try:
                os.rmdir(name, dir_fd=parent)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # systems differ in this
                    raise
            finally:
                os.close(parent)

    def child(self, folder: str) -> LocalStore:
        """See Store."""
        return LocalStore(self._base, f"{self._inner}/{check_key(folder)}".removeprefix("/"))

    def sibling(self, folder: str) -> LocalStore:
        """See Store."""
        if not self._inner:
            return LocalStore(self._base.parent, folder)
        return LocalStore(self._base, f"{self._inner.rpartition('/')[0]}/{check_key(folder)}".removeprefix("/"))

    def check_place(self) -> None:
        """Raise StorageError where the root can never be a folder: a file or a link is in its way. Makes nothing."""
        nearest = next((place for place in (self._base, *self._base.parents) if os.path.lexists(place)), self._base)
        with explained(self._root, "write"):
            if not nearest.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
            with suppress(FileNotFoundError), self._folder():
                pass

    def quick(self) -> LocalStore:
        """See Store. The same store: calls to a file system have no timeout."""
        return self

    def check(self) -> None:
        """See Store."""
        with (
            explained(self._root, "write"),
            self._folder(make=True) as folder,
            draft(folder, "check") as (handle, written),
        ):
            _fill(handle, b"orch")
            with os.scandir(folder) as entries:
                listed = any(entry.name == written for entry in entries)
            stored = listed and _content(written, folder, self._root / written) == b"orch"
        if not stored:
            raise StorageError(f"{self.uri}: a file just written is not there; choose another storage")

    def tidy(self) -> None:
        """See Store. The lock of a file shows whether its writer lives; without locks no file is removed."""
        with explained(self._root, "list"), suppress(*_ABSENT), self._folder() as folder:
            for inner, _, name in _files(folder, ""):
                if is_draft(name):
                    remove_draft(name, inner)

    def _statuses(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        """Key and status of everything but folders at and below a folder, of what is there."""
        place = self._place(folder) if folder else self._root
        with explained(place, "list"), suppress(*_ABSENT), self._folder(folder) as opened:
            for above, start, name in _files(opened, f"{folder}/" if folder else ""):
                if is_key(key := start + name):
                    with suppress(FileNotFoundError):
                        yield key, os.stat(name, dir_fd=above, follow_symlinks=False)

    def _place(self, key: str) -> Path:
        """The path of the blob ``key``, for errors."""
        return self._root / check_key(key)

    @contextmanager
    def _parent(self, key: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The handle of the folder that a blob is in, and its name there."""
        above, _, name = key.rpartition("/")
        with self._folder(above, make=make) as folder:
            yield folder, name

    @contextmanager
    def _folder(self, inner: str = "", *, make: bool = False) -> Iterator[int]:
        """The handle of a folder at or below the root. Raises StorageError where a part of it is a link."""
        folder = _descend(self._open_root(make=make), self._root, inner, make=make)
        try:
            yield folder
        finally:
            os.close(folder)

    def _open_root(self, *, make: bool) -> int:
        make = make and not self._was_there
        try:
            if make:
                _make_base(self._base)
            folder = _descend(os.open(self._base, _ROOT), self._base, self._inner, make=make)
        except FileNotFoundError:
            if self._was_there:
                raise StorageMovedError(f"{self.uri}: was moved away or removed while in use; put it back") from None
            raise
        self._was_there = True
        return folder


def _make_base(base: Path) -> None:
    if not base.is_dir():
        _make_base(base.parent)
        base.mkdir(exist_ok=True)
        folder = os.open(base.parent, _ROOT)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _descend(folder: int, place: Path, inner: str, *, make: bool) -> int:
    """The handle of the folder ``inner`` below ``folder``, whose handle is closed; ``place`` is the path for errors."""
    for part in inner.split("/") if inner else ():
        place = place / part
        try:
            below = _enter(part, folder, place, make=make)
        finally:
            os.close(folder)
        folder = below
    return folder


def _enter(name: str, folder: int, place: Path, *, make: bool) -> int:
    try:
        return _open(name, _FOLDER, folder, place)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # another writer's
        os.mkdir(name, dir_fd=folder)
        os.fsync(folder)
    return _open(name, _FOLDER, folder, place)


def _open(name: str, flags: int, folder: int, place: Path) -> int:
    """A handle of the file or folder ``name`` in a folder. Raises StorageError where it is a link."""
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):  # systems differ in which of these a link is
            with suppress(FileNotFoundError):
                _reject_link(os.stat(name, dir_fd=folder, follow_symlinks=False), place)
        raise


def _reject_link(status: os.stat_result, place: Path) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise StorageError(
            f"{place} is a link, and none is followed below a storage; put what it leads to in its place, "
            "or name the folder that holds that with --storage"
        )


def _is_file(name: str, folder: int, place: Path) -> bool:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    _reject_link(status, place)
    return stat.S_ISREG(status.st_mode)


def _content(name: str, folder: int, place: Path, limit: int | None = None) -> bytes:
    no_file = StorageError(f"{place} is no regular file, so that it is not read; move it elsewhere")
    try:
        handle = _open(name, _FILE, folder, place)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise no_file from None
        raise
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
        if not stat.S_ISREG(status.st_mode):
            raise no_file
        if limit is not None and status.st_size > limit:
            raise too_large(str(place), limit)
        with open(handle, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(handle)


def _fill(handle: int, data: bytes) -> None:
    with open(handle, "wb", closefd=False) as file:
        file.write(data)
    os.fsync(handle)


def _claim(written: str, name: str, folder: int, place: Path) -> bool:
    """Rename the finished draft unless the name exists: of many writers one succeeds. Returns whether this one did."""
    try:
        os.link(written, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        if not _is_file(name, folder, place):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place)) from None
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # FAT and some network mounts cannot link. Two writers may then both believe that they were first;
        # both files are whole, and names made of content hashes make them equal.
        if _is_file(name, folder, place):
            return False
        os.replace(written, name, src_dir_fd=folder, dst_dir_fd=folder)
    return True


def _files(folder: int, start: str) -> Iterator[tuple[int, str, str]]:
    """Everything but folders at and below a folder: the handle of its folder, its key up to its name, and its name.

    Folders are skipped where nothing below them can have a key, and so is what is removed meanwhile.
    """
    with os.scandir(folder) as entries:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in names:
        if not is_folder:
            yield folder, start, name
        elif is_key(start + name):
            with suppress(*_ABSENT):
                inner = os.open(name, _FOLDER, dir_fd=folder)
                try:
                    yield from _files(inner, f"{start}{name}/")
                finally:
                    os.close(inner)
