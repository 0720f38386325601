"""The interface of storage, for a folder on this machine and for a prefix of an S3 bucket."""

from __future__ import annotations

from abc import ABC, abstractmethod

from orchestrator.errors import StorageError

RESERVED = ".orch-"
"""Names of half-written and of test blobs begin with this: no key may, and no list shows them.

The leading dot makes pyarrow, and so pandas, skip what a killed writer left in a folder.
"""

_PART_BYTES = 255  # the longest file name of common file systems
_KEY_BYTES = 800  # S3 ends at 1,024, the root's prefix included


class Store(ABC):
    """Named blobs below one root.

    A key is a relative path with ``/`` between its parts and no empty, ``.`` or ``..`` part, so that nothing
    can leave the root. Every method raises StorageError with one clear line: what failed, where, what to do.
    """

    parallel_reads: int
    """How many threads read many small blobs fastest."""

    @property
    @abstractmethod
    def uri(self) -> str:
        """The root as a user would write it, without secrets."""

    @abstractmethod
    def read(self, key: str, limit: int | None = None) -> bytes:
        """The whole blob. Raises NotFoundError where there is none, StorageError where it has over ``limit`` bytes."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether there is such a blob, without reading it."""

    @abstractmethod
    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """Store ``data`` whole or not at all; True when it was written.

        With ``replace=False`` a blob that is already there stays as it is, and the answer is False.
        """

    @abstractmethod
    def keys(self, prefix: str = "") -> list[str]:
        """All keys below the folder ``prefix``, sorted; empty when there is no such folder."""

    @abstractmethod
    def stamps(self, folder: str = "") -> dict[str, str]:
        """All keys below a folder, or the root, each with a string that changes whenever its blob does."""

    @abstractmethod
    def sizes(self, folder: str = "") -> dict[str, int]:
        """All keys below a folder, or the root, each with the number of bytes of its blob."""

    @abstractmethod
    def folders(self) -> list[str]:
        """Names of the folders directly below the root, sorted; empty when there is no such root."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a blob; a missing blob is no error."""

    @abstractmethod
    def drop_folder(self, folder: str = "") -> None:
        """Remove a folder that has nothing in it, or the root; one that is not there, or not empty, is no error."""

    @abstractmethod
    def child(self, folder: str) -> Store:
        """The same storage with its root one or more folders down."""

    @abstractmethod
    def sibling(self, folder: str) -> Store:
        """The same storage with its root a folder beside this one, such as the one that all jobs of a storage share."""

    @abstractmethod
    def quick(self) -> Store:
        """The same storage for requests that must not wait: each is made once, with a timeout of a few seconds."""

    @abstractmethod
    def check(self) -> None:
        """Raise StorageError unless the root can be written, read and listed; creates a local root."""

    @abstractmethod
    def tidy(self) -> None:
        """Remove half-written blobs of killed writers, but none that another may still be writing."""


def check_key(key: str) -> str:
    """``key`` unchanged. Raises StorageError with the rule that it breaks."""
    problem = _problem(key)
    if problem:
        shown = key if len(key) <= 80 else key[:80] + "..."
        raise StorageError(
            f"{shown!r} cannot name a blob: {problem}; use a relative path such as 'trials/1f3a.parquet'"
        )
    return key


def too_large(where: str, limit: int) -> StorageError:
    """The error of a blob that has more bytes than its kind may have."""
    return StorageError(f"{where}: larger than the {limit:,} bytes that such a file may have; move it elsewhere")


def is_key(name: str) -> bool:
    """Whether a blob can have this name: lists leave out blobs that could not be read back."""
    return not _problem(name)


def _problem(key: str) -> str:
    parts = key.split("/")
    if not key.isprintable():
        return "it holds a control character or another that cannot be printed"
    if "\\" in key:
        return "it holds a backslash"
    if "" in parts:
        return "it is empty, begins or ends with '/', or holds '//'"
    if "." in parts or ".." in parts:
        return "it holds a '.' or '..' part"
    if any(part.startswith(RESERVED) for part in parts):
        return f"names that begin with {RESERVED!r} are kept for half-written blobs"
    if len(key.encode()) > _KEY_BYTES or any(len(part.encode()) > _PART_BYTES for part in parts):
        return f"it is longer than {_KEY_BYTES} bytes, or a part of it than {_PART_BYTES}"
    return ""
