"""Seeded corruptions of images, each with the mask of the pixels that it leaves observed."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from orchestrator.data.images import ImageShape
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

GREY, BLACK = 0.5, 0.0


class Corrupted(NamedTuple):
    """Corrupted images; masks are (n, 1, h, w) bool, the same for all channels of a pixel.

    ``observed`` pixels depend on the clean image, possibly with noise; ``touched`` pixels were changed.
    """

    images: Tensor
    observed: Tensor
    touched: Tensor


class Corruption(Settings):
    """A corruption of images; it depends on the seed and the image's index only, never on the batch."""

    kind: str
    """what happens to an image"""

    @property
    def name(self) -> str:
        """A unique name: the kind, its fill, and what is not as by default.

        Examples are ``pepper``, ``holes_grey``, ``holes_black_size_4`` and ``square_random``.
        """
        words, numbers = [self.kind], []
        for field, value in self:
            other = value != type(self).model_fields[field].default
            if isinstance(value, str):
                words += [value] if field == "fill" or other else []
            elif other:
                numbers += [field, repr(value)]
        return "_".join([*words, *numbers])

    def reject(self, image: ImageShape) -> str | None:
        """Why images of this shape cannot be corrupted this way, or None where they can."""
        return None

    def apply(self, images: Tensor, indices: Sequence[int], seed: int) -> Corrupted:
        """The corrupted images (n, c, h, w) in [0, 1]; ``indices`` are those of the images in the data set.

        The shape is one that ``reject`` accepts. Bits are the same on every device.
        """
        shape = ImageShape(*images.shape[1:])
        problem = self.reject(shape)
        assert problem is None, problem
        return self._apply(images, [_dice(seed, index) for index in indices])

    @abstractmethod
    def _apply(self, images: Tensor, dice: Sequence[np.random.Generator]) -> Corrupted:
        """``apply`` with a random generator for each image."""


class GaussianNoise(Corruption):
    """Independent N(0, std^2) added to every number, not clamped: L2 is then the norm of maximum likelihood."""

    kind: Literal["gaussian_noise"] = "gaussian_noise"
    std: float = Field(0.1, gt=0.0, le=10.0)
    """standard deviation of the noise, images being in [0, 1]"""

    def _apply(self, images: Tensor, dice: Sequence[np.random.Generator]) -> Corrupted:
        import torch

        noise = [source.standard_normal(images.shape[1:], np.float32) for source in dice]
        all_pixels = torch.ones_like(images[:, :1], dtype=torch.bool)
        standard_noise = torch.from_numpy(np.stack(noise)).to(images)
        return Corrupted(images + self.std * standard_noise, all_pixels, all_pixels)


class Occlusion(Corruption):
    """Some pixels are replaced by a constant; the others do not change."""

    in_patches: ClassVar[bool] = False
    """Whether it hides whole patches, which have surroundings that are not hidden."""

    @property
    def paint(self) -> float:
        """The constant, in [0, 1]."""
        return BLACK

    @abstractmethod
    def hidden(self, image: ImageShape, dice: np.random.Generator) -> NDArray[np.bool_]:
        """The mask (h, w) of the replaced pixels of one image; never all of them and never none."""

    def _apply(self, images: Tensor, dice: Sequence[np.random.Generator]) -> Corrupted:
        import torch

        shape = ImageShape(*images.shape[1:])
        hidden = np.stack([self.hidden(shape, source) for source in dice])[:, None]
        touched = torch.from_numpy(hidden).to(images.device)
        return Corrupted(images.masked_fill(touched, self.paint), ~touched, touched)


