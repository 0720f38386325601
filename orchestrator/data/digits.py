"""The handwritten digits that come with scikit-learn: nothing to download."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from orchestrator.data.dataset import Content, Dataset, Split
from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.data.dataset import Progress

TRAIN_IMAGES = 1500


class Digits(Dataset):
    """1,797 digits, drawn like MNIST's: 20 pixels high, in the middle of 28 or 32.

    The first 1,500 are to train on, the other 297 (about 30 of each digit) are held out. The source holds 8x8
    pixels with 17 grey levels, so strokes are blurred where MNIST's are sharp (E. Alpaydin, C. Kaynak,
    Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998; its test part).
    """

    name: Literal["digits"] = "digits"
    image_size: Literal[28, 32] = 28
    """side of an image in pixels"""

    @property
    def shape(self) -> ImageShape:
        """One channel, square."""
        return ImageShape(1, self.image_size, self.image_size)

    def count_images(self) -> int:
        """Fixed by the source."""
        return TRAIN_IMAGES

    def content(self, split: Split, limit: int | None, progress: Progress | None = None) -> Content:
        """The rows of scikit-learn's file, whose last number is the label."""
        split_rows = _rows(split, limit)
        return Content(len(split_rows), [hashlib.sha256(b"\n".join(split_rows)).digest()])

    def read(self, split: Split, limit: int | None) -> ImageSet:
        """Images enlarged from scikit-learn's, with the digit as the label."""
        numbers = np.loadtxt(_rows(split, limit), delimiter=",", ndmin=2)
        images, labels = numbers[:, :-1].reshape(-1, 8, 8), numbers[:, -1]
        border = (self.image_size - 28) // 2
        pixels = np.stack([np.pad(_enlarge(image), border) for image in images])
        return ImageSet(pixels[:, np.newaxis], labels.astype(np.int64))


def _rows(split: Split, limit: int | None) -> list[bytes]:
    """The split's first lines, of 64 pixels and the label, in the file that scikit-learn's ``load_digits`` reads.

    It is read here, since importing scikit-learn takes a second.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DataError("digits: they come with scikit-learn, which is not installed")
    path = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    try:
        with gzip.open(path) as file:
            rows = file.read().splitlines()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); install scikit-learn anew") from error
    return (rows[:TRAIN_IMAGES] if split == "train" else rows[TRAIN_IMAGES:])[:limit]


def _enlarge(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """An (8, 8) image in [0, 16] as (28, 28) uint8, 2.5 times as large, with black around it."""
    # The black border is added first, so that strokes at the edge fade out instead of being cut.
    canvas = Image.fromarray(np.pad(image, 2).astype(np.float32) * (255 / 16))
    # 28 / 2.5 = 11.2 of the 12 source pixels. Bicubic: Lanczos leaves rings in the black
    enlarged = canvas.resize((28, 28), Image.Resampling.BICUBIC, box=(0.4, 0.4, 11.6, 11.6))
    return np.asarray(enlarged).round().clip(0, 255).astype(np.uint8)
