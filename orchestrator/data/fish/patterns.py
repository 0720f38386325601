"""Patterns of fish: bars, bands, stripes, spots, patches, scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.data.fish.drawing import Colour, Dice, blend, radius, smooth, wave

if TYPE_CHECKING:
    from orchestrator.data.fish.drawing import Ink, Plane


def pattern(kind: str, dice: Dice, u: Plane, v: Plane, n: Plane, pixel: float, colour: Ink, mark: Colour) -> Ink:
    """``colour``, (3, h, w), with ``mark`` on it.

    ``u`` and ``v`` are along and across the body, ``n`` is -1 at the belly and 1 at the back, ``pixel`` is a
    pixel's side in the unit of ``u``.
    """
    if kind == "bands":
        return _bands(dice, u, n, pixel, colour, mark)
    if kind == "bars":
        turns = u * dice.between(1.2, 2.2) + dice.between(0, 1) + 0.05 * wave(v * 1.3)
        share = smooth(0.1, 0.6, wave(turns)) * 0.92
    elif kind == "stripes":
        turns = n * dice.between(1.0, 2.2) + dice.between(0, 1) + 0.06 * wave(u * 1.1)
        share = smooth(0.1, 0.7, wave(turns)) * 0.75 * smooth(0.75, 0.5, u)
    elif kind == "spots":
        share = _spots(dice, u, v, pixel) * smooth(-0.5, 0.1, n) * 0.85
    elif kind == "patches":
        share = smooth(0.0, 0.25, _noise(dice, u, v))
    elif kind == "scales":
        share = _scales(dice, u, v, pixel) * 0.5
    else:
        share = smooth(dice.between(0.1, 0.5), dice.between(-1.4, -0.8), u) * dice.between(0.0, 0.6)
    return blend(colour, mark, share)


def _bands(dice: Dice, u: Plane, n: Plane, pixel: float, colour: Ink, mark: Colour) -> Ink:
    """Two or three curved bands, each with a dark line at both sides."""
    bent = u + dice.between(-0.08, 0.12) * (1 - n * n)
    soft = max(0.02, pixel)
    for at in (0.40, -0.18, -0.78)[: dice.count(2, 3)]:
        away = np.abs(bent - at - dice.between(-0.05, 0.05)) - dice.between(0.07, 0.13)
        colour = blend(colour, (0.06, 0.05, 0.08), 0.85 * smooth(0.045 + soft, 0.045, away))
        colour = blend(colour, mark, smooth(soft, 0, away))
    return colour


def _spots(dice: Dice, u: Plane, v: Plane, pixel: float) -> Plane:
    """One spot in most cells of a grid, off its middle."""
    cells = dice.between(5.5, 9)
    x, y = u * cells + 32, v * cells + 32
    column, row = np.floor(x), np.floor(y)
    index = (column.astype(np.int64) & 15) * 16 + (row.astype(np.int64) & 15)
    table = dice.generator.random((3, 256)).astype(np.float32)
    off_x, off_y, size = table[:, index]
    away = radius(x - column - (0.32 + 0.36 * off_x), y - row - (0.32 + 0.36 * off_y))
    soft = max(0.08, pixel * cells)
    inside = smooth(0.5 * soft, -0.5 * soft, away - (0.36 * size - 0.04))
    return np.where(size > np.float32(0.2), inside, np.float32(0))


def _noise(dice: Dice, u: Plane, v: Plane) -> Plane:
    """Clouds: a sum of waves in several directions, about -1 to 1."""
    total = wave(u * dice.between(0.4, 0.8) + v * dice.between(-0.6, 0.6) + dice.between(0, 1)) * np.float32(0.6)
    for size in (0.45, 0.3):
        along, across = dice.between(0.5, 1.6), dice.between(-1.6, 1.6)
        total = total + size * wave(u * along + v * across + dice.between(0, 1) + 0.2 * total)
    return total


def _scales(dice: Dice, u: Plane, v: Plane, pixel: float) -> Plane:
    """A net of lozenges, which fades if pixels are too coarse for it."""
    per = dice.between(6, 9)
    net = wave((u + v * 1.3) * per) * wave((u - v * 1.3) * per)
    return smooth(-0.2, 0.9, net) * min(1.0, max(0.0, 1.5 - 2.5 * pixel * per)) + np.float32(0.15)
