"""Decoded images kept in a folder, so that the next run need not decode them again."""

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
    """What ``decode`` gives, from a file in ``folder`` if an earlier call left it there; ``folder`` may be None.

    ``fingerprint`` stands for all that the pixels depend on, ``shape`` is theirs. Arrays from a file are mapped
    into memory and not writable. A file that is damaged is written anew, whole or not at all.

    Raises DataError where the folder cannot be written to.
    """
    if folder is None:
        return decode()
    path = folder_at(folder, "data.cache") / f"{fingerprint}.npy"
    kept = _read(path, shape)
    if kept is not None:
        return kept
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
    """The array in ``path``, or None where there is none or it is not what was written."""
    # what stands before the pixels is known, so that nothing of an unknown file need be interpreted
    header = _header(shape)
    try:
        with path.open("rb") as file:
            if file.read(len(header)) != header or os.fstat(file.fileno()).st_size != len(header) + math.prod(shape):
                return None
            kept = np.memmap(file, np.uint8, "r", len(header), shape)
    except (OSError, ValueError):
        return None
    # a plain array, as ImageSet promises
    return np.asarray(kept)


def _header(shape: tuple[int, ...]) -> bytes:
    """How a ``.npy`` file of bytes begins."""
    stream = BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write beside ``path``, then give the finished ``.npy`` file its name: of several writers the last one stays."""
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
