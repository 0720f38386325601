"""The plain autoencoder: Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks (2006)."""

from __future__ import annotations

from typing import Literal

from orchestrator.objectives.reconstruction import Reconstruction


class Autoencoder(Reconstruction):
    """The reconstruction error only: the distribution of codes is not constrained."""

    kind: Literal["autoencoder"]
