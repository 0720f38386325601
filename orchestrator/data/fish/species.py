"""Five kinds of fish, as ranges of the random properties of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.data.fish.drawing import Colour

Range = tuple[float, float]
Palette = tuple["Colour", "Colour", "Colour", "Colour"]
"""Back, belly, pattern, fins."""


@dataclass(frozen=True)
class Species:
    """Lengths are in units of half the body's length; the body is from -1 (tail) to 1 (nose)."""

    depth: Range
    """half the body's greatest height"""
    taper: Range
    """0 an ellipse, 1 a drop that narrows towards the tail"""
    tail: Range
    """length of the tail fin"""
    spread: Range
    """half the tail fin's greatest height"""
    fork: Range
    """share of the tail fin's length that is cut out of its middle; below 0 it bulges"""
    dorsal: Range
    """height of the fin on the back"""
    anal: Range
    """height of the fin below"""
    span: tuple[float, float]
    """where the fin on the back begins and ends"""
    patterns: tuple[str, ...]
    palettes: tuple[Palette, ...]


SPECIES = (
    Species(  # angelfish: tall, with bars and long fins
        (0.60, 0.74), (0.0, 0.3), (0.40, 0.55), (0.30, 0.42), (0.0, 0.25), (0.32, 0.55), (0.32, 0.55), (-0.95, 0.25),
        ("bars", "bars", "bands", "plain"),
        (
            ((0.86, 0.84, 0.74), (0.97, 0.95, 0.88), (0.12, 0.12, 0.16), (0.80, 0.78, 0.66)),
            ((0.98, 0.80, 0.18), (0.99, 0.93, 0.50), (0.10, 0.16, 0.42), (0.96, 0.70, 0.12)),
            ((0.22, 0.34, 0.78), (0.52, 0.70, 0.96), (0.98, 0.84, 0.22), (0.98, 0.80, 0.20)),
        ),
    ),
    Species(  # goldfish: round, with a large flowing tail and patches
        (0.46, 0.60), (0.5, 0.9), (0.65, 0.95), (0.42, 0.62), (0.30, 0.55), (0.22, 0.34), (0.14, 0.24), (-0.55, 0.35),
        ("patches", "patches", "plain", "scales"),
        (
            ((0.95, 0.42, 0.08), (1.00, 0.76, 0.34), (0.99, 0.96, 0.92), (0.98, 0.58, 0.22)),
            ((0.97, 0.95, 0.92), (1.00, 0.99, 0.97), (0.90, 0.22, 0.08), (0.98, 0.90, 0.86)),
            ((0.22, 0.18, 0.20), (0.42, 0.34, 0.32), (0.93, 0.52, 0.14), (0.26, 0.22, 0.24)),
        ),
    ),
    Species(  # trout: slim, with spots and a forked tail
        (0.25, 0.33), (0.4, 0.8), (0.32, 0.45), (0.26, 0.36), (0.35, 0.60), (0.12, 0.20), (0.08, 0.14), (-0.20, 0.30),
        ("spots", "spots", "stripes", "scales"),
        (
            ((0.34, 0.42, 0.28), (0.90, 0.86, 0.74), (0.16, 0.14, 0.12), (0.62, 0.50, 0.34)),
            ((0.30, 0.42, 0.58), (0.90, 0.93, 0.96), (0.12, 0.18, 0.30), (0.52, 0.62, 0.72)),
            ((0.48, 0.32, 0.22), (0.96, 0.72, 0.46), (0.80, 0.16, 0.12), (0.80, 0.46, 0.26)),
        ),
    ),
    Species(  # clownfish: stout, with white bands and round fins
        (0.40, 0.50), (0.1, 0.4), (0.34, 0.44), (0.26, 0.34), (-0.35, -0.15), (0.16, 0.24), (0.12, 0.20), (-0.75, 0.45),
        ("bands", "bands", "bands", "plain"),
        (
            ((0.95, 0.38, 0.05), (1.00, 0.62, 0.18), (0.98, 0.98, 0.96), (0.96, 0.46, 0.08)),
            ((0.60, 0.10, 0.10), (0.86, 0.26, 0.16), (0.97, 0.95, 0.90), (0.70, 0.14, 0.10)),
            ((0.12, 0.11, 0.14), (0.30, 0.22, 0.20), (0.96, 0.96, 0.94), (0.95, 0.70, 0.16)),
        ),
    ),
    Species(  # betta: slim, with a fan of a tail that is larger than the body
        (0.26, 0.34), (0.1, 0.4), (1.00, 1.30), (0.75, 1.00), (-0.50, -0.20), (0.40, 0.60), (0.45, 0.70), (-0.85, 0.10),
        ("scales", "plain", "scales", "stripes"),
        (
            ((0.10, 0.20, 0.66), (0.20, 0.44, 0.86), (0.10, 0.78, 0.82), (0.16, 0.28, 0.86)),
            ((0.62, 0.06, 0.12), (0.84, 0.16, 0.16), (0.98, 0.46, 0.30), (0.86, 0.10, 0.20)),
            ((0.44, 0.16, 0.56), (0.70, 0.40, 0.78), (0.96, 0.62, 0.86), (0.66, 0.24, 0.74)),
            ((0.08, 0.46, 0.44), (0.30, 0.74, 0.62), (0.90, 0.96, 0.70), (0.10, 0.60, 0.56)),
        ),
    ),
)  # fmt: skip
