"""Which held-out images are the two ends of a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.data.images import order_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pair_up(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Places (pairs, 2) of held-out images: of the first image that is left, and the next like or unlike it.

    Pairs are like and unlike in turn; an image without a partner is passed over. Fewer than ``count`` where no more
    are left.
    """
    left = order_of(len(labels)).tolist()
    pairs: list[tuple[int, int]] = []
    while len(pairs) < count and left:
        first, like = left.pop(0), len(pairs) % 2 == 0
        place = next((at for at, other in enumerate(left) if (labels[other] == labels[first]) == like), None)
        if place is not None:
            pairs.append((first, left.pop(place)))
    return np.array(pairs, np.int64).reshape(-1, 2)
