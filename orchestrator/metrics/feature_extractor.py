"""The feature extractors of sample metrics: images to features and class probabilities."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class Features(NamedTuple):
    """``features`` (n, f), not negative, and class ``probabilities`` (n, classes) of n images."""

    features: Tensor
    probabilities: Tensor


class FeatureExtractor(Protocol):
    """A network with its identity: metrics are comparable only if the same network computed the features."""

    kind: str
    digest: str
    """The digest of its weights."""

    @property
    def classes(self) -> int | None:
        """The number of classes of the data; None if its classes are not those of the data."""

    def __call__(self, images: Tensor) -> Features:
        """Features of images (n, c, h, w) uint8, 0 black to 255 white, on its device, in batches."""

    def to(self, device: torch.device | str) -> FeatureExtractor:
        """Move the network to the device; returns itself."""


def digest_of(network: nn.Module) -> str:
    """16 hexadecimal digits of the SHA-256 of the network's weights, by their names."""
    hashed = hashlib.sha256()
    for name, value in network.state_dict().items():
        hashed.update(name.encode())
        hashed.update(value.detach().cpu().contiguous().numpy())
    return hashed.hexdigest()[:16]
