"""One fish, seen from its side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.data.fish.drawing import Colour, Dice, Sheet, blend, radius, smooth, wave
from orchestrator.data.fish.patterns import pattern
from orchestrator.data.fish.water import blend_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.data.fish.drawing import Ink, Plane
    from orchestrator.data.fish.species import Palette, Species
    from orchestrator.data.fish.water import Water

Fins = tuple[Colour, Colour, float]
"""Colours at the root and at the rim, and the opacity."""


@dataclass(frozen=True)
class Body:
    """The part of the sheet that the fish is on, in its own coordinates.

    ``u`` is -1 at the root of the tail and 1 at the nose, ``v`` points up, both in units of ``half``, half the
    body's length in picture heights. ``edge`` is the signed distance to the body's outline in that unit,
    ``rise`` the half height of the body at each ``u``.
    """

    sheet: Sheet
    half: float
    u: Plane
    v: Plane
    edge: Plane
    rise: Plane
    haze: float
    tint: Colour
    """of the water, blended into every colour with the share ``haze``"""

    def lay(self, colour: Colour | Ink, distance: Plane, share: float = 1.0) -> None:
        """Draw a shape of the fish from the distance to its edge."""
        hazy = blend(colour, self.tint, self.haze)
        self.sheet.lay(hazy, share * self.sheet.cover(distance, self.half))

    def part(self, back: float, front: float, low: float = -9, high: float = 9) -> Body:
        """The part within these bounds of ``u`` and ``v``, with a small margin."""
        if not self.u.size:
            return self
        # Both are monotonic along each row and column, except for the bend, which changes v by 0.15 at most.
        u, v = self.u[[0, -1]], self.v[:, [0, -1]]
        columns = _range((u.max(axis=0) >= back) & (u.min(axis=0) <= front))
        rows = _range((v.max(axis=1) >= low - 0.15) & (v.min(axis=1) <= high + 0.15))
        sheet = Sheet(self.sheet.ink[:, rows, columns], self.sheet.x[:, columns], self.sheet.y[rows], self.sheet.pixel)
        u, v, edge, rise = (plane[rows, columns] for plane in (self.u, self.v, self.edge, self.rise))
        return Body(sheet, self.half, u, v, edge, rise, self.haze, self.tint)


def _range(mask: NDArray[np.bool_]) -> slice:
    """The slice from the first to the last true entry."""
    indices = np.flatnonzero(mask)
    return slice(int(indices[0]), int(indices[-1]) + 1) if len(indices) else slice(0, 0)


def draw_fish(sheet: Sheet, dice: Dice, species: Species, water: Water) -> None:
    """One fish of ``species``, whole or nearly whole in the picture."""
    depth, tail = dice.between(*species.depth), dice.between(*species.tail)
    dorsal, anal = dice.between(*species.dorsal), dice.between(*species.anal)
    spread = dice.between(*species.spread)
    width = float(sheet.x[0, -1])
    above, below = max(depth + 0.8 * dorsal, spread), max(depth + 0.8 * anal, spread)
    # The largest size that fits, then a random smaller one.
    half = min(0.92 / (above + below), 0.9 * width / (2 + tail)) * dice.between(0.72, 1)
    facing = dice.pick([-1, 1])
    room = max(0.0, width - (2 + tail) * half)
    x = half * (1 + tail if facing > 0 else 1) + room * dice.between(0.1, 0.9)
    y = above * half + max(0.0, 0.97 - (above + below) * half) * dice.between(0.1, 0.9)
    _shadow(sheet, x, half, water, y)
    reach = max(above, below) + 0.35
    back, front = (1.15 + tail) * half, 1.15 * half
    left, right = (back, front) if facing > 0 else (front, back)
    area = sheet.part(x - left, x + right, y - reach * half, y + reach * half)
    body = _place(area, dice, (x, y, half, facing), depth, dice.between(*species.taper), water)
    palette = _colours(dice, species)
    fins = _fin_colours(dice, palette)
    _tail(body, dice, fins, tail, spread, dice.between(*species.fork))
    _ridge(body, dice, fins, dorsal, species.span, up=True)
    first, last = species.span
    _ridge(body, dice, fins, anal, (first, first + 0.6 * (last - first)), up=False)
    _skin(body, dice, species, palette, _caustics_on(area, sheet, water))
    _face(body, dice, depth, palette)
    _side_fin(body, dice, depth, palette)


def _colours(dice: Dice, species: Species) -> Palette:
    back, belly, mark, fin = (dice.near(colour) for colour in dice.pick(species.palettes))
    return back, belly, mark, fin


def _caustics_on(area: Sheet, sheet: Sheet, water: Water) -> Plane:
    """The part of the net of light that lies on ``area``."""
    top, left = (
        round(float(part.flat[0] - whole.flat[0]) / sheet.pixel) if part.size else 0
        for part, whole in ((area.y, sheet.y), (area.x, sheet.x))
    )
    return water.caustics[top : top + area.y.size, left : left + area.x.size]


def _place(
    area: Sheet, dice: Dice, at: tuple[float, float, float, int], depth: float, taper: float, water: Water
) -> Body:
    """The fish's own coordinates, turned by at most 11 degrees and a little bent, and its outline."""
    x, y, half, facing = at
    slope = dice.between(-0.2, 0.2)
    cosine = 1 / math.sqrt(1 + slope * slope)
    right, down = (area.x - x) / half, (area.y - y) / half
    u = (facing * cosine) * right + (facing * slope * cosine) * down
    v = (slope * cosine) * right - cosine * down
    v = v + dice.between(-0.07, 0.07) * u * u
    # Half the height, squared: between an ellipse and a drop, both 0 at the nose and blunt at the tail.
    lean, foot = taper / 1.2, 0.035
    p = _product((1, -1), ((1 - taper) * (1 + foot) + lean * (1 + foot), (1 - taper) + 2 * lean, lean))
    p = [depth * depth * c for c in p]
    square = ((p[3] * u + p[2]) * u + p[1]) * u + p[0]
    steep = (3 * p[3] * u + 2 * p[2]) * u + p[1]
    belly = dice.between(0.85, 1.15)
    w = np.where(v < 0, v * np.float32(belly), v)
    edge = (w * w - square) / np.sqrt(steep * steep + 4 * w * w + np.float32(1e-4))
    edge = np.maximum(edge, -1 - u)
    rise = np.sqrt(np.maximum(square, np.float32(1e-4)))
    return Body(area, half, u, w, edge, rise, dice.between(0.0, 0.22), water.tint)


