"""A data set in memory: what a dataset's settings load and a trial draws its batches from."""

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
    """Images decoded once and kept as bytes.

    ``pixels`` is (n, channels, height, width) uint8, 0 black to 255 white; ``labels`` is (n,) int64, or None
    where the set has no classes. Plain arrays: Ray shares them between the processes of a machine without
    a copy.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def drawn(self, count: int) -> ImageSet:
        """``count`` images in an order drawn once for all, or all where there are fewer: files may be sorted."""
        chosen = order_of(len(self))[:count]
        return ImageSet(self.pixels[chosen], None if self.labels is None else self.labels[chosen])

    @property
    def has_classes(self) -> bool:
        """Whether there are labels, of two classes at least."""
        return self.labels is not None and len(self.labels) > 0 and bool((self.labels != self.labels[0]).any())

    @property
    def all_alike(self) -> bool:
        """Whether no image differs from the first one; stops at the first that does."""
        return all(bool((image == self.pixels[0]).all()) for image in self.pixels[1:])

    @property
    def shape(self) -> ImageShape:
        """Shape of one image."""
        return ImageShape(*self.pixels.shape[1:])


def order_of(count: int) -> NDArray[np.int64]:
    """The places of ``count`` images in an order drawn once for all: a larger choice begins with the smaller one."""
    import numpy as np

    return np.random.default_rng(0).permutation(count)
