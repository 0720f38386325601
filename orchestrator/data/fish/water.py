"""The water that fish are drawn into: light from above, a sandy floor, stones, plants and bubbles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.data.fish.drawing import Colour, Dice, Sheet, blend, radius, smooth, wave

if TYPE_CHECKING:
    from orchestrator.data.fish.drawing import Plane

WATERS: tuple[tuple[Colour, Colour], ...] = (
    ((0.45, 0.85, 0.88), (0.05, 0.42, 0.58)),  # a lagoon
    ((0.25, 0.62, 0.86), (0.02, 0.13, 0.38)),  # open sea
    ((0.62, 0.80, 0.52), (0.10, 0.30, 0.22)),  # a pond
    ((0.55, 0.55, 0.80), (0.12, 0.10, 0.32)),  # at dusk
    ((0.72, 0.88, 0.86), (0.22, 0.48, 0.50)),  # a bright tank
)
SANDS: tuple[Colour, ...] = ((0.86, 0.77, 0.58), (0.70, 0.62, 0.52), (0.90, 0.86, 0.76), (0.52, 0.46, 0.40))
LEAVES: tuple[Colour, ...] = ((0.20, 0.55, 0.22), (0.42, 0.62, 0.18), (0.10, 0.42, 0.34), (0.58, 0.25, 0.28))
STONES: tuple[Colour, ...] = ((0.45, 0.44, 0.46), (0.36, 0.30, 0.30), (0.78, 0.42, 0.45), (0.66, 0.50, 0.72))


@dataclass(frozen=True)
class Water:
    """Properties of the water that affect the fish."""

    tint: Colour
    """of what is far away"""
    floor: float
    """where the floor begins, in picture heights from the top"""
    caustics: Plane
    """(h, w), the net of light, in [0, 1]"""


def draw_water(sheet: Sheet, dice: Dice) -> Water:
    """Draw everything behind the fish."""
    top, bottom = dice.pick(WATERS)
    top, bottom = dice.near(top), dice.near(bottom)
    depth = smooth(dice.between(-0.3, 0.0), dice.between(0.9, 1.4), sheet.y)
    sheet.ink[:] = blend(top, bottom, depth)
    _beams(sheet, dice)
    caustics = _caustics(sheet, dice)
    floor = dice.between(0.76, 0.97)
    _floor(sheet, dice, floor, bottom, caustics)
    for _ in range(dice.count(0, 4)):
        _stone(sheet, dice, floor, bottom)
    width = float(sheet.x[0, -1])
    for _ in range(dice.count(0, 3)):
        centre, leaf = dice.between(0, width), dice.near(dice.pick(LEAVES))
        tall = dice.between(0.25, 0.8)
        haze = dice.between(0.1, 0.55)
        for _ in range(dice.count(2, 5)):
            at = centre + dice.between(-0.13, 0.13)
            draw_blade(sheet, dice, at, floor + 0.06, tall * dice.between(0.6, 1.1), blend_of(leaf, bottom, haze))
    return Water(blend_of(top, bottom, 0.55), floor, caustics)


def draw_front(sheet: Sheet, dice: Dice, water: Water) -> None:
    """Draw everything in front of the fish."""
    width = float(sheet.x[0, -1])
    for _ in range(dice.count(0, 2)):
        x, y = dice.between(0, width), dice.between(0.5, 0.9)
        for _ in range(dice.count(2, 6)):
            y -= dice.between(0.05, 0.16)
            _bubble(sheet, x + dice.between(-0.03, 0.03), y, dice.between(0.010, 0.032))
    for _ in range(dice.count(0, 10)):
        _speck(sheet, dice.between(0, width), dice.between(0, 1), dice.between(0.004, 0.012))
    if dice.chance(0.3):
        leaf = blend_of(dice.pick(LEAVES), water.tint, 0.15)
        at = dice.pick([dice.between(0, 0.2 * width), dice.between(0.8 * width, width)])
        for _ in range(dice.count(1, 3)):
            draw_blade(sheet, dice, at + dice.between(-0.1, 0.1), 1.05, dice.between(0.3, 0.6), leaf)


def blend_of(first: Colour, second: Colour, share: float) -> Colour:
    """The colour (1 - share) first + share second."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def _beams(sheet: Sheet, dice: Dice) -> None:
    """Rays of light, slanted, fading with depth."""
    across = sheet.x + sheet.y * dice.between(-0.7, 0.7)
    broad = wave(across * dice.between(0.6, 1.3) + dice.between(0, 1))
    narrow = wave(across * dice.between(1.7, 3.1) + dice.between(0, 1))
    fade = np.clip(1 - sheet.y * dice.between(0.8, 1.3), 0, 1) * dice.between(0.05, 0.35)
    sheet.lay((1, 1, 0.94), np.clip(broad + narrow * 0.6, 0, 1) * fade)