def _product(first: tuple[float, ...], second: tuple[float, ...]) -> list[float]:
    """Coefficients of the product of two polynomials, in ascending order."""
    result = [0.0] * (len(first) + len(second) - 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            result[i + j] += a * b
    return result


def _shadow(sheet: Sheet, x: float, half: float, water: Water, y: float) -> None:
    """The fish's shadow on the floor, fainter the higher the fish swims."""
    at = water.floor + 0.09
    part = sheet.part(x - half, x + half, at - 0.08, at + 0.08)
    near = np.clip(1 - radius((part.x - x) / half, (part.y - at) / 0.07), 0, 1)
    part.light(-0.55 * max(0.2, y) * near)


def _fin_colours(dice: Dice, palette: Palette) -> Fins:
    _, belly, mark, fin = palette
    rim = dice.pick([blend_of(fin, (1, 1, 1), 0.45), mark, blend_of(fin, (0, 0, 0), 0.3), belly])
    return fin, rim, dice.between(0.7, 0.95)


def _tail(body: Body, dice: Dice, fins: Fins, length: float, spread: float, fork: float) -> None:
    body, (root, rim, share) = body.part(-1.4 - 1.2 * length, -0.8), fins
    behind = -0.86 - body.u
    v = body.v + dice.between(-0.12, 0.12) * np.maximum(behind, 0) / length * spread
    part = np.clip(behind / (length + 0.14), 0, 1)
    open_ = part * (1.6 - 0.6 * part) if fork > 0 else part * (2 - part)
    half = 0.09 + (spread - 0.09) * open_
    across = np.abs(v) / spread
    end = 1 - fork * (1 - across) * (1 - across) if fork > 0 else 1 + fork * across * across
    end = end + dice.between(0.0, 0.035) * wave(v * (2.5 / spread) + dice.between(0, 1))
    edge = np.maximum((np.abs(v) - half) * 0.8, behind - (length + 0.14) * end)
    rays = wave(v / half * dice.between(4, 7))
    colour = blend(root, rim, smooth(0.3, 1.05, part)) * (1 + (0.14 * part + 0.04) * rays)
    body.lay(colour, np.maximum(edge, -0.05 - behind), share)


def _ridge(body: Body, dice: Dice, fins: Fins, tall: float, span: tuple[float, float], *, up: bool) -> None:
    """The fin along the back, or the one below."""
    root, rim, share = fins
    body = body.part(span[0] - 0.1 - tall, span[1] + 0.1, *((0, 9) if up else (-9, 0)))
    first, last = span[0] + dice.between(-0.06, 0.06), span[1] + dice.between(-0.08, 0.08)
    over = (body.v if up else -body.v) - body.rise
    s = (body.u - first + 0.45 * np.maximum(over, 0)) / (last - first)
    rest = 1 - s
    bump = dice.pick(["even", "tailward", "noseward"] if up else ["even", "tailward"])
    # The maximum of each shape is 1.
    height = s * rest * (4 if bump == "even" else 6.75 * (rest if bump == "tailward" else s))
    height = np.where((s > 0) & (s < 1), tall * height, np.float32(-1))
    height = height * (1 + 0.07 * wave(s * dice.between(6, 10)))
    rays = wave(s * dice.between(9, 14) + 0.3 * over)
    colour = blend(root, rim, smooth(0.1, 1.0, over / tall)) * (1 + 0.12 * rays)
    body.lay(colour, np.maximum((over - height) * 0.7, -over - 0.1), share)


def _skin(body: Body, dice: Dice, species: Species, palette: Palette, caustics: Plane) -> None:
    back, belly, mark, _ = palette
    n = np.clip(body.v / body.rise, -1, 1)
    colour = blend(belly, back, smooth(dice.between(-0.9, -0.3), dice.between(0.2, 0.8), n))
    kind = dice.pick(species.patterns)
    colour = pattern(kind, dice, body.u, body.v, n, body.sheet.pixel / body.half, colour, mark)
    # Light from above, a darker rim, and a gloss along the upper side.
    shine = np.clip(1 - np.abs(n - 0.5) * 2.6, 0, 1)
    rim = smooth(0.10, 0.0, -body.edge)
    light = 0.78 + 0.26 * smooth(-1, 0.7, n) - 0.22 * rim
    light += 0.35 * np.clip(n, 0, 1) * caustics
    colour *= light
    colour += dice.between(0.08, 0.22) * shine * shine
    body.lay(colour, body.edge)


def _face(body: Body, dice: Dice, depth: float, palette: Palette) -> None:
    """Gill, mouth and eye."""
    whole = body
    body = whole.part(0.3, 1.1)
    u, v = body.u, body.v
    part = np.abs(radius(u - 0.18, v * (0.36 / depth)) - 0.32)
    body.lay(blend_of(palette[0], (0, 0, 0), 0.5), np.maximum(part - 0.012, 0.36 - u), 0.45)
    mouth = -0.10 * depth
    line = np.abs(v - mouth - 0.25 * (u - 0.95)) - 0.012
    body.lay((0.15, 0.08, 0.08), np.maximum(np.maximum(line, 0.87 - u), body.edge), 0.7)
    size = dice.between(0.075, 0.10) * (0.75 + 0.6 * depth)
    at_u, at_v = 0.66, depth * 0.24
    body = whole.part(at_u - 0.2, at_u + 0.2, at_v - 0.2, at_v + 0.2)
    u, v = body.u - at_u, body.v - at_v
    away = radius(u, v)
    body.lay((0.05, 0.05, 0.07), away - 1.12 * size, 0.6)
    body.lay(dice.pick([(0.98, 0.97, 0.92), (0.98, 0.86, 0.35), (0.95, 0.60, 0.25)]), away - size)
    body.lay((0.03, 0.03, 0.05), away - 0.62 * size)
    body.lay((1, 1, 1), radius(u - 0.22 * size, v - 0.28 * size) - 0.22 * size)


def _side_fin(body: Body, dice: Dice, depth: float, palette: Palette) -> None:
    """The fin behind the gill: a drop with its tip towards the back and downwards."""
    long, drop = dice.between(0.28, 0.42), dice.between(0.2, 0.9)
    scale = 1 / math.sqrt(1 + drop * drop)
    body = body.part(-0.15, 0.6, -0.75, 0.15)
    du, dv = body.u - 0.36, body.v + 0.30 * depth
    along, aside = (-du - drop * dv) * scale, (dv - drop * du) * scale
    s = along / long
    half = 0.32 * long * np.clip(1.4 * s * (1.55 - s), 0, 1)
    edge = np.maximum(np.abs(aside) - half, np.maximum(along - long, -along))
    fin = blend_of(palette[3], palette[0], 0.2)
    colour = blend(blend_of(fin, (0, 0, 0), 0.25), blend_of(fin, (1, 1, 1), 0.25), np.clip(s, 0, 1))
    colour *= 1 + 0.12 * wave(aside / (np.abs(along) + 0.08) * 3.5)
    body.lay(colour, edge, 0.8)
