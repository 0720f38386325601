"""Glow's network as a whole: one to one, its density, its cost, and what its weights are drawn from."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.data.images import ImageShape
from orchestrator.data.ranges import from_bytes
from orchestrator.models._flow import Flow, bits_per_dimension, dequantize
from orchestrator.models._flow_cost import flow_multiply_adds, flow_stages
from orchestrator.models._flow_layers import ActNorm, AffineCoupling, squeeze
from tests.models.flows import log_det_by_jacobian, numbers, perturbed

every_shape = pytest.mark.parametrize(
    "shape", [ImageShape(1, 8, 8), ImageShape(2, 4, 4), ImageShape(3, 4, 12)], ids=str
)


def flow(shape: ImageShape, levels: int = 2, steps: int = 2, width: int = 5, deviation: float = 0.1) -> Flow:
    """In double precision, with no weight left at zero."""
    network: Flow = perturbed(Flow(shape, levels, steps, width), deviation)
    return network


def drawn(shape: ImageShape, seed: int = 0) -> Flow:
    """As training begins with it."""
    network = Flow(shape, 2, 2, 5)
    network.init_weights(torch.Generator().manual_seed(seed))
    return network


def images_of(shape: ImageShape, count: int = 3) -> Tensor:
    return torch.rand(count, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) - 0.5


@every_shape
def test_the_log_determinant_is_that_of_the_jacobian(shape: ImageShape) -> None:
    network, images = flow(shape), images_of(shape)
    latents, log_det = network.encode(images)
    assert latents.shape == (3, math.prod(shape))
    expected = log_det_by_jacobian(lambda image: network.encode(image)[0], images)
    torch.testing.assert_close(log_det, expected, rtol=1e-10, atol=1e-10)


@every_shape
def test_each_direction_undoes_the_other_in_single_precision(shape: ImageShape) -> None:
    network, images = flow(shape, deviation=0.05).float(), images_of(shape).float()
    latents, log_det = network.encode(images)
    assert latents.dtype == log_det.dtype == torch.float32
    torch.testing.assert_close(network.decode(latents), images, rtol=0, atol=1e-5)
    wanted = numbers(3, math.prod(shape)).float()
    torch.testing.assert_close(network.encode(network.decode(wanted))[0], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("levels", [1, 3])
def test_each_direction_undoes_the_other_whatever_the_levels(levels: int) -> None:
    network, images = flow(ImageShape(1, 16, 8), levels), images_of(ImageShape(1, 16, 8))
    torch.testing.assert_close(network.decode(network.encode(images)[0]), images, rtol=0, atol=1e-10)


def test_what_leaves_first_is_in_front() -> None:
    shape = ImageShape(2, 4, 4)
    network, images = flow(shape), images_of(shape)
    latents, _ = network.encode(images)
    maps = squeeze(images)
    for step in network.levels[0]:
        maps, _ = step(maps)
    maps, leaving, _ = network.splits[0](maps)
    assert torch.equal(latents[:, :16], leaving.reshape(3, 16))
    maps = squeeze(maps)
    for step in network.levels[1]:
        maps, _ = step(maps)
    assert torch.equal(latents[:, 16:], maps.reshape(3, 16))


def test_sides_that_cannot_be_halved_are_our_mistake() -> None:
    with pytest.raises(AssertionError, match="height 6"):
        Flow(ImageShape(1, 6, 8), 2, 1, 4)
    with pytest.raises(AssertionError, match="width 6"):
        flow_stages(ImageShape(1, 8, 6), 2)


def test_dequantized_bytes_are_in_their_bins() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    noise = torch.rand(256, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dequantize(from_bytes(values), noise), (values + noise) / 256 - 0.5)


def test_as_a_generator_it_makes_a_byte_of_the_middle_of_its_bin() -> None:
    shape = ImageShape(1, 16, 16)
    images = from_bytes(torch.arange(256, dtype=torch.uint8).view(1, *shape)).double()
    network = flow(shape)
    latents, _ = network.encode(dequantize(images, torch.full_like(images, 0.5)))
    torch.testing.assert_close(network(latents), images)


def test_bits_per_dimension_are_those_of_a_normal_density_in_units_of_a_byte() -> None:
    """With couplings that change nothing and one actnorm, images are N(mean, deviation) in each number."""
    shape, mean, deviation = ImageShape(1, 4, 4), -0.1, 0.07
    network = Flow(shape, 2, 1, 3).double()
    network.init_weights(torch.Generator().manual_seed(0))
    first = network.levels[0][0].norm
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, AffineCoupling):
                module.last.bias[len(module.last.bias) // 2 :] = 100.0  # a scale of 1
        first.log_scale.fill_(-math.log(deviation))
        first.shift.fill_(-mean / deviation)
    images = numbers(4000, *shape) * deviation + mean
    with torch.no_grad():
        bits = bits_per_dimension(*network.encode(images))
    expected = 8 - Normal(mean, deviation).log_prob(images).flatten(1).mean(1) / math.log(2)
    torch.testing.assert_close(bits, expected, rtol=1e-6, atol=1e-6)
    entropy = 0.5 * math.log2(2 * math.pi * math.e * deviation**2) + 8
    assert abs(float(bits.mean()) - entropy) < 5 * float(bits.std()) / len(bits) ** 0.5


def test_bits_per_dimension_are_wide_whatever_the_latents() -> None:
    latents = numbers(2, 12).bfloat16()
    bits = bits_per_dimension(latents, torch.zeros(2))
    assert bits.dtype == torch.float32
    torch.testing.assert_close(bits, bits_per_dimension(latents.double(), torch.zeros(2).double()).float())


def test_the_density_integrates_to_one() -> None:
    """By the trapezoidal rule over the four numbers of a 2x2 image."""
    network = flow(ImageShape(1, 2, 2), levels=1)
    axis = torch.linspace(-9, 9, 25, dtype=torch.float64)
    with torch.no_grad():
        points = torch.cartesian_prod(axis, axis, axis, axis)
        latents, log_det = network.encode(points.view(-1, 1, 2, 2))
        densities = (Normal(0.0, 1.0).log_prob(latents).sum(1) + log_det).exp()
    assert float(densities.sum() * (axis[1] - axis[0]) ** 4) == pytest.approx(1, abs=1e-4)


def test_every_fitted_actnorm_gives_mean_0_and_variance_1() -> None:
    shape = ImageShape(3, 8, 8)
    network, images = flow(shape), images_of(shape, 16)
    network.fit_actnorms(images)
    seen = []
    for module in network.modules():
        if isinstance(module, ActNorm):
            module.register_forward_hook(lambda _module, _inputs, outputs: seen.append(outputs[0]))
    network.encode(images)
    assert len(seen) == 4
    for maps in seen:
        variance, mean = torch.var_mean(maps, (0, 2, 3), correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-6)
        torch.testing.assert_close(variance, torch.ones_like(variance), rtol=0, atol=1e-4)


@every_shape
def test_the_same_generator_gives_the_same_weights_whatever_was_there(shape: ImageShape) -> None:
    one, other = drawn(shape), flow(shape).float()
    other.init_weights(torch.Generator().manual_seed(0))
    theirs = other.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def test_another_generator_gives_other_convolutions() -> None:
    shape = ImageShape(1, 8, 8)
    theirs = dict(drawn(shape, seed=1).named_parameters())
    for name, weight in drawn(shape).named_parameters():
        is_drawn = name.endswith(("factors", "first.weight", "second.weight"))
        assert torch.equal(weight, theirs[name]) != is_drawn, name
    deviation = drawn(ImageShape(1, 8, 8)).levels[1][0].couple.first.weight.detach().std()
    assert abs(float(deviation) - 0.05) < 0.01


def test_the_state_holds_all_that_an_image_depends_on() -> None:
    shape = ImageShape(1, 8, 8)
    one, other = flow(shape), drawn(shape, seed=1).double()
    assert not torch.equal(one.levels[1][0].mix.order, other.levels[1][0].mix.order)
    other.load_state_dict(one.state_dict())
    latents = numbers(2, 64)
    assert torch.equal(one(latents), other(latents))


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_gradients_reach_every_weight(direction: str) -> None:
    shape = ImageShape(1, 8, 8)
    network = flow(shape)
    if direction == "encode":
        bits_per_dimension(*network.encode(images_of(shape))).mean().backward()
    else:
        network(numbers(3, 64)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        reached = parameter.grad != 0
        assert reached.all() if name.endswith("factors") else reached.any(), name


def test_under_autocast_only_couplings_and_splits_are_imprecise() -> None:
    """They say zero at first, whatever the precision: then nothing changes at all."""
    shape = ImageShape(1, 8, 8)
    images, new, moved = images_of(shape).float(), drawn(shape), flow(shape).float()
    with torch.autocast("cpu", torch.bfloat16):
        got, got_moved = new.encode(images), moved.encode(images)
        back = moved.decode(got_moved[0])
    for one, other in zip(got, new.encode(images), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(got_moved, moved.encode(images), strict=True):
        assert one.dtype == torch.float32
        assert not torch.equal(one, other)
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.1)
    torch.testing.assert_close(back, images, rtol=0, atol=0.05)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("shape", [ImageShape(1, 8, 8), ImageShape(3, 16, 8)], ids=str)
def test_multiply_adds_of_one_more_image_are_half_the_operations_that_torch_counts(
    shape: ImageShape, levels: int
) -> None:
    """A pass also multiplies the triangles of each 1x1 convolution once: two passes differ by images alone."""
    network, expected = Flow(shape, levels, 3, 5), flow_multiply_adds(shape, levels, 3, 5)
    counts = []
    for count in (2, 5):
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            network.encode(torch.zeros(count, *shape))
        counts.append(counted.get_total_flops())
    assert counts[1] - counts[0] == 2 * 3 * expected
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        network(torch.zeros(2, math.prod(shape)))
    assert counted.get_total_flops() == 2 * 2 * expected
