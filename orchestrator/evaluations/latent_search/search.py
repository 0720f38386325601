"""The latent search: images times restarts in one batch, each item optimized independently."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from orchestrator.data.ranges import unit_from_signed
from orchestrator.errors import DataError
from orchestrator.evaluations.latent_search.descent import Adam, Lbfgs, Sgd, pick
from orchestrator.evaluations.latent_search.norms import per_pixel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from orchestrator.evaluations.latent_search.descent import Descent
    from orchestrator.evaluations.latent_search.norms import Norm
    from orchestrator.evaluations.latent_search.settings import LatentSearch

_STREAM = 1
"""First part of the spawn key of starts; corruptions use another one."""


class Targets(NamedTuple):
    """The images to search latent vectors for, and their observed pixels."""

    images: Tensor
    """(n, c, h, w) in [0, 1], on the generator's device."""
    observed: Tensor
    """(n, 1, h, w) bool: the loss is a mean over these pixels, at least one of each image."""
    indices: Sequence[int]
    """The images' indices in their data set, from which their starts are drawn."""


class SearchResult(NamedTuple):
    """The result of a search, on the generator's device, with r restarts for each of n images.

    A restart's loss is the mean norm over the observed pixels plus the prior's term; its best is the lowest over steps.
    """

    latents: Tensor
    """(n, r, latent_dim): the latent vector of each restart's best loss."""
    losses: Tensor
    """(n, r): the best loss of each restart."""
    best: Tensor
    """(n,): the restart with the best loss."""
    curves: Tensor
    """(n, r, points): the loss after the steps of ``LatentSearch.points``; NaN once a restart is dropped."""
    dropped: Tensor
    """(n, r) int64: the number of steps after which a restart was dropped; 0 if it never was."""

    @property
    def chosen(self) -> Tensor:
        """(n, latent_dim): the best latent vector of each image."""
        return self.latents.take_along_dim(self.best[:, None, None], 1).squeeze(1)


def draw_starts(targets: Targets, restarts: int, latent_dim: int, seed: int) -> Tensor:
    """Starts ~ N(0, I), (n, restarts, latent_dim), on the images' device; the same bits on every device.

    Each depends on the seed, its image's index and its own number only.
    """
    rows = [
        _normal(seed, (_STREAM, number, restart), latent_dim)
        for number in targets.indices
        for restart in range(restarts)
    ]
    starts = torch.from_numpy(np.stack(rows)).view(len(targets.indices), restarts, latent_dim)
    return starts.to(targets.images.device)


def search(
    settings: LatentSearch, generator: nn.Module, targets: Targets, starts: Tensor, norm: Norm = "l2"
) -> SearchResult:
    """Search from ``starts`` (n, restarts, latent_dim) with a generator in eval mode, images in [-1, 1].

    The search for an image depends on its own pixels and starts only. ``batch`` limits the restarts at a time, of whole
    images. Raises DataError naming an image whose observed pixels are not finite, or that has no observed pixel.
    """
    assert starts.shape[:2] == (len(targets.images), settings.restarts), starts.shape
    assert not any(module.training for module in generator.modules()), "the generator must be in eval mode"
    _check(targets)
    at_once = max(1, settings.batch // settings.restarts)
    parts = []
    for begin in range(0, len(starts), at_once):
        part = slice(begin, begin + at_once)
        error = _Error(generator, targets.images[part], targets.observed[part], norm)
        parts.append(_Search(settings, error, starts[part]).run())
    return SearchResult(*(torch.cat(values) for values in zip(*parts, strict=True)))


@torch.no_grad()
def images_in_unit(generator: nn.Module, latents: Tensor, batch: int = 512) -> Tensor:
    """The generator's images (n, c, h, w) of latent vectors (n, latent_dim), in [0, 1]."""
    return torch.cat([unit_from_signed(generator(part).float()) for part in torch.split(latents, batch)])


def _normal(seed: int, key: Sequence[int], count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    source = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))
    return source.standard_normal(count, np.float32)


def _check(targets: Targets) -> None:
    """Raises DataError for the first image whose observed pixels are not finite, or that has none."""
    finite = (targets.images.isfinite() | ~targets.observed).flatten(1).all(1)
    observed = targets.observed.flatten(1).any(1)
    for number, is_finite, is_observed in zip(targets.indices, finite.tolist(), observed.tolist(), strict=True):
        if not is_finite:
            raise DataError(f"image {number}: holds numbers that are not finite; leave it out")
        if not is_observed:
            raise DataError(f"image {number}: no pixel of it is observed; leave it out, or corrupt less of it")


