"""SHA-256 of files."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.data.dataset import Progress


def digests_of(paths: Sequence[str], progress: Progress | None = None) -> list[bytes]:
    """SHA-256 of each file's content. Raises DataError naming the first that cannot be read."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_digest, paths))


def _digest(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); mend it or take it away") from error
