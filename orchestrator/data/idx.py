"""Reading of IDX files, the format MNIST is published in, raw or gzipped.

The format, as MNIST's own page describes it: two zero bytes, the type (8 for unsigned bytes), the number of
dimensions, each dimension as a big-endian 32-bit number, then the values. torchvision reads only unpacked
files, and unpacks them beside the packed ones, where a shared folder may refuse it.
"""

from __future__ import annotations

import gzip
import math
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedIOBase
    from pathlib import Path

    from numpy.typing import NDArray

UNSIGNED_BYTE = 8

MAX_DEFLATE_RATIO = 1032
"""No gzip file unpacks to more than this many times its size (zlib.net/zlib_tech.html)."""


def read_shape(path: Path, dimensions: int) -> tuple[int, ...]:
    """The shape in the header of ``path``. Raises DataError if it is not an IDX file."""
    with _opened(path) as stream:
        return _shape(stream, path, dimensions)


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The whole array, of any size but 0; not writable. Raises DataError if ``path`` is damaged."""
    with _opened(path) as stream:
        shape = _shape(stream, path, dimensions)
        expected = math.prod(shape)
        # Checked before reading: a damaged header could ask for terabytes of memory.
        if expected > path.stat().st_size * (MAX_DEFLATE_RATIO if path.suffix == ".gz" else 1):
            claimed = "x".join(map(str, shape))
            raise DataError(f"{path}: too short for the {claimed} values its header claims; fetch it again")
        # One byte more than needed: it must not exist, and reading it makes gzip verify its checksum.
        content = stream.read(expected + 1)
    if len(content) != expected:
        count = "more" if len(content) > expected else f"only {len(content)}"
        raise DataError(f"{path}: {expected} values expected from its header, {count} found; fetch it again")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(stream: BufferedIOBase, path: Path, dimensions: int) -> tuple[int, ...]:
    header = stream.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, UNSIGNED_BYTE, dimensions)):
        raise DataError(
            f"{path}: begins with 0x{header[:4].hex()}, expected an IDX file of bytes in {dimensions} "
            f"dimensions (0x{bytes((0, 0, UNSIGNED_BYTE, dimensions)).hex()}); fetch it again"
        )
    shape = tuple(int(length) for length in np.frombuffer(header, ">u4", offset=4))
    if 0 in shape:
        raise DataError(f"{path}: holds no values, its header claims {shape}; fetch it again")
    return shape


@contextmanager
def _opened(path: Path) -> Iterator[BufferedIOBase]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
