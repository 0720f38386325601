"""The interface of every data set of a job file: its shape and size cheaply, its images on demand."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from pydantic import Field

from orchestrator.errors import DataError
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.data.images import ImageSet, ImageShape

    Progress: TypeAlias = Callable[[int, int], None]
    """Called with the number of files done and the number of all files."""

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Content:
    """Everything that the pixels and labels of a selection of images depend on, beside the settings."""

    count: int
    """images"""
    digests: Sequence[bytes]
    """SHA-256 of the encoded images: one for each in order, or one for all"""
    labels: NDArray[np.int64] | None = None
    """labels, if the digests do not cover them"""


class Dataset(Settings):
    """The ``data`` section of a job file.

    ``max_images`` limits the training images; the test images are always all of them. A kind is one file of this
    package: a subclass with a literal ``name`` that defines ``shape``, ``count_images``, ``content`` and ``read``, and
    ``files`` if it has a ``root``.
    """

    has_classes: ClassVar[bool] = True
    """False if no image of such a set has a label, for any settings and files."""

    decoder_version: ClassVar[int] = 1
    """Raise it when the same source gives other pixels than before: fingerprints and cached images change."""

    name: str
    """data set"""
    max_images: int | None = Field(default=None, ge=1)
    """training images kept: the first ones, of an image_folder with classes as many of each; null for all"""

    @property
    @abstractmethod
    def shape(self) -> ImageShape:
        """Shape of every image, known from the settings alone."""

    @abstractmethod
    def count_images(self) -> int:
        """The number of training images before ``max_images``, without decoding any.

        Raises DataError if the images cannot be found.
        """

    @abstractmethod
    def content(self, split: Split, limit: int | None, progress: Progress | None = None) -> Content:
        """The identity of the images that ``read`` returns, without decoding any.

        Raises DataError if the images are missing or cannot be read.
        """

    @abstractmethod
    def read(self, split: Split, limit: int | None) -> ImageSet:
        """The first ``limit`` images of ``split``, or all. Raises DataError if they cannot be read."""

    def notes(self) -> tuple[str, ...]:
        """Lines for the user: data that is left out, and how folders were interpreted.

        As cheap as ``count_images``. Raises DataError if the images cannot be found.
        """
        return ()

    def files(self) -> Sequence[str]:
        """All files that ``read`` opens for any of its splits, as paths relative to ``root``; none without a root.

        Those that only the test images need may be missing. Raises DataError if the training images cannot be found.
        """
        return ()

    @property
    def awaits_download(self) -> bool:
        """Whether the images are not downloaded yet, which ``load`` does; their content is not known before."""
        return False

    @property
    def size(self) -> int:
        """The number of training images that ``load`` will return.

        It may open a file or list a folder: call it once for a job, not once for a trial. Raises DataError if the
        images cannot be found.
        """
        count = self.count_images()
        return count if self.max_images is None else min(count, self.max_images)

    def known_images(self, split: Split) -> int | None:
        """The number of images of ``split`` that settings alone do not allow more than; None where they allow any."""
        return self.max_images if split == "train" else None

    def fingerprint(self, split: Split = "train", progress: Progress | None = None) -> str:
        """32 hexadecimal digits that are equal if ``load(split)`` returns equal images in equal order.

        It covers the content of the images within ``max_images``, their number, order and labels, the kind of data set,
        the decoded shape and the version of the decoder. It covers no path, time or container: a copy, a folder of
        another name, a zip or gzip file of the same images have the same fingerprint. Nothing is decoded. Files that
        were not touched since an earlier call are not opened again.

        Raises DataError if the images are missing, cannot be read, or are not downloaded yet.
        """
        if self.awaits_download:
            raise DataError(
                f"{self.name}: got no images yet, expected them to be there; they are fetched when a trial runs"
            )
        return self.fingerprint_of(self.content(split, self._limit(split), progress))

    def fingerprint_of(self, content: Content) -> str:
        """The fingerprint of images of this kind and shape that follow from ``content``."""
        labelled = content.labels is not None
        header = [self.name, self.decoder_version, *self.shape, content.count, len(content.digests), labelled]
        digest = hashlib.sha256(json.dumps(header).encode())
        # All digests have the same length, so that the joined bytes are unambiguous.
        digest.update(b"".join(content.digests))
        if content.labels is not None:
            digest.update(content.labels.astype("<i8").tobytes())
        return digest.hexdigest()[:32]

    def load(self, split: Split = "train") -> ImageSet:
        """The images of ``split``, always the same ones in the same order; train and test share none.

        Raises DataError naming the file that is missing or damaged.
        """
        images = self.read(split, self._limit(split))
        assert images.shape == self.shape, f"{self.name} gave {images.shape}, promised {self.shape}"
        return images

    def _limit(self, split: Split) -> int | None:
        return self.max_images if split == "train" else None
