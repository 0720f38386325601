"""The single-pixel convolutions against torch's own with the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orchestrator.models._layers import FromLatent, ToScore


def draw(*shape: int) -> torch.Tensor:
    """Numbers that ask for their gradient."""
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [False, True])
def test_from_latent_is_a_transposed_convolution(memory_format: torch.memory_format, bias: bool) -> None:
    ours = FromLatent(5, 6, 7, bias=bias).double().to(memory_format=memory_format)
    plain = nn.ConvTranspose2d(5, 6, 7, bias=bias).double()
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
    ours = ToScore(6, 4).double().to(memory_format=memory_format)
    plain = nn.Conv2d(6, 1, 4).double()
    plain.load_state_dict(ours.state_dict())
    features = draw(3, 6, 4, 4)
    got, expected = ours(features.contiguous(memory_format=memory_format)), plain(features).flatten()
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    towards = torch.randn_like(expected)
    got_gradients = torch.autograd.grad(got, (features, *ours.parameters()), towards)
    expected_gradients = torch.autograd.grad(expected, (features, *plain.parameters()), towards)
    torch.testing.assert_close(got_gradients, expected_gradients, rtol=1e-12, atol=1e-12)
