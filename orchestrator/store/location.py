"""Where results live: one interface for a folder on this machine and for a prefix of an S3 bucket."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Store(ABC):
    """Named blobs below one root.

    A key is a relative path with ``/`` between its parts and no empty, ``.`` or ``..`` part, so that nothing
    can leave the root. Every method raises StorageError with one clear line: what failed, where, and what to do.
    """

    @property
    @abstractmethod
    def uri(self) -> str:
        """The root as a user would write it; never holds a secret."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The whole blob. Raises NotFoundError when there is none."""

    @abstractmethod
    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """Store ``data`` whole or not at all; True when it was written.

        With ``replace=False`` a blob that is already there stays as it is, and the answer is False.
        """

    @abstractmethod
    def keys(self, prefix: str = "") -> list[str]:
        """All keys below the folder ``prefix``, sorted; empty when there is no such folder."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a blob; removing what is not there is no error."""

    @abstractmethod
    def child(self, folder: str) -> Store:
        """The same storage with its root one or more folders down."""

    @abstractmethod
    def check(self) -> None:
        """Raise StorageError unless the root can be written, read and listed; creates a local root."""
