"""SHA-256 of files, remembered until they are touched.

The key of a digest is the file's device, inode, size, and times of the last change of content and of status. Programs
cannot set the last one: ``cp -p``, ``touch`` and archives keep the others. Digests are stored in the user's own cache
folder, one file for each folder of data. Without such a folder, nothing is remembered.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from orchestrator.data.dataset import Progress

UNSETTLED_NS = 2_000_000_000
"""A file that changed more recently could change again with the same times: file systems round them, some to 2 s."""

MAGIC = b"orch digests 1\n\0"
DIGEST_BYTES = 32
RECORD_BYTES = 2 * DIGEST_BYTES
MAX_RECORDS = 2_000_000

THREADS = 8
"""For any number of cores: they wait for disks more than they compute."""

CHUNK = 256
"""Files that a thread processes before it reports progress."""

Item = TypeVar("Item")


class DigestMemo:
    """Digests of files below one folder, read at the beginning of a ``with`` block and stored at its end."""

    def __init__(self, root: Path) -> None:
        """Read the digests of files below ``root``; a damaged file or another user's is ignored."""
        self._name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:32]
        folder = _trusted_folder()
        self._known = {} if folder is None else _read(folder / self._name)
        self._fresh: dict[bytes, bytes] = {}

    def __enter__(self) -> DigestMemo:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # Also after an error or an interrupt: the first pass over many files may have taken long.
        if self._fresh:
            records = list({**self._known, **self._fresh}.items())[-MAX_RECORDS:]
            _write(self._name, b"".join(key + digest for key, digest in records))

    def of_file(self, path: str) -> bytes:
        """SHA-256 of a file's content. Raises DataError naming a file that cannot be read."""
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path for each of 200,000 files takes seconds
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{path}: is no file; take it away")
            return self.recall(status) or self._of_content(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error}); mend it or take it away") from error

    def of_members(
        self,
        archive: Path,
        names: Sequence[str],
        opened: Callable[[], AbstractContextManager[Callable[[str], bytes]]],
        progress: Progress | None = None,
    ) -> list[bytes]:
        """SHA-256 of members of an archive, which ``opened`` opens for reading by name if need be.

        Raises DataError naming a member that cannot be read.
        """
        started_ns = time.time_ns()
        try:
            status = archive.stat()
            digests = {name: digest for name in names if (digest := self.recall(status, name))}
            missing = [name for name in names if name not in digests]
            if missing:
                with opened() as read:
                    fresh = in_threads(lambda name: _of_member(archive, name, read), missing, progress)
                if _key(archive.stat()) != _key(status):
                    raise DataError(f"{archive}: was changed while it was read; try again when nobody writes to it")
                for name, digest in zip(missing, fresh, strict=True):
                    self.remember(status, started_ns, digest, name)
                    digests[name] = digest
        except OSError as error:
            raise DataError(f"{archive}: cannot be read ({error.strerror or error})") from error
        return [digests[name] for name in names]

    def recall(self, status: os.stat_result, part: str = "") -> bytes | None:
        """The remembered digest of the file, or of a part of it, or None."""
        return self._known.get(_key(status, part))

    def remember(self, status: os.stat_result, started_ns: int, digest: bytes, part: str = "") -> None:
        """Remember the digest of a file, or of a part of it, which had ``status`` when reading started."""
        if min(abs(started_ns - status.st_mtime_ns), abs(started_ns - status.st_ctime_ns)) >= UNSETTLED_NS:
            self._fresh[_key(status, part)] = digest

    def _of_content(self, path: str) -> bytes:
        started_ns = time.time_ns()
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            before = os.fstat(file.fileno())
            digest = hashlib.file_digest(file, "sha256").digest()
            after = os.fstat(file.fileno())
        if _key(before) != _key(after):
            raise DataError(f"{path}: was changed while it was read; try again when nobody writes to it")
        self.remember(before, started_ns, digest)
        return digest


def in_threads(digest: Callable[[Item], bytes], items: Sequence[Item], progress: Progress | None = None) -> list[bytes]:
    """``digest`` of each item, in order; the first error in order is raised."""
    digests: list[bytes] = []
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    with ThreadPoolExecutor(THREADS) as pool:
        for chunk in pool.map(lambda chunk: [digest(item) for item in chunk], chunks):
            digests += chunk
            if progress is not None:
                progress(len(digests), len(items))
    return digests


def _of_member(archive: Path, name: str, read: Callable[[str], bytes]) -> bytes:
    try:
        return hashlib.sha256(read(name)).digest()
    except Exception as error:  # zip files fail in as many ways as images
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{archive}/{name}: cannot be read ({reason}); mend it or take it away") from error


def _key(status: os.stat_result, part: str = "") -> bytes:
    touched = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return hashlib.sha256(f"{touched} {part}".encode("utf-8", "surrogateescape")).digest()


def _cache_folder() -> Path:
    """Raises RuntimeError where this user has no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "orch" / "digests"


def _trusted_folder() -> Path | None:
    """The folder for digests, if it exists and nobody else may write to it."""
    try:
        folder = _cache_folder()
        is_ours = all(status.st_uid == os.geteuid() for status in (folder.lstat(), folder.stat()))
        return folder if is_ours and not folder.stat().st_mode & 0o022 else None
    except (OSError, RuntimeError):
        return None


def _read(path: Path) -> dict[bytes, bytes]:
    """The records of a file; none if it is damaged or another user's."""
    try:
        with path.open("rb") as file:
            is_ours = os.fstat(file.fileno()).st_uid == os.geteuid()
            content = file.read() if is_ours else b""
    except OSError:
        return {}
    start = len(MAGIC) + DIGEST_BYTES
    body = content[start:]
    if content[:start] != MAGIC + hashlib.sha256(body).digest() or len(body) % RECORD_BYTES:
        return {}
    return {
        body[at : at + DIGEST_BYTES]: body[at + DIGEST_BYTES : at + RECORD_BYTES]
        for at in range(0, len(body), RECORD_BYTES)
    }


def _write(name: str, body: bytes) -> None:
    """Replace a file of digests atomically. If that fails, the next run computes them again."""
    try:
        cache = _cache_folder()
        cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        cache.mkdir(mode=0o700, exist_ok=True)
        folder = _trusted_folder()
        if folder is not None:
            _replace(folder / name, MAGIC + hashlib.sha256(body).digest() + body)
    except (OSError, RuntimeError):
        return


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            file.write(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