def _caustics(sheet: Sheet, dice: Dice) -> Plane:
    """Bright lines where three waves that bend each other cancel."""
    scale = dice.between(1.6, 2.8)
    x = sheet.x * scale
    y = sheet.y * (scale * 1.6)
    p, q = dice.between(0, 1), dice.between(0, 1)
    bent = x + 0.35 * wave(y * 0.7 + p)
    total = wave(bent + 0.4 * y) + wave(bent * 0.6 - y * 0.8 + q) + wave(y + 0.3 * wave(x + p))
    line = np.clip(1 - np.abs(total) * 0.9, 0, 1)
    return line * line


def _floor(sheet: Sheet, dice: Dice, level: float, far: Colour, caustics: Plane) -> None:
    """Sand from ``level`` down, hazy where it begins."""
    sheet.light(dice.between(0.0, 0.08) * caustics)
    sheet = sheet.part(0, 2 * float(sheet.x[0, -1]), level - 0.04, 1)
    caustics = caustics[caustics.shape[0] - sheet.y.size :]
    edge = level + dice.between(0.005, 0.03) * wave(sheet.x * dice.between(0.3, 0.8) + dice.between(0, 1))
    ripples = wave(sheet.x * 1.5 + (sheet.y - level) * dice.between(14, 30) + 0.3 * wave(sheet.x * 3))
    sand = blend(far, dice.near(dice.pick(SANDS)), smooth(-0.05, 0.3, sheet.y - edge))
    sand *= 1 + 0.06 * ripples + dice.between(0.15, 0.5) * caustics
    sheet.lay(sand, smooth(0, 0.03, sheet.y - edge))


def _stone(sheet: Sheet, dice: Dice, floor: float, far: Colour) -> None:
    """A stone or a coral: one to three lumps, lit from above."""
    at, size = dice.between(0, float(sheet.x[0, -1])), dice.between(0.05, 0.15)
    stone = blend_of(dice.near(dice.pick(STONES)), far, dice.between(0.15, 0.5))
    for _ in range(dice.count(1, 3)):
        x, y, r = at + dice.between(-1, 1) * size, floor + dice.between(0.02, 0.08), size * dice.between(0.6, 1.1)
        part = sheet.part(x - 1.3 * r, x + 1.3 * r, y - r, y + 0.4 * r)
        u, v = (part.x - x) / (1.25 * r), (part.y - y) / r
        rough = 1 + 0.05 * wave(u * 1.7 + v) + 0.04 * wave(v * 2.3 - u)
        share = part.cover(np.maximum(radius(u, v) * rough - 0.95, v - 0.35), r)
        shade = 0.75 - 0.45 * v + 0.08 * wave(u * 3 + v * 2) * wave(v * 4 - u)
        part.lay(np.asarray(stone, np.float32).reshape(3, 1, 1) * shade, share)


def draw_blade(sheet: Sheet, dice: Dice, at: float, base: float, tall: float, colour: Colour) -> None:
    """Draw one leaf of a water plant, which stands on ``base`` and sways more with height."""
    sway = dice.between(0.03, 0.10)
    part = sheet.part(at - sway - 0.05, at + sway + 0.05, base - tall, base)
    s = (base - part.y) / tall
    middle = at + sway * s * wave(s * dice.between(0.5, 0.9) + dice.between(0, 1))
    half = dice.between(0.012, 0.032) * (1 - s * s) * (1 + 0.18 * wave(s * dice.between(5, 9)))
    off = part.x - middle
    leaf = blend(blend_of(colour, (0, 0.1, 0.1), 0.45), blend_of(colour, (1, 1, 0.6), 0.15), s)
    part.lay(leaf * (1 + 4 * off), part.cover(np.abs(off) - half))


def _bubble(sheet: Sheet, x: float, y: float, r: float) -> None:
    part = sheet.part(x - r, x + r, y - r, y + r)
    u, v = part.x - x, part.y - y
    away = radius(u, v)
    part.lay((0.85, 0.96, 1), 0.16 * part.cover(away - r))
    part.lay((0.92, 0.99, 1), 0.7 * part.cover(np.abs(away - 0.88 * r) - 0.09 * r))
    part.lay((1, 1, 1), 0.9 * part.cover(radius(u + 0.35 * r, v + 0.35 * r) - 0.2 * r))


def _speck(sheet: Sheet, x: float, y: float, r: float) -> None:
    part = sheet.part(x - r, x + r, y - r, y + r)
    part.lay((0.95, 1, 0.95), 0.35 * np.clip(1 - radius(part.x - x, part.y - y) / r, 0, 1))
