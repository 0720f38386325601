"""Generators whose inversions are known, and small ones like those that are trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.evaluations.evaluation import TrainedModel
from orchestrator.evaluations.latent_search.search import Targets
from orchestrator.models.dcgan import Dcgan
from orchestrator.models.model import initialize
from tests.jobs import trial_settings

LATENTS = 6
SHAPE = ImageShape(1, 8, 8)


class Affine(nn.Module):
    """G(z) = W z + b as images: (G + 1) / 2 is affine, so that least squares have a closed form."""

    def __init__(self, seed: int = 0, *, orthonormal: bool = False) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        weight = torch.randn(SHAPE.height * SHAPE.width, LATENTS, generator=random, dtype=torch.float64)
        self.weight = nn.Parameter(torch.linalg.qr(weight).Q if orthonormal else 0.3 * weight)
        self.bias = nn.Parameter(0.1 * torch.randn(len(weight), generator=random, dtype=torch.float64))
        self.eval()

    def forward(self, latents: Tensor) -> Tensor:
        return (latents @ self.weight.T + self.bias).unflatten(1, SHAPE)

    def least_squares(self, images: Tensor, observed: Tensor, prior: float = 0.0) -> Tensor:
        """argmin over z of mean over observed pixels ((W z + b + 1) / 2 - x)^2 + prior |z|^2, (n, d)."""
        found = []
        for image, mask in zip(images.flatten(1), observed.flatten(1), strict=True):
            matrix, rest = self.weight[mask] / 2, (image - (self.bias + 1) / 2)[mask]
            ridge = matrix.T @ matrix + prior * mask.sum() * torch.eye(LATENTS, dtype=torch.float64)
            found.append(torch.linalg.solve(ridge, matrix.T @ rest))
        return torch.stack(found).detach()


class Curved(Affine):
    """Like a trained generator's last layer: tanh of an affine map."""

    def forward(self, latents: Tensor) -> Tensor:
        return super().forward(latents).tanh()


def convolutional(seed: int = 0) -> nn.Module:
    """A small DCGAN generator as after training: statistics of batch norm moved, in eval mode, frozen."""
    network = Dcgan(kind="dcgan", width=4, latent_dim=LATENTS).build_generator(SHAPE)
    random = torch.Generator().manual_seed(seed)
    initialize(network, random)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=random))
        for _ in range(20):
            network(torch.randn(64, LATENTS, generator=random))
    return network.eval().requires_grad_(False)


def targets(n: int, *, dtype: torch.dtype = torch.float32, masked: bool = True, first: int = 0) -> Targets:
    """Images and masks that depend on their numbers alone."""
    images, observed = [], []
    for number in range(first, first + n):
        random = torch.Generator().manual_seed(1000 + number)
        images.append(torch.rand(*SHAPE, generator=random, dtype=torch.float64).to(dtype))
        observed.append(torch.rand(1, *SHAPE[1:], generator=random) < (0.6 if masked else 2.0))
    return Targets(torch.stack(images), torch.stack(observed), range(first, first + n))


def images_of(count: int, seed: int = 0, *, labelled: bool = True) -> ImageSet:
    """Noise; the class of an image is the last digit of its number."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), np.uint8)
    return ImageSet(pixels, np.arange(count) % 10 if labelled else None)


def subject_of(generator: nn.Module, held_out: ImageSet, train: ImageSet | None = None) -> TrainedModel:
    """The generator as an evaluation gets it, on the CPU, without a judge."""

    def nobody() -> Any:
        raise AssertionError("nobody is asked to judge")

    settings = trial_settings(model={"latent_dim": LATENTS})
    splits: Any = {"test": held_out, "train": images_of(20, 1) if train is None else train}
    return TrainedModel("abc", settings, generator, torch.device("cpu"), splits, None, nobody)
