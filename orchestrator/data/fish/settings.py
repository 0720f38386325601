"""Procedural images of fish in water, in colour, without any download."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from orchestrator.data.cache import cached
from orchestrator.data.dataset import Content, Dataset, Split
from orchestrator.data.fish.anatomy import draw_fish
from orchestrator.data.fish.drawing import VERSION, Dice, Sheet
from orchestrator.data.fish.species import SPECIES
from orchestrator.data.fish.water import draw_front, draw_water
from orchestrator.data.images import ImageSet, ImageShape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.data.dataset import Progress

STREAMS: dict[Split, int] = {"train": 0, "test": 1}

HELD_OUT_SHARE = 5


class ProceduralFish(Dataset):
    """One fish to an image, seen from its side, of one of five species, which is the label.

    Shape, fins, pattern, colours, place, size and direction vary, and so does the water with its plants, stones,
    bubbles and light. An image depends on ``seed``, its size, its split and its index only: a larger set begins with
    the smaller one, and train and test are drawn from independent streams (numpy's SeedSequence). There are a fifth as
    many held-out images as training images. Bits are the same on every machine: see ``drawing``.
    """

    name: Literal["procedural_fish"] = "procedural_fish"
    height: int = Field(140, ge=8, le=4096)
    """height of an image in pixels"""
    width: int = Field(320, ge=8, le=4096)
    """width of an image in pixels"""
    images: int = Field(2000, ge=1, le=1_000_000)
    """images drawn to train on"""
    seed: int = Field(0, ge=0, lt=2**63)
    """source of the images; every seed gives another set"""
    cache: str | None = None
    """folder for the images as drawn, to be read from there the next time; null for none"""

    places: ClassVar[frozenset[str]] = frozenset({"cache"})
    decoder_version: ClassVar[int] = VERSION

    @property
    def shape(self) -> ImageShape:
        """In colour, as set."""
        return ImageShape(3, self.height, self.width)

    def count_images(self) -> int:
        """As set."""
        return self.images

    def known_images(self, split: Split) -> int:
        """As set: all of them."""
        return self._count(split, self._limit(split))

    def content(self, split: Split, limit: int | None, progress: Progress | None = None) -> Content:
        """A digest of the seed and the split, which the images depend on."""
        source = hashlib.sha256(f"{self.seed} {split}".encode()).digest()
        return Content(self._count(split, limit), [source])

    def read(self, split: Split, limit: int | None) -> ImageSet:
        """Drawn, unless ``cache`` holds them, with the species as the label."""
        count = self._count(split, limit)

        def draw() -> NDArray[np.uint8]:
            pixels = np.empty((count, *self.shape), np.uint8)
            for index in range(count):
                pixels[index] = self._draw(split, index)
            return pixels

        key = self.fingerprint_of(self.content(split, limit))
        labels = [_species(self._dice(split, index)) for index in range(count)]
        return ImageSet(cached(self.cache, key, (count, *self.shape), draw), np.array(labels, np.int64))

    def _count(self, split: Split, limit: int | None) -> int:
        count = self.images if split == "train" else -(-self.images // HELD_OUT_SHARE)
        return count if limit is None else min(limit, count)

    def _dice(self, split: Split, index: int) -> Dice:
        source = np.random.SeedSequence(self.seed, spawn_key=(STREAMS[split], index))
        return Dice(np.random.Generator(np.random.Philox(source)))

    def _draw(self, split: Split, index: int) -> NDArray[np.uint8]:
        """Image ``index`` of ``split``."""
        dice = self._dice(split, index)
        species = SPECIES[_species(dice)]
        sheet = Sheet.blank(self.height, self.width)
        water = draw_water(sheet, dice)
        draw_fish(sheet, dice, species, water)
        draw_front(sheet, dice, water)
        return sheet.pixels()


def _species(dice: Dice) -> int:
    """The species' index, which is the first random number of each image."""
    return dice.count(0, len(SPECIES) - 1)
