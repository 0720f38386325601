"""Batch norm and spectral norm in training: which passes move what they keep, and what batch norm's kinds change."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from orchestrator.distributed.group import ALONE
from orchestrator.training.statistics import running_statistics, statistics_held
from tests.distributed.trials import make_gan as make_one
from tests.distributed.trials import trial

if TYPE_CHECKING:
    from orchestrator.training.gan import Gan

RHYTHMS = [(1, 1), (3, 1), (1, 2), (2, 3)]


def tracked(network: nn.Module) -> set[int]:
    """Batches that each batch norm of a network has counted."""
    return {int(value) for name, value in network.named_buffers() if name.endswith("num_batches_tracked")}


def test_averaged_weights_have_the_joined_statistics(make_gan) -> None:
    gan = make_gan(batch_norm="per_device", g_ema=0.9)
    gan.step()
    gan.group = SimpleNamespace(average=lambda tensors: [tensor.add_(1) for tensor in tensors])
    before = [buffer.clone() for buffer in gan.averaged.module.buffers()]
    gan.sync_buffers()
    after = list(gan.averaged.module.buffers())
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    for ours, theirs in zip(after, gan.generator.buffers(), strict=True):
        assert torch.equal(ours, theirs)


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
        other.sync_buffers()
    assert differences(one.state_dict(), other.state_dict()) == []


def test_without_batch_norm_an_image_does_not_depend_on_the_others(make_gan) -> None:
    gan = make_gan(batch_norm="none")
    assert gan.step().isfinite().all()
    latents = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    together = gan.generator(latents)
    for latent, image in zip(latents, together, strict=True):
        torch.testing.assert_close(gan.generator(latent[None])[0], image, rtol=1e-4, atol=1e-6)


def test_statistics_are_held_within_and_move_after() -> None:
    plain = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))
    batch = torch.randn(4, 1, 8, 8)
    start = [statistic.clone() for statistic in running_statistics(plain)]
    assert len(start) == 4
    with statistics_held(plain):
        with statistics_held(plain[2], plain):
            plain(batch)
        plain(batch)
    assert all(torch.equal(*pair) for pair in zip(running_statistics(plain), start, strict=True))
    plain(batch)
    assert not any(torch.equal(*pair) for pair in zip(running_statistics(plain), start, strict=True))
    assert [int(value) for name, value in plain.named_buffers() if "tracked" in name] == [1, 1]


def vectors(network: nn.Module) -> list[torch.Tensor]:
    """The vectors of a network's spectral norms, as they are now."""
    return [value.clone() for name, value in network.named_buffers() if name.endswith(("._u", "._v"))]


def test_the_vectors_of_spectral_norm_are_held_within_and_move_after() -> None:
    network, batch = nn.Sequential(spectral_norm(nn.Conv2d(3, 5, 3)), nn.ReLU()), torch.randn(2, 3, 8, 8)
    start = vectors(network)
    assert len(start) == 2
    with statistics_held(network):
        with statistics_held(network):
            network(batch)
        held = network(batch)
    assert all(map(torch.equal, vectors(network), start))
    assert network[0].parametrizations.weight[0].training
    u, v = (vector.double() for vector in start)
    kernel = network[0].parametrizations.weight.original.double()
    sigma = u @ kernel.flatten(1) @ v
    expected = nn.functional.conv2d(batch.double(), kernel / sigma, network[0].bias.double()).relu()
    torch.testing.assert_close(held.double(), expected, rtol=1e-5, atol=1e-6)
    network(batch)
    assert not any(map(torch.equal, vectors(network), start))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(("d_steps", "g_steps"), RHYTHMS)
@pytest.mark.parametrize("objective", ["hinge", "began"])
def test_each_networks_own_updates_move_the_vectors_of_its_spectral_norms(
    objective: str, d_steps: int, g_steps: int, accumulate: int
) -> None:
    """Passes that move them are counted; a held one is made as in evaluation."""
    rhythm = {"d_steps": d_steps, "g_steps": g_steps, "accumulate": accumulate}
    gan = make_one(ALONE, trial(objective, model={"spectral_norm": "both"}, **rhythm))
    counts = {}
    for network in (gan.generator, gan.discriminator):
        last = [module for name, module in network.named_modules() if name.endswith("parametrizations.weight.0")][-1]
        counts[network] = moved = []
        last.register_forward_hook(lambda module, *_, moved=moved: moved.append(module.training))
    for _ in range(2):
        gan.step()
    assert sum(counts[gan.generator]) == 2 * g_steps * accumulate
    assert sum(counts[gan.discriminator]) == 2 * 2 * d_steps * accumulate


def test_an_update_of_the_generator_leaves_the_discriminators_vectors_bitwise() -> None:
    gan = make_one(ALONE, trial("hinge", model={"spectral_norm": "both"}, unrolled_steps=2))
    update, seen = gan._update_generator, []

    def watched(*args: object) -> object:
        before = vectors(gan.discriminator)
        signals = update(*args)
        seen.append(all(map(torch.equal, vectors(gan.discriminator), before)))
        return signals

    gan._update_generator = watched
    start = vectors(gan.generator), vectors(gan.discriminator)
    gan.step()
    assert seen == [True]
    for network, before in zip((gan.generator, gan.discriminator), start, strict=True):
        assert not all(map(torch.equal, vectors(network), before))
