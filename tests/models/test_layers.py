"""The single-pixel convolutions against torch's own with the same weights, and dropout against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orchestrator.models._layers import Discriminator, Dropout, FromLatent, ToScore, set_generator
from orchestrator.models.pair import NoiseSettings


def draw(*shape: int) -> torch.Tensor:
    """Numbers that ask for their gradient."""
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [False, True])
def test_from_latent_is_a_transposed_convolution(memory_format: torch.memory_format, bias: bool) -> None:
    ours = FromLatent(5, 6, (7, 3), bias=bias).double().to(memory_format=memory_format)
    plain = nn.ConvTranspose2d(5, 6, (7, 3), bias=bias).double()
    plain.load_state_dict(ours.state_dict())
    latents = draw(3, 5)
    got, expected = ours(latents), plain(latents[:, :, None, None])
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    towards = torch.randn_like(expected)
    got_gradients = torch.autograd.grad(got, (latents, *ours.parameters()), towards)
    expected_gradients = torch.autograd.grad(expected, (latents, *plain.parameters()), towards)
    torch.testing.assert_close(got_gradients, expected_gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_to_score_is_a_convolution(memory_format: torch.memory_format) -> None:
    ours = ToScore(6, (4, 3)).double().to(memory_format=memory_format)
    plain = nn.Conv2d(6, 1, (4, 3)).double()
    plain.load_state_dict(ours.state_dict())
    features = draw(3, 6, 4, 3)
    got, expected = ours(features.contiguous(memory_format=memory_format)), plain(features).flatten()
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    towards = torch.randn_like(expected)
    got_gradients = torch.autograd.grad(got, (features, *ours.parameters()), towards)
    expected_gradients = torch.autograd.grad(expected, (features, *plain.parameters()), towards)
    torch.testing.assert_close(got_gradients, expected_gradients, rtol=1e-12, atol=1e-12)


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    layer, inputs = Dropout(0.3), torch.ones(200_000, requires_grad=True)
    set_generator(layer, torch.Generator().manual_seed(0))
    outputs = layer(inputs)
    left_out = (outputs == 0).double().mean().item()
    assert abs(left_out - 0.3) < 5 * (0.3 * 0.7 / len(inputs)) ** 0.5
    assert torch.equal(outputs[outputs != 0], torch.full_like(outputs[outputs != 0], 1 / 0.7))
    (gradient,) = torch.autograd.grad(outputs.sum(), inputs)
    assert torch.equal(gradient, outputs)


def test_dropout_draws_from_its_generator_alone() -> None:
    layer, inputs = nn.Sequential(Dropout(0.5)), torch.ones(64)
    set_generator(layer, torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    one, next_one = layer(inputs), layer(inputs)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(one, next_one)
    set_generator(layer, torch.Generator().manual_seed(0))
    assert torch.equal(layer(inputs), one)


def test_dropout_passes_inputs_through_in_evaluation_and_where_there_is_none() -> None:
    inputs = torch.randn(64)
    assert Dropout(0.5).eval()(inputs) is inputs
    assert Dropout(0.0)(inputs) is inputs


def test_dropout_without_a_generator_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="generator"):
        Dropout(0.5)(torch.ones(3))


def test_dropout_changes_scores_but_not_the_features() -> None:
    network = Discriminator(nn.Flatten(), nn.Sequential(nn.Linear(64, 1), nn.Flatten(0)), NoiseSettings(dropout=0.5))
    set_generator(network, torch.Generator().manual_seed(0))
    images = torch.randn(3, 1, 8, 8)
    trained, judged = network(images), network.eval()(images)
    assert torch.equal(trained.features, judged.features)
    assert not torch.equal(trained.scores, judged.scores)
