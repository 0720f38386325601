"""Each layer of a flow against Jacobians, finite differences, torch's own layers and closed forms."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional as F

from orchestrator.models._flow_layers import (
    LEAST_SCALE,
    ActNorm,
    AffineCoupling,
    InvertibleConvolution,
    Split,
    ZeroConvolution,
    squeeze,
    unsqueeze,
)
from tests.models.flows import log_det_by_jacobian, numbers, perturbed

LAYERS = {
    "actnorm": lambda: ActNorm(4),
    "convolution": lambda: InvertibleConvolution(4),
    "coupling": lambda: AffineCoupling(4, 5),
    "split": lambda: Split(4),
}
every_layer = pytest.mark.parametrize("name", LAYERS)
every_format = pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])


def layer_named(name: str) -> nn.Module:
    return perturbed(LAYERS[name]())


def outputs_of(layer: nn.Module, inputs: Tensor) -> tuple[Tensor, ...]:
    """What ``inverse`` takes."""
    return layer(inputs)[:-1]  # type: ignore[no-any-return]


@every_layer
def test_log_determinants_are_those_of_the_jacobian(name: str) -> None:
    layer, inputs = layer_named(name), numbers(3, 4, 2, 3)
    *_, log_det = layer(inputs)
    expected = log_det_by_jacobian(lambda image: torch.cat(outputs_of(layer, image), 1), inputs)
    assert log_det.shape == (3,)
    assert expected.abs().min() > 0.1
    torch.testing.assert_close(log_det, expected, rtol=1e-10, atol=1e-10)


@every_layer
@every_format
def test_each_direction_undoes_the_other(name: str, memory_format: torch.memory_format) -> None:
    layer, inputs = layer_named(name), numbers(3, 4, 2, 3).contiguous(memory_format=memory_format)
    outputs = outputs_of(layer, inputs)
    assert not torch.allclose(torch.cat(outputs, 1), inputs)
    torch.testing.assert_close(layer.inverse(*outputs), inputs, rtol=1e-10, atol=1e-10)
    wanted = tuple(numbers(*part.shape, seed=2 + place) for place, part in enumerate(outputs))
    torch.testing.assert_close(outputs_of(layer, layer.inverse(*wanted)), wanted, rtol=1e-10, atol=1e-10)


@every_layer
def test_gradients_in_both_directions_are_finite_differences(name: str) -> None:
    """In the maps and in every weight."""
    layer, inputs = layer_named(name), numbers(2, 4, 2, 3)
    names, weights = zip(*layer.named_parameters(), strict=True)

    class Inverse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, *outputs: Tensor) -> Tensor:
            return layer.inverse(*outputs)  # type: ignore[no-any-return, operator]

    def called(module: nn.Module, prefix: str) -> Any:
        def call(*everything: Tensor) -> Any:
            given = dict(zip((prefix + one for one in names), everything[: len(names)], strict=True))
            return torch.func.functional_call(module, given, everything[len(names) :])

        return call

    leaves = tuple(weight.detach().clone().requires_grad_() for weight in weights)
    assert torch.autograd.gradcheck(called(layer, ""), (*leaves, inputs.requires_grad_()))
    outputs = (one.detach().requires_grad_() for one in outputs_of(layer, inputs))
    assert torch.autograd.gradcheck(called(Inverse(), "layer."), (*leaves, *outputs))


def test_an_actnorm_scales_then_shifts() -> None:
    layer, inputs = perturbed(ActNorm(4)), numbers(2, 4, 2, 3)
    for channel, got in enumerate(layer(inputs)[0].unbind(1)):
        expected = inputs[:, channel] * layer.log_scale[channel].exp() + layer.shift[channel]
        torch.testing.assert_close(got, expected)


def test_a_fitted_actnorm_gives_mean_0_and_variance_1_and_a_constant_channel_0() -> None:
    layer, inputs = perturbed(ActNorm(3)), 7 * numbers(5, 3, 4, 2) - 3
    inputs[:, 2] = 11.0
    layer.fit(inputs)
    outputs, log_det = layer(inputs)
    torch.testing.assert_close(outputs.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(
        outputs.var((0, 2, 3), correction=0), torch.tensor([1.0, 1.0, 0.0]).double(), rtol=1e-5, atol=1e-12
    )
    assert log_det.isfinite().all()


def test_a_1x1_convolution_is_torchs_by_its_matrix() -> None:
    layer, inputs = perturbed(InvertibleConvolution(4)), numbers(2, 4, 2, 3)
    torch.testing.assert_close(layer(inputs)[0], F.conv2d(inputs, layer.weight()[:, :, None, None]))
    torch.testing.assert_close(layer.inverse_weight(), torch.linalg.inv(layer.weight()))


def test_a_drawn_1x1_convolution_is_orthogonal() -> None:
    layer = InvertibleConvolution(12)
    layer.init_weights(torch.Generator().manual_seed(0))
    weight = layer.weight()
    assert (weight - torch.eye(12)).abs().max() > 0.1
    torch.testing.assert_close(weight @ weight.T, torch.eye(12), rtol=0, atol=1e-6)
    _, log_det = layer(torch.zeros(2, 12, 5, 5))
    torch.testing.assert_close(log_det, torch.zeros(2), rtol=0, atol=1e-4)


def test_rotations_are_uniform_among_all() -> None:
    """Then each entry has mean 0 and variance 1/c, and the trace variance 1: Diaconis and Shahshahani (1994)."""
    layer, source, count = InvertibleConvolution(4).double(), torch.Generator().manual_seed(0), 2000
    drawn = []
    for _ in range(count):
        layer.init_weights(source)
        drawn.append(layer.weight().detach())
    weights = torch.stack(drawn)
    assert weights.mean(0).abs().max() < 5 * (1 / 4 / count) ** 0.5
    assert (weights.square().mean(0) - 1 / 4).abs().max() < 5 * (0.0625 / count) ** 0.5
    traces = weights.diagonal(dim1=1, dim2=2).sum(1)
    # the fourth moment of the trace is 3, as a normal one's
    assert abs(float(traces.square().mean()) - 1) < 5 * (2 / count) ** 0.5


def test_a_new_coupling_scales_all_alike() -> None:
    layer, inputs = AffineCoupling(4, 5), torch.randn(2, 4, 2, 3, generator=torch.Generator().manual_seed(0))
    layer.init_weights(torch.Generator().manual_seed(0))
    outputs, log_det = layer(inputs)
    scale = LEAST_SCALE + (1 - LEAST_SCALE) * torch.tensor(2.0).sigmoid()
    torch.testing.assert_close(outputs, torch.cat([inputs[:, :2], inputs[:, 2:] * scale], 1))
    torch.testing.assert_close(log_det, (12 * scale.log()).expand(2))


def test_a_coupling_shifts_then_scales_by_what_its_network_says() -> None:
    layer, inputs = perturbed(AffineCoupling(4, 5)), numbers(2, 4, 2, 3)
    kept, others = inputs[:, :2], inputs[:, 2:]
    hidden = F.conv2d(kept, layer.first.weight, layer.first.bias, padding=1).relu()
    hidden = F.conv2d(hidden, layer.second.weight, layer.second.bias).relu()
    shift, raw = layer.last(hidden).split(2, 1)
    expected = torch.cat([kept, (others + shift) * (LEAST_SCALE + (1 - LEAST_SCALE) * torch.sigmoid(raw + 2))], 1)
    torch.testing.assert_close(layer(inputs)[0], expected)


def test_a_coupling_scales_by_no_less_than_the_least_whatever_its_network_says() -> None:
    layer, outputs = perturbed(AffineCoupling(4, 5)), numbers(2, 4, 2, 3)
    with torch.no_grad():
        layer.last.bias[2:] = -1e6
    inputs = layer.inverse(outputs)
    torch.testing.assert_close(layer(inputs)[0], outputs)
    torch.testing.assert_close(layer(inputs)[1], torch.full((2,), 12 * math.log(LEAST_SCALE)).double())


def test_a_splits_latents_have_the_density_of_the_half_that_leaves() -> None:
    layer, inputs = perturbed(Split(4)), numbers(3, 4, 2, 3)
    kept, latents, log_det = layer(inputs)
    assert torch.equal(kept, inputs[:, :2])
    mean, log_deviation = layer.prior(kept).split(2, 1)
    expected = Normal(mean, log_deviation.exp()).log_prob(inputs[:, 2:]).sum((1, 2, 3))
    torch.testing.assert_close(Normal(0.0, 1.0).log_prob(latents).sum((1, 2, 3)) + log_det, expected)


def test_a_zero_convolution_scales_torchs_and_starts_with_zeros() -> None:
    layer, inputs = ZeroConvolution(3, 2), numbers(2, 3, 4, 5)
    assert not layer(inputs.float()).any()
    layer = perturbed(layer)
    plain = F.conv2d(inputs, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(inputs), plain * (3 * layer.log_scale).exp()[:, None, None])


def test_squeezing_turns_2x2_pixels_into_channels() -> None:
    inputs = numbers(2, 3, 4, 6)
    squeezed = squeeze(inputs)
    assert squeezed.is_contiguous(memory_format=torch.channels_last)
    for channel in range(3):
        for row in range(2):
            for column in range(2):
                got = squeezed[:, 4 * channel + 2 * row + column]
                assert torch.equal(got, inputs[:, channel, row::2, column::2])
    assert torch.equal(unsqueeze(squeezed), inputs)
