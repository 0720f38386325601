"""What a discriminator says of images: between the networks that say it and the objectives that read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class DiscriminatorOutput(NamedTuple):
    """A row for each of n images.

    ``scores`` are (n,): raw scores without a sigmoid, high for what is taken as real; or, of a discriminator that is an
    autoencoder, each image's reconstruction error, low for what is taken as real. ``features`` are (n, f): what
    the last layer before the score sees, or the code between encoder and decoder.
    """

    scores: Tensor
    features: Tensor
