"""Batch norm in training: which passes move the running statistics, and what its kinds change."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

if TYPE_CHECKING:
    from orchestrator.training.gan import Gan

RHYTHMS = [(1, 1), (3, 1), (1, 2), (2, 3)]


def tracked(network: nn.Module) -> set[int]:
    """Batches that each batch norm of a network has counted."""
    return {int(value) for name, value in network.named_buffers() if name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("batch_norm", ["synchronized", "per_device"])
@pytest.mark.parametrize("accumulate", [1, 2, 4])
@pytest.mark.parametrize(("d_steps", "g_steps"), RHYTHMS)
def test_each_networks_own_updates_move_its_statistics_once_a_batch(
    make_gan, d_steps: int, g_steps: int, accumulate: int, batch_norm: str
) -> None:
    gan = make_gan(d_steps=d_steps, g_steps=g_steps, accumulate=accumulate, batch_norm=batch_norm)
    for _ in range(3):
        gan.step()
    assert tracked(gan.generator) == {3 * g_steps * accumulate}
    assert tracked(gan.discriminator) == {3 * 2 * d_steps * accumulate}
    norms = [m for n in (gan.generator, gan.discriminator) for m in n.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(norm.track_running_stats for norm in norms)


def test_running_statistics_are_the_mean_of_the_updates_batches(make_gan) -> None:
    """Computed from the inputs of a batch norm as hooks see them, by momentum 0.1."""
    gan: Gan = make_gan(d_steps=3, g_steps=2)
    norm, inputs = gan.generator[1], []
    norm.register_forward_pre_hook(lambda _module, args: inputs.append(deepcopy(args[0].detach().double())))
    gan.step()
    assert len(inputs) == 3 + 1  # three draws, of which the last is G's first update's, and one for its second
    mean, variance = torch.zeros(4).double(), torch.ones(4).double()
    for batch in inputs[2:]:
        mean = 0.9 * mean + 0.1 * batch.mean((0, 2, 3))
        variance = 0.9 * variance + 0.1 * batch.var((0, 2, 3))
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-5, atol=1e-7)


def test_alone_statistics_over_all_devices_and_over_each_are_the_same(make_gan, differences) -> None:
    one, other = make_gan(batch_norm="synchronized"), make_gan(batch_norm="per_device")
    for _ in range(3):
        assert torch.equal(one.step(), other.step())
        other.join_statistics()
    assert differences(one.state_dict(), other.state_dict()) == []


def test_without_batch_norm_an_image_does_not_depend_on_the_others(make_gan) -> None:
    gan = make_gan(batch_norm="none")
    assert gan.step().isfinite().all()
    latents = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    together = gan.generator(latents)
    for latent, image in zip(latents, together, strict=True):
        torch.testing.assert_close(gan.generator(latent[None])[0], image, rtol=1e-4, atol=1e-6)
