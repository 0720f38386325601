"""Storage in memory, which fails at its n-th call as where a process dies there, or storage goes down."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from orchestrator.errors import NotFoundError, StorageUnavailable
from orchestrator.store.location import Store, check_key


@dataclass
class Shared:
    """What a store and those made from it have in common: blobs, with the number of each write, and calls left."""

    blobs: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    left: float = math.inf
    writes: int = 0


class MemoryStore(Store):
    """Blobs in this process; once no call is left, each raises StorageUnavailable and does nothing."""

    parallel_reads = 1  # so that the n-th call is always the same

    def __init__(self, shared: Shared | None = None, prefix: str = "") -> None:
        self.shared, self._prefix = shared or Shared(), prefix

    @property
    def uri(self) -> str:
        return f"memory://{self._prefix}".rstrip("/")

    def read(self, key: str, limit: int | None = None) -> bytes:
        self._call()
        try:
            return self.shared.blobs[self._name(key)][0]
        except KeyError:
            raise NotFoundError(f"{self.uri}/{key}: no such blob") from None

    def exists(self, key: str) -> bool:
        self._call()
        return self._name(key) in self.shared.blobs

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        self._call()
        if not replace and self._name(key) in self.shared.blobs:
            return False
        self.shared.writes += 1
        self.shared.blobs[self._name(key)] = data, self.shared.writes
        return True

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(self.sizes(prefix))

    def stamps(self, folder: str = "") -> dict[str, str]:
        self._call()
        return {key: str(number) for key, (_, number) in self._below(folder).items()}

    def sizes(self, folder: str = "") -> dict[str, int]:
        self._call()
        return {key: len(data) for key, (data, _) in self._below(folder).items()}

    def folders(self) -> list[str]:
        self._call()
        return sorted({key.partition("/")[0] for key in self._below("") if "/" in key})

    def delete(self, key: str) -> None:
        self._call()
        self.shared.blobs.pop(self._name(key), None)

    def drop_folder(self, folder: str = "") -> None:
        self._call()

    def child(self, folder: str) -> MemoryStore:
        return MemoryStore(self.shared, f"{self._prefix}{check_key(folder)}/")

    def sibling(self, folder: str) -> MemoryStore:
        above = self._prefix.rstrip("/").rpartition("/")[0]
        return MemoryStore(self.shared, f"{above}/{folder}/".lstrip("/"))

    def quick(self) -> MemoryStore:
        return self

    def check(self) -> None:
        self._call()

    def tidy(self) -> None:
        self._call()

    def _call(self) -> None:
        self.shared.left -= 1
        if self.shared.left < 0:
            raise StorageUnavailable(f"{self.uri}: storage is down")

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _below(self, folder: str) -> dict[str, tuple[bytes, int]]:
        start = self._prefix + (f"{folder}/" if folder else "")
        return {name[len(self._prefix) :]: blob for name, blob in self.shared.blobs.items() if name.startswith(start)}