class Holes(Occlusion):
    """Square holes within the image, at uniformly random positions; they may overlap."""

    in_patches: ClassVar[bool] = True
    kind: Literal["holes"] = "holes"
    number: int = Field(3, ge=1, le=10_000)
    """holes to an image"""
    size: int = Field(8, ge=1, le=4096)
    """side of a hole in pixels"""
    fill: Literal["grey", "black"] = "grey"
    """what the holes are filled with"""

    @property
    def paint(self) -> float:
        """Mid-grey, or black."""
        return GREY if self.fill == "grey" else BLACK

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        if problem := _too_large(self.kind, self.size, image):
            return problem
        if self.number * self.size**2 < image.height * image.width:
            return None
        return (
            f"holes: {self.number} of {self.size}x{self.size} pixels could cover the whole of an image of "
            f"{image.height}x{image.width}; lower number or size"
        )

    def hidden(self, image: ImageShape, dice: np.random.Generator) -> NDArray[np.bool_]:  # noqa: D102
        hidden = np.zeros(image[1:], np.bool_)
        for _ in range(self.number):
            top, left = _corner(self.size, image, dice)
            hidden[top : top + self.size, left : left + self.size] = True
        return hidden


class Square(Occlusion):
    """One black square: in the middle, where it hides most of a centred object, or at a uniformly random position.

    A random one is where the first of ``holes`` of its size is, so that the two differ in number and fill alone.
    """

    in_patches: ClassVar[bool] = True
    kind: Literal["square"] = "square"
    size: int = Field(8, ge=1, le=4096)
    """side of the square in pixels"""
    place: Literal["middle", "random"] = "middle"
    """where it is: in the middle of the image, or at a place drawn for each image"""

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        if problem := _too_large(self.kind, self.size, image):
            return problem
        if self.size**2 < image.height * image.width:
            return None
        return (
            f"square: {self.size}x{self.size} pixels cover the whole of an image of {image.height}x{image.width}; "
            "lower its size"
        )

    def hidden(self, image: ImageShape, dice: np.random.Generator) -> NDArray[np.bool_]:  # noqa: D102
        hidden = np.zeros(image[1:], np.bool_)
        top, left = (image.height - self.size) // 2, (image.width - self.size) // 2
        if self.place == "random":
            top, left = _corner(self.size, image, dice)
        hidden[top : top + self.size, left : left + self.size] = True
        return hidden


class Pepper(Occlusion):
    """Single black pixels, the same number in every image, at uniformly random positions."""

    kind: Literal["pepper"] = "pepper"
    share: float = Field(0.3, gt=0.0, lt=1.0)
    """share of the pixels that are black"""

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        pixels = image.height * image.width
        if 0 < round(self.share * pixels) < pixels:
            return None
        return f"pepper: a share of {self.share:g} of {pixels} pixels is none or all of them; choose another share"

    def hidden(self, image: ImageShape, dice: np.random.Generator) -> NDArray[np.bool_]:  # noqa: D102
        hidden = np.zeros(image.height * image.width, np.bool_)
        hidden[dice.permutation(len(hidden))[: round(self.share * len(hidden))]] = True
        return hidden.reshape(image[1:])


class Crosswalk(Occlusion):
    """Every second row black, from the second one on."""

    kind: Literal["crosswalk"] = "crosswalk"

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        return None if image.height > 1 else "crosswalk: needs images of more than one row"

    def hidden(self, image: ImageShape, dice: np.random.Generator) -> NDArray[np.bool_]:  # noqa: D102
        hidden = np.zeros(image[1:], np.bool_)
        hidden[1::2] = True
        return hidden


AnyCorruption = Annotated[GaussianNoise | Holes | Square | Pepper | Crosswalk, Field(discriminator="kind")]
"""Any of the above, discriminated by ``kind``."""

_STREAM = 0
"""First part of the spawn key of corruptions; the starts of latent searches use another one."""


def _dice(seed: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(_STREAM, index))))


def _corner(size: int, image: ImageShape, dice: np.random.Generator) -> tuple[int, int]:
    """Row and column of the upper left pixel of a square within the image, each place as likely as any other."""
    top, left = dice.integers(0, (image.height - size + 1, image.width - size + 1))
    return int(top), int(left)


def _too_large(kind: str, size: int, image: ImageShape) -> str | None:
    """Why squares of ``size`` pixels do not fit into an image, or None where they do."""
    side = min(image.height, image.width)
    if size <= side:
        return None
    return (
        f"{kind}: {size}x{size} pixels do not fit into images of {image.height}x{image.width}; "
        f"lower size to {side} or less"
    )
