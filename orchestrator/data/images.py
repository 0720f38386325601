"""A data set in memory: settings load it, and trials draw their batches from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ImageShape(NamedTuple):
    """Channels, height and width of one image, in pixels."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"


@dataclass(frozen=True)
class ImageSet:
    """Decoded images as bytes.

    ``pixels`` is (n, channels, height, width) uint8, 0 black to 255 white; ``labels`` is (n,) int64, or None if the set
    has no classes. They are plain arrays, which Ray shares between the processes of a machine without a copy.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def drawn(self, count: int) -> ImageSet:
        """At most ``count`` images, in a fixed random order, since files may be sorted by class."""
        indices = order_of(len(self))[:count]
        return ImageSet(self.pixels[indices], None if self.labels is None else self.labels[indices])

    @property
    def has_classes(self) -> bool:
        """Whether there are labels of at least two classes."""
        return self.labels is not None and len(self.labels) > 0 and bool((self.labels != self.labels[0]).any())

    @property
    def all_alike(self) -> bool:
        """Whether all images are equal; stops at the first that differs."""
        return all(bool((image == self.pixels[0]).all()) for image in self.pixels[1:])

    @property
    def shape(self) -> ImageShape:
        """Shape of one image."""
        return ImageShape(*self.pixels.shape[1:])


def order_of(count: int) -> NDArray[np.int64]:
    """The indices of ``count`` images in a fixed random order; equal counts give the same order."""
    import numpy as np

    return np.random.default_rng(0).permutation(count)
