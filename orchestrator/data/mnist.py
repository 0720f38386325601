"""MNIST and data sets of the same format, read from torchvision's folder layout."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from orchestrator.data.dataset import Content
from orchestrator.data.idx import read_idx, read_shape
from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.data.published import PublishedDataset
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.data.dataset import Progress, Split

PREFIXES: dict[Split, str] = {"train": "train", "test": "t10k"}
PUBLISHED_TRAIN_IMAGES = 60_000
CLASSES = 10
SIDE_PX = 28


def _files_of(split: Split) -> tuple[str, str]:
    """The file names of images and labels."""
    return f"{PREFIXES[split]}-images-idx3-ubyte", f"{PREFIXES[split]}-labels-idx1-ubyte"


class IdxDataset(PublishedDataset):
    """28x28 grey images in 10 classes, in four IDX files, each raw or ``.gz``.

    The files lie in ``<root>/<folder>/raw`` and are never written, except that torchvision fetches missing ones if
    ``download`` is set. ``image_size`` 32 adds a border of two black pixels.
    """

    image_size: Literal[28, 32] = 28
    """side of an image in pixels"""

    folder: ClassVar[str]

    @property
    def shape(self) -> ImageShape:
        """One channel, square."""
        return ImageShape(1, self.image_size, self.image_size)

    def count_images(self) -> int:
        """From the header of the training images' file; the published number if it is not downloaded yet."""
        if self.awaits_download:
            return PUBLISHED_TRAIN_IMAGES
        return read_shape(self._find(_files_of("train")[0]), 3)[0]

    def files(self) -> Sequence[str]:
        """Those of the four files that exist; none if they are not downloaded yet."""
        if self.awaits_download:
            return ()
        paths = [self._find(file) for file in _files_of("train")]
        paths += filter(None, map(self._find_or_none, _files_of("test")))
        return [f"{self.folder}/raw/{path.name}" for path in paths]

    def read(self, split: Split, limit: int | None) -> ImageSet:
        """Images with their class, 0 to 9, as the label."""
        if self.awaits_download:
            self._fetch()
        images, labels = self._arrays(split, limit)
        border = (self.image_size - SIDE_PX) // 2
        pixels = np.pad(images, ((0, 0), (border, border), (border, border)))
        return ImageSet(pixels[:, np.newaxis], labels)

    def content(self, split: Split, limit: int | None, progress: Progress | None = None) -> Content:
        """The digest of the unpacked values."""
        images, labels = self._arrays(split, limit)
        return Content(len(images), [hashlib.sha256(images.tobytes()).digest()], labels)

    def _arrays(self, split: Split, limit: int | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The first ``limit`` images (n, 28, 28) and labels. Raises DataError if the files are inconsistent."""
        images_path, labels_path = map(self._find, _files_of(split))
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if images.shape[1:] != (SIDE_PX, SIDE_PX):
            height, width = images.shape[1:]
            raise DataError(f"{images_path}: images of {height}x{width}, expected {SIDE_PX}x{SIDE_PX}")
        if len(images) != len(labels):
            raise DataError(f"{labels_path}: {len(labels)} labels for the {len(images)} images of {images_path}")
        if labels.max() >= CLASSES:
            raise DataError(f"{labels_path}: label {labels.max()}, expected 0 to {CLASSES - 1}")
        return images[:limit], labels[:limit].astype(np.int64)

    @property
    def _raw(self) -> Path:
        return self.root_folder / self.folder / "raw"

    def _find(self, file: str) -> Path:
        """The raw file or else the gzipped one. Raises DataError if there is neither."""
        if path := self._find_or_none(file):
            return path
        raise DataError(
            f"{self.name}: neither {file} nor {file}.gz in {self._raw}; fetch it with "
            f"--set data.download=true, or point data.root at a folder that holds {self.folder}/raw"
        )

    def _find_or_none(self, file: str) -> Path | None:
        for path in (self._raw / file, self._raw / f"{file}.gz"):
            try:
                if path.is_file():
                    return path
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        return None

    def _missing(self) -> bool:
        try:
            return not all(self._find_or_none(file) for split in PREFIXES for file in _files_of(split))
        except DataError:
            return True

    def _fetch(self) -> None:
        # Imported here, since it takes seconds and is only needed for its mirrors and checksums.
        from torchvision import datasets

        try:
            getattr(datasets, self.folder)(self.root_folder, download=True)
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{self.name}: cannot be fetched into {self._raw} ({reason}); "
                f"put the four files of {self.folder} there by hand"
            ) from error


class Mnist(IdxDataset):
    """Handwritten digits, 60,000 and 10,000 (LeCun et al., Gradient-based learning, 1998)."""

    name: Literal["mnist"] = "mnist"
    folder: ClassVar[str] = "MNIST"


class FashionMnist(IdxDataset):
    """Clothes, 60,000 and 10,000 (Xiao et al., arXiv 1708.07747)."""

    name: Literal["fashion_mnist"] = "fashion_mnist"
    folder: ClassVar[str] = "FashionMNIST"
