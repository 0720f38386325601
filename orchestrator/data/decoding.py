"""Decoding of image files of any size and format to bytes of one shape."""

from __future__ import annotations

import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from orchestrator.data.flatten import flattened
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

    from orchestrator.data.images import ImageShape

AVIF = ("AVIF",) if "avif" in features.modules and features.check("avif") else ()
"""Not every build of Pillow reads it."""

VERSION = 2
"""Raise it when the same files give other pixels than before."""

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM", *AVIF)
"""The formats that Pillow may try, for any file name: some of its other readers start programs."""


def decode_files(
    paths: Sequence[Path],
    shape: ImageShape,
    fetch: Callable[[Path], IO[bytes]] = lambda path: path.open("rb"),
    digests: Sequence[bytes] | None = None,
) -> NDArray[np.uint8]:
    """The images as (n, c, h, w), decoded by as many threads as there are cores.

    Each is rotated by its EXIF orientation, scaled until it just covers ``shape`` and cropped to its middle;
    transparent pixels become white. ``fetch`` opens the stream of a path; by default, the file of that name.
    ``digests`` are the SHA-256 that the files must have, if known.

    Raises DataError naming the first path that cannot be decoded or has changed.
    """
    pixels = np.empty((len(paths), *shape), np.uint8)

    def decode_into_place(index: int) -> None:
        pixels[index] = _decode(paths[index], shape, fetch, None if digests is None else digests[index])

    # All threads share the warning filters: set them before the threads start, restore them after they end.
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        # Pillow warns of metadata that it cannot read; the pixels may be intact.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # The first failure in order ends the iteration, which cancels the decoding that has not begun.
        for _ in pool.map(decode_into_place, range(len(paths))):
            pass
    return pixels


def _decode(
    path: Path, shape: ImageShape, fetch: Callable[[Path], IO[bytes]], expected: bytes | None
) -> NDArray[np.uint8]:
    """The image as ``shape``. Raises DataError naming the file, whatever is wrong with it."""
    try:
        with fetch(path) as file, Image.open(_unchanged(path, file, expected), formats=FORMATS) as image:
            # JPEG decodes to 1/2, 1/4 or 1/8 in less time; twice the final size is visually enough.
            side = 2 * max(shape.height, shape.width)
            image.draft(None, (side, side))
            fitted = ImageOps.fit(
                flattened(image, file, "L" if shape.channels == 1 else "RGB"),
                (shape.width, shape.height),
                Image.Resampling.LANCZOS,
            )
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path}: cannot be read as an image (its content is none that is read); mend it or take it away"
        ) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: refused, too large ({error}); shrink it or take it away") from error
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on a damaged file
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = " ".join(text.split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read as an image ({reason}); mend it or take it away") from error
    return np.asarray(fitted).reshape(shape.height, shape.width, shape.channels).transpose(2, 0, 1)


def _unchanged(path: Path, file: IO[bytes], expected: bytes | None) -> IO[bytes]:
    """``file`` from its beginning. Raises DataError where its SHA-256 is not the one expected."""
    if expected is not None:
        if hashlib.file_digest(file, "sha256").digest() != expected:  # type: ignore[arg-type]
            raise DataError(f"{path}: was changed while the images were read; try again when nobody writes to it")
        file.seek(0)
    return file
