"""Drawing with numpy: anti-aliased shapes, laid one over the other, the same to the last bit everywhere.

Only operations that IEEE 754 rounds exactly are used on pixels (no sine, no exponential, no sum over an axis),
because libraries and processors differ in the last digit of the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ink = NDArray[np.floating[Any]]
    """float32 (3, h, w)."""
    Plane = NDArray[np.floating[Any]]
    """float32 (h, w), or (h, 1) or (1, w) where rows or columns are all alike."""

VERSION = 1
"""Raise it, and ``SPEC_VERSION``, when the same settings no longer give the same bits."""

Choice = TypeVar("Choice")
Colour = tuple[float, float, float]
"""Red, green and blue in [0, 1]."""


@dataclass(frozen=True)
class Dice:
    """Draws for one picture."""

    generator: np.random.Generator

    def between(self, low: float, high: float) -> float:
        """Evenly in [low, high)."""
        # Generator.uniform may round in another way on a processor that multiplies and adds in one
        return low + (high - low) * float(self.generator.random())

    def count(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both possible."""
        return low + int(self.generator.random() * (high - low + 1))

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of ``choices``, each as likely."""
        return choices[self.count(0, len(choices) - 1)]

    def chance(self, probability: float) -> bool:
        """Whether something happens."""
        return bool(self.generator.random() < probability)

    def near(self, colour: Colour, spread: float = 0.08) -> Colour:
        """A colour like ``colour``, each channel off by at most ``spread``."""
        red, green, blue = (min(1.0, max(0.0, part + self.between(-spread, spread))) for part in colour)
        return red, green, blue


@dataclass(frozen=True)
class Sheet:
    """A picture in the making, or a part of one that shares its pixels.

    ``ink`` is (3, h, w) in [0, 1]; ``x`` (1, w) and ``y`` (h, 1) are the pixels' centres in units of the
    picture's height, from its top left; ``pixel`` is a pixel's side in that unit.
    """

    ink: Ink
    x: Plane
    y: Plane
    pixel: float

    @classmethod
    def blank(cls, height: int, width: int) -> Sheet:
        """All black."""
        pixel = 1 / height
        x, y = ((np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(height) for side in (width, height))
        return cls(np.zeros((3, height, width), np.float32), x[np.newaxis], y[:, np.newaxis], pixel)

    def part(self, left: float, right: float, top: float, bottom: float) -> Sheet:
        """What lies between, in units of the height; it may be empty."""
        columns, rows = (
            slice(max(0, math.floor(low / self.pixel) - 1), max(0, math.ceil(high / self.pixel) + 1))
            for low, high in ((left, right), (top, bottom))
        )
        return Sheet(self.ink[:, rows, columns], self.x[:, columns], self.y[rows], self.pixel)

    def cover(self, distance: Plane, scale: float = 1.0) -> Plane:
        """How much of each pixel a shape covers, from the signed distance to its edge (inside is negative).

        ``distance`` is in units of ``scale`` heights.
        """
        covered: Plane = np.clip(np.float32(0.5) - distance * np.float32(scale / self.pixel), 0, 1)
        return covered

    def lay(self, colour: Colour | Ink, share: Plane | float) -> None:
        """Put ``colour``, one or (3, h, w), over what is there; ``share`` 1 hides it."""
        over = np.asarray(colour, np.float32)
        over = over.reshape(3, 1, 1) if over.ndim == 1 else over
        self.ink[:] += np.asarray(share, np.float32) * (over - self.ink)

    def light(self, amount: Plane) -> None:
        """Make what is there brighter (> 0) or darker (< 0)."""
        self.ink[:] *= 1 + amount

    def pixels(self) -> NDArray[np.uint8]:
        """(3, h, w)."""
        rounded: NDArray[np.uint8] = (np.clip(self.ink, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        return rounded


def wave(turns: Plane) -> Plane:
    """Like sin(2 pi turns), of two parabolas."""
    phase = turns - np.floor(turns)
    phase *= 2
    phase -= 1
    result: Plane = np.abs(phase)
    result -= 1
    result *= phase
    result *= 4
    return result


def smooth(low: float, high: float, value: Plane) -> Plane:
    """0 up to ``low``, 1 from ``high`` on, and without a kink between them; ``low`` may be the higher one."""
    t: Plane = np.clip((value - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def blend(one: Colour | Ink, other: Colour | Ink, share: Plane | float) -> Ink:
    """(3, h, w): ``one`` where ``share`` is 0, ``other`` where it is 1."""
    first, second = (
        part.reshape(3, 1, 1) if part.ndim == 1 else part
        for part in (np.asarray(one, np.float32), np.asarray(other, np.float32))
    )
    mixed: Ink = first + share * (second - first)
    return mixed


def radius(x: Plane, y: Plane) -> Plane:
    """Distance from the origin."""
    return np.sqrt(x * x + y * y)
