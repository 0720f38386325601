"""Drawing with numpy: anti-aliased shapes, one over the other, with the same bits on every machine.

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
"""Raise it, and ``SPEC_VERSION``, when the same settings give other bits than before."""

Choice = TypeVar("Choice")
Colour = tuple[float, float, float]
"""Red, green and blue in [0, 1]."""


@dataclass(frozen=True)
class Dice:
    """Random numbers for one picture."""

    generator: np.random.Generator

    def between(self, low: float, high: float) -> float:
        """A uniform number in [low, high)."""
        # Generator.uniform may round differently on processors with fused multiply-add.
        return low + (high - low) * float(self.generator.random())

    def count(self, low: int, high: int) -> int:
        """A uniform integer from ``low`` to ``high``, inclusive."""
        return low + int(self.generator.random() * (high - low + 1))

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of ``choices``, uniformly."""
        return choices[self.count(0, len(choices) - 1)]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.generator.random() < probability)

    def near(self, colour: Colour, spread: float = 0.08) -> Colour:
        """A colour like ``colour``, each channel off by at most ``spread``."""
        red, green, blue = (min(1.0, max(0.0, part + self.between(-spread, spread))) for part in colour)
        return red, green, blue


@dataclass(frozen=True)
class Sheet:
    """A picture that is being drawn, or a part of one that shares its pixels.

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
        """The part within these bounds, in units of the height; it may be empty."""
        columns, rows = (
            slice(max(0, math.floor(low / self.pixel) - 1), max(0, math.ceil(high / self.pixel) + 1))
            for low, high in ((left, right), (top, bottom))
        )
        return Sheet(self.ink[:, rows, columns], self.x[:, columns], self.y[rows], self.pixel)

    def cover(self, distance: Plane, scale: float = 1.0) -> Plane:
        """The share of each pixel that a shape covers, from the signed distance to its edge (inside is negative).

        ``distance`` is in units of ``scale`` heights.
        """
        covered: Plane = np.clip(np.float32(0.5) - distance * np.float32(scale / self.pixel), 0, 1)
        return covered

    def lay(self, colour: Colour | Ink, share: Plane | float) -> None:
        """Blend ``colour``, one or (3, h, w), over the picture: (1 - share) ink + share colour."""
        layer = np.asarray(colour, np.float32)
        layer = layer.reshape(3, 1, 1) if layer.ndim == 1 else layer
        self.ink[:] += np.asarray(share, np.float32) * (layer - self.ink)

    def light(self, amount: Plane) -> None:
        """Make the picture brighter (> 0) or darker (< 0): ink (1 + amount)."""
        self.ink[:] *= 1 + amount

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as bytes (3, h, w)."""
        rounded: NDArray[np.uint8] = (np.clip(self.ink, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        return rounded


def wave(turns: Plane) -> Plane:
    """An approximation of sin(2 pi turns) by two parabolas."""
    phase = turns - np.floor(turns)
    phase *= 2
    phase -= 1
    result: Plane = np.abs(phase)
    result -= 1
    result *= phase
    result *= 4
    return result


def smooth(low: float, high: float, value: Plane) -> Plane:
    """Smoothstep: 0 up to ``low``, 1 from ``high`` on; ``low`` may be the greater one."""
    t: Plane = np.clip((value - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def blend(first: Colour | Ink, second: Colour | Ink, share: Plane | float) -> Ink:
    """(1 - share) first + share second, (3, h, w)."""
    start, end = (
        ink.reshape(3, 1, 1) if ink.ndim == 1 else ink
        for ink in (np.asarray(first, np.float32), np.asarray(second, np.float32))
    )
    mixed: Ink = start + share * (end - start)
    return mixed


def radius(x: Plane, y: Plane) -> Plane:
    """Distance from the origin."""
    return np.sqrt(x * x + y * y)
