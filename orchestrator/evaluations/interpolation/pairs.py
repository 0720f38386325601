"""The pairs of held-out images that are the two ends of a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.data.images import order_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pair_up(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices (pairs, 2) of held-out images: the first remaining image, and the next one of the same or another class.

    Pairs are of one class and of two classes in turn. An image without a partner is skipped. There are fewer than
    ``count`` pairs if no more images remain.
    """
    remaining = order_of(len(labels)).tolist()
    pairs: list[tuple[int, int]] = []
    while len(pairs) < count and remaining:
        first, alike = remaining.pop(0), len(pairs) % 2 == 0
        matches = (i for i, second in enumerate(remaining) if (labels[second] == labels[first]) == alike)
        place = next(matches, None)
        if place is not None:
            pairs.append((first, remaining.pop(place)))
    return np.array(pairs, np.int64).reshape(-1, 2)