class _Error:
    """The mean norm over the observed pixels of each item."""

    def __init__(self, generator: nn.Module, images: Tensor, observed: Tensor, norm: Norm) -> None:
        self.generator, self.norm = generator, norm
        # Pixels that are not observed may have any value, NaN too.
        self.images = images.where(observed, 0).unsqueeze(1)
        counts = observed.flatten(1).sum(1) * images.shape[1]
        self.weights = (observed.to(images.dtype) / counts.view(-1, 1, 1, 1)).unsqueeze(1)

    def __call__(self, latents: Tensor) -> Tensor:
        """The error (n, k) of latents (n, k, latent_dim)."""
        generated = self.generator(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
        return (self.weights * per_pixel(self.norm, unit_from_signed(generated) - self.images)).flatten(2).sum(2)


class _Search:
    """The search for some images; a row of (n, k) holds an image's remaining restarts."""

    def __init__(self, settings: LatentSearch, error: _Error, starts: Tensor) -> None:
        self.settings, self.error = settings, error
        self.latents = starts.detach().clone()
        self.alive = torch.arange(starts.shape[1], device=starts.device).expand(starts.shape[:2])
        self.losses = starts.new_full(starts.shape[:2], math.inf)
        self.dropped = torch.zeros_like(self.alive)
        self.best = self.latents.clone()
        self.curves: list[Tensor] = []
        self.descent: Descent = _build(settings.optimizer, self.latents)

    def run(self) -> SearchResult:
        """All steps; the host never waits for the device."""
        points, drops = set(self.settings.points), self.settings.drops
        for step in range(self.settings.steps):
            losses = self._step(step)
            if step in points:
                self._log(losses)
            if step + 1 in drops:
                self._drop(drops[step + 1], step + 1)
        with torch.no_grad():
            last = self._loss(self.latents)
            self._keep_best(last)
        self._log(last)
        return SearchResult(self.best, self.losses, self.losses.argmin(1), torch.stack(self.curves, 2), self.dropped)

    def _loss(self, latents: Tensor) -> Tensor:
        loss = self.error(latents)
        return loss + self.settings.prior * latents.square().sum(2) if self.settings.prior else loss

    def _step(self, step: int) -> Tensor:
        """Losses (n, k) of the items before the step, and one step of each."""
        latents = self.latents.requires_grad_()
        losses = self._loss(latents)
        # The gradient of the sum: each loss depends on its own item only.
        (gradients,) = torch.autograd.grad(losses.sum(), latents)
        self.latents, losses = latents.detach(), losses.detach()
        self._keep_best(losses)
        self.latents = self.descent.advance(self.latents, losses, gradients, self.settings.rate(step))
        return losses

    def _keep_best(self, losses: Tensor) -> None:
        """Keep latent vectors with a lower loss than all before; NaN is never lower."""
        lowest = self.losses.gather(1, self.alive)
        better = losses < lowest
        self.losses = self.losses.scatter(1, self.alive, torch.where(better, losses, lowest))
        index = self.alive[..., None].expand_as(self.latents)
        best = torch.where(better[..., None], self.latents, self.best.gather(1, index))
        self.best = self.best.scatter(1, index, best)

    def _log(self, losses: Tensor) -> None:
        self.curves.append(torch.full_like(self.losses, math.nan).scatter(1, self.alive, losses))

    def _drop(self, remaining: int, step: int) -> None:
        """Keep the ``remaining`` restarts of each image with the lowest best loss, in their old order."""
        order = self.losses.gather(1, self.alive).argsort(dim=1, stable=True)
        places = order[:, :remaining].sort(1).values
        self.dropped = self.dropped.scatter(1, self.alive.gather(1, order[:, remaining:]), step)
        self.alive, self.latents = self.alive.gather(1, places), pick(self.latents, places)
        self.descent.keep(places)


def _build(optimizer: str, points: Tensor) -> Descent:
    if optimizer == "lbfgs":
        return Lbfgs(points)
    return Adam(points) if optimizer == "adam" else Sgd()
