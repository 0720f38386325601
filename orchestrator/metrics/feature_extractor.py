"""What sees images for the measures of samples: it gives each features, and probabilities of classes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class Features(NamedTuple):
    """Of n images: ``features`` (n, f), not negative, and ``probabilities`` (n, classes)."""

    features: Tensor
    probabilities: Tensor


class FeatureExtractor(Protocol):
    """A network with what tells it from others: figures compare between images that the same one has seen."""

    kind: str
    digest: str
    """That of its weights."""

    @property
    def classes(self) -> int | None:
        """Classes of the data that it sorts images into; None where its classes are not those of the data."""

    def __call__(self, images: Tensor) -> Features:
        """Of images (n, c, h, w) uint8, 0 black to 255 white, on its device; some at a time."""

    def to(self, device: torch.device | str) -> FeatureExtractor:
        """Itself, moved there."""


def digest_of(network: nn.Module) -> str:
    """16 hexadecimal digits of the SHA-256 of the network's weights, by their names."""
    hashed = hashlib.sha256()
    for name, value in network.state_dict().items():
        hashed.update(name.encode())
        hashed.update(value.detach().cpu().contiguous().numpy())
    return hashed.hexdigest()[:16]
