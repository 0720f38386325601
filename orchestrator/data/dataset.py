"""What every data set of a job file answers: its shape and size cheaply, its images on demand."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.data.images import ImageSet, ImageShape

Split = Literal["train", "test"]


class Dataset(Settings):
    """The ``data`` section of a job file.

    ``max_images`` keeps only the first so many training images; the test images are never cut.
    A kind is one file of this package: a subclass with a literal ``name`` that defines ``shape``,
    ``count_images`` and ``read``.
    """

    has_classes: ClassVar[bool] = True
    """False where no image of such a set has a label, whatever the settings and the files."""

    name: str
    """data set"""
    max_images: int | None = Field(default=None, ge=1)
    """training images kept, the first ones; null for all"""

    @property
    @abstractmethod
    def shape(self) -> ImageShape:
        """Shape of every image, known from the settings alone."""

    @abstractmethod
    def count_images(self) -> int:
        """Training images there are before ``max_images``, told without decoding any.

        Raises DataError where the images cannot be found.
        """

    @abstractmethod
    def read(self, split: Split, limit: int | None) -> ImageSet:
        """The first ``limit`` images of ``split``, or all. Raises DataError where that cannot be done."""

    @property
    def size(self) -> int:
        """Training images that ``load`` will give.

        It may open a file or list a folder: ask once for a job, not once for a trial. Raises DataError where
        the images cannot be found.
        """
        count = self.count_images()
        return count if self.max_images is None else min(count, self.max_images)

    def load(self, split: Split = "train") -> ImageSet:
        """The images of ``split``, always the same ones in the same order; train and test share none.

        Raises DataError naming the file that is missing or damaged.
        """
        images = self.read(split, self.max_images if split == "train" else None)
        assert images.shape == self.shape, f"{self.name} gave {images.shape}, promised {self.shape}"
        return images
