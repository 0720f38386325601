"""Copies of this machine's regular files, none of which is reached through a symbolic link.

Folders are opened one component at a time, each relative to the one before and never through a link, so that a file or
a folder that is swapped for a link meanwhile does not lead elsewhere.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from itertools import groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from io import FileIO
    from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: opening a pipe would wait for its other end."""
_CHUNK_BYTES = 1_000_000


class LinkedError(DataError):
    """Files that are symbolic links, or in a folder that is one; ``paths`` lists them."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        super().__init__(f"{paths[0]}: is a symbolic link, or reached through one; links are not sent")


def measure(folder: Path, files: Iterable[str]) -> dict[str, int]:
    """Bytes of regular files, by their paths relative to ``folder``, sorted.

    Raises LinkedError with all files that are reached through a link only, DataError for what is no regular file.
    """
    sizes: dict[str, int] = {}
    linked: list[str] = []
    for parent, paths in groupby(sorted(set(files)), key=_parent):
        siblings = list(paths)
        try:
            with _opened(folder, parent) as folder_fd:
                for path in siblings:
                    status = _status(folder_fd, path)
                    if stat.S_ISLNK(status.st_mode):
                        linked.append(path)
                    else:
                        sizes[path] = _bytes(status, path)
        except LinkedError:
            linked += siblings
    if linked:
        raise LinkedError(linked)
    return sizes


def copy_files(folder: Path, sizes: Mapping[str, int], target: Path) -> None:
    """Copy the files below ``folder`` to the same paths below ``target``, where none of them exists yet.

    ``sizes`` has the bytes that each file must still have. Raises DataError, LinkedError, and OSError where ``target``
    cannot be written.
    """
    for parent, paths in groupby(sizes, key=_parent):
        (target / parent).mkdir(parents=True, exist_ok=True)
        with _opened(folder, parent) as folder_fd:
            for path in paths:
                _copy(folder_fd, path, sizes[path], target / path)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


@contextmanager
def _opened(folder: Path, below: str) -> Iterator[int]:
    """A file descriptor of the folder whose path relative to ``folder`` is ``below``."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(str(folder), error) from error
    try:
        for part in PurePosixPath(below).parts:
            assert part not in ("/", "..")
            try:
                inner = os.open(part, _FOLDER, dir_fd=opened)
            except OSError as error:
                if stat.S_ISLNK(_status(opened, part).st_mode):
                    raise LinkedError([below]) from error
                raise _unreadable(below, error) from error
            os.close(opened)
            opened = inner
        yield opened
    finally:
        os.close(opened)


def _status(folder_fd: int, path: str) -> os.stat_result:
    try:
        return os.stat(_name(path), dir_fd=folder_fd, follow_symlinks=False)
    except OSError as error:
        raise _unreadable(path, error) from error


def _bytes(status: os.stat_result, path: str) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: is no file; take it away")
    return status.st_size


def _copy(folder_fd: int, path: str, size: int, target: Path) -> None:
    """Copy a file of ``size`` bytes, and never more, even where it grows meanwhile. Raises DataError."""
    try:
        descriptor = os.open(_name(path), _FILE, dir_fd=folder_fd)
    except OSError as error:
        if stat.S_ISLNK(_status(folder_fd, path).st_mode):
            raise LinkedError([path]) from error
        raise _unreadable(path, error) from error
    with open(descriptor, "rb", buffering=0) as source:  # noqa: PTH123 - a descriptor, not a path
        remaining = size if _bytes(os.fstat(descriptor), path) == size else -1
        with target.open("xb") as copy:
            while remaining > 0 and (chunk := _read(source, min(remaining, _CHUNK_BYTES), path)):
                remaining -= copy.write(chunk)
        if remaining or _read(source, 1, path):
            raise DataError(f"{path}: was changed while it was copied; try again when nobody writes to it")


def _read(source: FileIO, most: int, path: str) -> bytes:
    try:
        return source.read(most)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read ({error.strerror or error}); mend it or take it away")
