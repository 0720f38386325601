"""The user's own pictures: every image below a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from orchestrator.data.cache import cached
from orchestrator.data.dataset import Content, Dataset, Split
from orchestrator.data.decoding import VERSION, decode_files
from orchestrator.data.digests import DigestMemo, in_threads
from orchestrator.data.folders import folder_at, is_folder
from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.data.layout import HELD_OUT_EVERY, Layout, Part, layout_of
from orchestrator.data.listing import SUFFIXES, Listing, list_images
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.data.dataset import Progress


class ImageFolder(Dataset):
    """All images below ``root`` that Pillow reads safely, in the order of their paths.

    Folders ``train``, ``val`` and ``test`` directly below ``root`` are splits; without them every tenth image (the
    10th, 20th, ...) is held out as the test set. The folder directly below ``root``, or below the split's folder,
    is an image's class; there are no classes when all images lie there themselves, and both at once is an error.
    ``max_images`` keeps as many images of each class as the classes allow. Hidden files and folders are left out.
    An image is rotated by its EXIF orientation, scaled until it just covers ``height`` x ``width`` pixels and
    cropped to its middle; transparent pixels become white.
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
        return len(self._layout()[0].train.paths)

    def notes(self) -> tuple[str, ...]:
        """The folders of splits, the files and folders that are left out, and the classes that ``max_images`` drops."""
        layout, listing = self._layout()
        notes = list(layout.notes)
        if listing.skipped:
            notes.append(f"{self._root}: left out, as no format that is read: {listing.skipped_text}")
        with_images = {path.partition("/")[0] for path in listing.images}
        if empty := [name for name in sorted(listing.folders) if name not in with_images]:
            notes.append(f"{self._root}: no images in {', '.join(empty[:5])}{' ...' if len(empty) > 5 else ''}")
        first, train = layout.train.first(self.max_images).labels, layout.train.labels
        if first is not None and train is not None:
            used, classes = len({*first.tolist()}), int(train.max()) + 1
            if used < classes:
                notes.append(f"data.max_images: {self.max_images} images are of {used} of the {classes} classes")
        return tuple(notes)

    def files(self) -> Sequence[str]:
        """The training images and the held-out ones, without those of unused splits."""
        layout, _ = self._layout()
        return [*layout.train.paths, *layout.test.paths]

    def content(self, split: Split, limit: int | None, progress: Progress | None = None) -> Content:
        """The digest of each image file, and the labels."""
        return self._content(self._choose(split, limit), progress)

    def read(self, split: Split, limit: int | None) -> ImageSet:
        """Decoded by as many threads as there are cores; opens only the images needed, none that ``cache`` holds."""
        part = self._choose(split, limit)
        paths = [self._root / path for path in part.paths]
        if self.cache is None:
            return ImageSet(decode_files(paths, self.shape), part.labels)
        content = self._content(part)
        pixels = cached(
            self.cache,
            self.fingerprint_of(content),
            (len(paths), *self.shape),
            lambda: decode_files(paths, self.shape, digests=content.digests),
        )
        return ImageSet(pixels, part.labels)

    @property
    def _root(self) -> Path:
        return folder_at(self.root, "data.root")

    def _content(self, part: Part, progress: Progress | None = None) -> Content:
        root = str(self._root)
        with DigestMemo(self._root) as memo:
            digests = in_threads(lambda path: memo.of_file(f"{root}/{path}"), part.paths, progress)
        return Content(len(part.paths), digests, part.labels)

    def _choose(self, split: Split, limit: int | None) -> Part:
        layout, listing = self._layout()
        part = layout.part(split).first(limit)
        if not part.paths:
            raise DataError(
                f"{self._root}: {len(listing.images)} images, but a held-out image needs {HELD_OUT_EVERY} of them"
            )
        return part

    def _layout(self) -> tuple[Layout, Listing]:
        """The splits and classes of all images below the root, from the names of folders, and their listing."""
        if not is_folder(self._root, "data.root"):
            raise DataError(f"{self._root}: no such folder; set data.root to the folder of the images")
        listing = list_images(self._root)
        if not listing.images:
            skipped = f"; left out, as no format that is read: {listing.skipped_text}" if listing.skipped else ""
            raise DataError(f"{self._root}: no images below it; looked for {', '.join(sorted(SUFFIXES))}{skipped}")
        return layout_of(self._root, listing), listing
