"""The user's own pictures: every image below a folder."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageOps
from pydantic import Field

from orchestrator.data.dataset import Dataset, Split
from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
"""What Pillow may try, whatever a file is called: some of its other readers start programs."""

HELD_OUT_EVERY = 10


class ImageFolder(Dataset):
    """All png, jpg, jpeg, bmp and webp images below ``root``, in the order of their paths.

    Every tenth image (the 10th, 20th, ...) is held out as the test set. Hidden files and folders are left
    out. The folder directly below ``root`` is an image's class; there are no classes when images lie in
    ``root`` itself. An image is turned as its EXIF orientation says, scaled until it just covers
    ``height`` x ``width`` pixels and cropped to its middle; what is transparent becomes white.
    """

    name: Literal["image_folder"] = "image_folder"
    root: str
    """folder that the data set lies in"""
    height: int = Field(32, ge=8, le=4096)
    """height of an image in pixels"""
    width: int = Field(32, ge=8, le=4096)
    """width of an image in pixels"""
    channels: Literal[1, 3] = 3
    """1 grey, 3 colour"""

    @property
    def shape(self) -> ImageShape:
        """As set."""
        return ImageShape(self.channels, self.height, self.width)

    def count_images(self) -> int:
        """From the listing of the folder; no image is opened."""
        return len(_of_split(self._list(), "train"))

    def read(self, split: Split, limit: int | None) -> ImageSet:
        """Decoded by as many threads as there are cores; only the images asked for are opened."""
        paths = self._list()
        chosen = _of_split(paths, split)[:limit]
        if not chosen:
            raise DataError(f"{self._root}: {len(paths)} images, but a held-out image needs {HELD_OUT_EVERY} of them")
        pixels = np.empty((len(chosen), *self.shape), np.uint8)

        def decode_into_place(index: int) -> None:
            pixels[index] = _decode(chosen[index], self.shape)

        # filters are one for all threads: set before they start, back after they end
        with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # the first failure in order ends the iteration, which cancels what has not begun
            for _ in pool.map(decode_into_place, range(len(chosen))):
                pass
        return ImageSet(pixels, self._labels(paths, chosen))

    @property
    def _root(self) -> Path:
        return Path(self.root).expanduser().absolute()

    def _list(self) -> list[Path]:
        """Every image below the root, sorted by relative path."""
        if not self._root.is_dir():
            raise DataError(f"{self._root}: no such folder; set data.root to the folder of the images")
        paths = sorted(_images_below(self._root), key=lambda path: path.relative_to(self._root).as_posix())
        if not paths:
            raise DataError(f"{self._root}: no images below it; looked for {', '.join(sorted(SUFFIXES))}")
        return paths

    def _labels(self, paths: list[Path], chosen: list[Path]) -> NDArray[np.int64] | None:
        """Index of each chosen image's folder among the sorted folders of all images."""
        if any(path.parent == self._root for path in paths):
            return None

        def folder(path: Path) -> str:
            return path.relative_to(self._root).parts[0]

        classes = {name: label for label, name in enumerate(sorted({folder(path) for path in paths}))}
        return np.array([classes[folder(path)] for path in chosen], np.int64)


def _of_split(paths: list[Path], split: Split) -> list[Path]:
    held_out = HELD_OUT_EVERY - 1
    return [path for i, path in enumerate(paths) if (i % HELD_OUT_EVERY == held_out) == (split == "test")]


def _images_below(root: Path) -> Iterator[Path]:
    """Image files by their suffix, links followed, each folder entered once even where links form a ring."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror})") from error

    entered = {root.resolve()}
    for folder, children, files in os.walk(root, followlinks=True, onerror=refuse):
        # sorted, so that of two ways to one folder the same is taken
        targets = {child: Path(folder, child).resolve() for child in sorted(children) if child[0] != "."}
        # changed in place: that is what tells os.walk where to go
        children.clear()
        for child, target in targets.items():
            if target not in entered:
                entered.add(target)
                children.append(child)
        for file in files:
            path = Path(folder, file)
            # a Mac leaves "._name.jpg" beside name.jpg, which is no image
            if path.suffix.lower() in SUFFIXES and file[0] != ".":
                yield path


def _decode(path: Path, shape: ImageShape) -> NDArray[np.uint8]:
    """The image as ``shape``. Raises DataError naming the file, whatever is wrong with it."""
    try:
        with Image.open(path, formats=FORMATS) as image:
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
