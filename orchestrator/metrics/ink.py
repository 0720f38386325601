"""What of a drawing another one keeps: its ink, its extent, its small parts. For bright drawings on a dark ground."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

INK = 0.5
"""A pixel has ink if the mean of its channels is at least this, images being in [0, 1]."""
SMALL = 0.25
"""A part of a drawing is small if it has less than this share of the pixels of the largest part."""
_NEIGHBOURS = np.ones((3, 3), np.bool_)


class InkKept(NamedTuple):
    """What an image keeps of the drawing in a reference; each is None where the reference has no such thing."""

    ink_ratio: float | None
    """Pixels with ink over those of the reference."""
    box_ratio: float | None
    """Area of the bounding box of the ink, over that of the reference."""
    small_recall: float | None
    """Share of the pixels of the reference's small parts that have ink; None without small parts."""
    large_recall: float | None
    """The same of its other parts; None without small parts too, so that both are of the same images."""


def ink_kept(image: NDArray[np.floating], reference: NDArray[np.floating]) -> InkKept:
    """What an image (c, h, w) in [0, 1] keeps of a reference of its size.

    Parts are connected components of the ink (Rosenfeld and Pfaltz, Sequential operations in digital picture
    processing, 1966), with eight neighbours to a pixel. A dot over a letter is a small part; a thin stroke that touches
    a thick one is none.
    """
    found, wanted = (pixels.mean(0) >= INK for pixels in (image, reference))
    if not wanted.any():
        return InkKept(None, None, None, None)
    parts, _ = ndimage.label(wanted, structure=_NEIGHBOURS)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    small = (sizes < SMALL * sizes.max())[parts] & wanted
    recalls = (float(found[small].mean()), float(found[wanted & ~small].mean())) if small.any() else (None, None)
    return InkKept(float(found.sum() / wanted.sum()), _box(found) / _box(wanted), *recalls)


def _box(mask: NDArray[np.bool_]) -> int:
    """Pixels of the bounding box; 0 without ink."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return int((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)) if len(rows) else 0
