"""Decoding of image files: any size and format to bytes of one shape."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageOps

from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

    from numpy.typing import NDArray

    from orchestrator.data.images import ImageShape

VERSION = 2
"""Raise it when the same files no longer give the same pixels."""

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
"""What Pillow may try, whatever a file is called: some of its other readers start programs."""


def decode_files(
    paths: Sequence[Path], shape: ImageShape, fetch: Callable[[Path], IO[bytes] | Path] = Path
) -> NDArray[np.uint8]:
    """The images as (n, c, h, w), decoded by as many threads as there are cores.

    Each is turned as its EXIF orientation says, scaled until it just covers ``shape`` and cropped to its
    middle; what is transparent becomes white. ``fetch`` gives what to read for a path, where that is not the
    file of that name.

    Raises DataError naming the first path of those that cannot be decoded.
    """
    pixels = np.empty((len(paths), *shape), np.uint8)

    def decode_into_place(index: int) -> None:
        pixels[index] = _decode(paths[index], shape, fetch)

    # filters are one for all threads: set before they start, back after they end
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # the first failure in order ends the iteration, which cancels what has not begun
        for _ in pool.map(decode_into_place, range(len(paths))):
            pass
    return pixels


def _decode(path: Path, shape: ImageShape, fetch: Callable[[Path], IO[bytes] | Path]) -> NDArray[np.uint8]:
    """The image as ``shape``. Raises DataError naming the file, whatever is wrong with it."""
    try:
        with Image.open(fetch(path), formats=FORMATS) as image:
            # JPEG decodes to 1/2, 1/4 or 1/8 in less time; at twice the size needed the result looks the same
            side = 2 * max(shape.height, shape.width)
            image.draft(None, (side, side))
            fitted = ImageOps.fit(
                _opaque(ImageOps.exif_transpose(image), "L" if shape.channels == 1 else "RGB"),
                (shape.width, shape.height),
                Image.Resampling.LANCZOS,
            )
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: refused, too large ({error}); shrink it or take it away") from error
    except Exception as error:  # Pillow's readers raise nearly anything on a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read as an image ({reason}); mend it or take it away") from error
    return np.asarray(fitted).reshape(shape.height, shape.width, shape.channels).transpose(2, 0, 1)


def _opaque(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """``image`` in ``mode``, on white where it is transparent."""
    if image.mode.startswith("I"):
        # Pillow clips 16 bits to 8 when it converts, which leaves a white image
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert(mode)
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    return image.convert(mode)
