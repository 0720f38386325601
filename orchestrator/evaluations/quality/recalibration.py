"""Batch norm's running statistics of a generator, estimated again for the latent vectors that it is sampled with."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Its layers that keep running statistics."""
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats]


@torch.no_grad()
def recalibrated(generator: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """A copy of the generator, in eval mode, with the running statistics of batches of latent vectors (b, latent_dim).

    While it trained they followed images of N(0, I); images of a truncated normal have other means and variances in
    each layer. The statistics become the plain mean of the batches' own, each layer seeing the layers before it
    normalized by the batch: the standing statistics of BigGAN, Brock et al., arXiv 1809.11096, appendix C.1. Batches
    should be of equal sizes.
    """
    network = copy.deepcopy(generator).eval()
    norms = batch_norms(network)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    for latents in batches:
        network(latents)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()
