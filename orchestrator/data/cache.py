"""A cache folder of decoded images: later runs need not decode them again."""

from __future__ import annotations

import math
import os
import secrets
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.data.folders import folder_at
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


def cached(
    folder: str | None, fingerprint: str, shape: tuple[int, ...], decode: Callable[[], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """The pixels of ``decode``, read from ``folder`` if an earlier call stored them there; ``folder`` may be None.

    ``fingerprint`` identifies everything that the pixels depend on; ``shape`` is the shape of the pixels. Arrays from a
    file are memory-mapped and not writable. A damaged file is replaced, atomically.

    Raises DataError if the folder cannot be written to.
    """
    if folder is None:
        return decode()
    path = folder_at(folder, "data.cache") / f"{fingerprint}.npy"
    stored = _read(path, shape)
    if stored is not None:
        return stored
    pixels = decode()
    assert pixels.shape == shape, f"decoded {pixels.shape}, promised {shape}"
    try:
        _write(path, pixels)
    except OSError as error:
        raise DataError(
            f"data.cache: {path.parent} cannot be written to ({error.strerror or error}); "
            "choose another folder, or null for none"
        ) from error
    return pixels


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The array in ``path``, or None if there is no such file or it is damaged."""
    # The header is known exactly: comparing it avoids parsing that of an unknown file.
    header = _header(shape)
    try:
        with path.open("rb") as file:
            if file.read(len(header)) != header or os.fstat(file.fileno()).st_size != len(header) + math.prod(shape):
                return None
            pixels = np.memmap(file, np.uint8, "r", len(header), shape)
    except (OSError, ValueError):
        return None
    # A plain array, as ImageSet promises.
    return np.asarray(pixels)


def _header(shape: tuple[int, ...]) -> bytes:
    """The header of a ``.npy`` file of bytes."""
    stream = BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a temporary ``.npy`` file and rename it to ``path``: of several writers, the last one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}-{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            file.write(_header(pixels.shape))
            np.ascontiguousarray(pixels).tofile(file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
