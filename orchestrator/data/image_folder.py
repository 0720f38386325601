"""The user's own pictures: every image below a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from orchestrator.data.cache import cached
from orchestrator.data.dataset import Content, Dataset, Split
from orchestrator.data.decoding import VERSION, decode_files
from orchestrator.data.digests import digests_of
from orchestrator.data.folders import folder_at, is_folder
from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from orchestrator.data.dataset import Progress

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})

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
    cache: str | None = None
    """folder for the images as decoded, to be read from there the next time; null for none"""

    places: ClassVar[frozenset[str]] = frozenset({"cache"})
    decoder_version: ClassVar[int] = VERSION

    @property
    def shape(self) -> ImageShape:
        """As set."""
        return ImageShape(self.channels, self.height, self.width)

    def count_images(self) -> int:
        """From the listing of the folder; no image is opened."""
        return len(_of_split(self._list(), "train"))

    def content(self, split: Split, limit: int | None, progress: Progress | None = None) -> Content:
        """Of each file chosen, and the labels."""
        paths = self._list()
        chosen = self._choose(paths, split, limit)
        return Content(len(chosen), digests_of([str(path) for path in chosen], progress), self._labels(paths, chosen))

    def read(self, split: Split, limit: int | None) -> ImageSet:
        """Decoded by as many threads as there are cores; opens only images asked for, none that ``cache`` holds."""
        paths = self._list()
        chosen = self._choose(paths, split, limit)
        if self.cache is None:
            return ImageSet(decode_files(chosen, self.shape), self._labels(paths, chosen))
        pixels = cached(
            self.cache,
            self.fingerprint_of(self.content(split, limit)),
            (len(chosen), *self.shape),
            lambda: decode_files(chosen, self.shape),
        )
        return ImageSet(pixels, self._labels(paths, chosen))

    def _choose(self, paths: list[Path], split: Split, limit: int | None) -> list[Path]:
        chosen = _of_split(paths, split)[:limit]
        if not chosen:
            raise DataError(f"{self._root}: {len(paths)} images, but a held-out image needs {HELD_OUT_EVERY} of them")
        return chosen

    @property
    def _root(self) -> Path:
        return folder_at(self.root, "data.root")

    def _list(self) -> list[Path]:
        """Every image below the root, sorted by relative path."""
        if not is_folder(self._root, "data.root"):
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
