from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.data.images import ImageShape
from orchestrator.models._layers import FromLatent
from orchestrator.models._residual_blocks import Down, Modulated, Up
from orchestrator.models.model import initialize
from orchestrator.models.residual import Residual

every_skip = pytest.mark.parametrize("skip_z", ["none", "chunks", "whole"])
FACES = ImageShape(3, 64, 64)


def model(**settings: Any) -> Residual:
    return Residual.model_validate({"kind": "residual", "latent_dim": 7, "width": 2, **settings})


def generator(shape: ImageShape, **settings: Any) -> nn.Module:
    network = model(**settings).build_generator(shape)
    initialize(network, torch.Generator().manual_seed(0), "orthogonal")
    return network


@every_skip
@pytest.mark.parametrize(
    "shape", [ImageShape(1, 28, 28), FACES, ImageShape(3, 128, 128), ImageShape(3, 35, 80)], ids=str
)
def test_multiply_adds_are_half_the_operations_that_torch_counts(skip_z: str, shape: ImageShape) -> None:
    settings = model(skip_z=skip_z)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        images = settings.build_generator(shape)(torch.zeros(2, 7))
    assert images.shape == (2, *shape)
    assert counted.get_total_flops() == 2 * 2 * settings.multiply_adds(shape).generator


@pytest.mark.parametrize(
    ("skip_z", "first", "others"),
    [("none", 7, []), ("chunks", 1, [1, 2, 1, 2]), ("whole", 7, [7, 7, 7, 7])],
)
def test_blocks_see_their_part_of_the_latent_vector(skip_z: str, first: int, others: list[int]) -> None:
    network = generator(FACES, skip_z=skip_z)
    (layer,) = (module for module in network.modules() if isinstance(module, FromLatent))
    assert layer.in_channels == first
    blocks = [module for module in network.modules() if isinstance(module, Up)]
    assert [block.first.gain.in_features for block in blocks if block.modulated] == others
    assert [block.second.shift.in_features for block in blocks if block.modulated] == others


@every_skip
def test_every_number_of_the_latent_vector_moves_the_image(skip_z: str) -> None:
    network = generator(FACES, skip_z=skip_z, batch_norm="none")
    latents = torch.randn(16, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (gradient,) = torch.autograd.grad(network(latents).square().sum(), latents)
    assert (gradient.abs() > 0).any(0).all()


@every_skip
def test_gradients_reach_every_weight(skip_z: str) -> None:
    network = generator(FACES, skip_z=skip_z)
    network(torch.randn(8, 7, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


def test_a_modulated_norm_moves_scales_and_shifts_as_its_part_says() -> None:
    layer = Modulated(3, 2, lambda maps: [nn.BatchNorm2d(maps)])
    inputs, latents = torch.randn(5, 3, 4, 4), torch.randn(5, 2)
    plain = nn.BatchNorm2d(3)(inputs)
    for image, latent, got in zip(plain, latents, layer(inputs, latents), strict=True):
        gain, shift = layer.gain.weight @ latent, layer.shift.weight @ latent
        torch.testing.assert_close(got, image * (1 + gain)[:, None, None] + shift[:, None, None])


def test_1x1_convolutions_commute_with_what_changes_the_sides() -> None:
    """So that they may stand where there is least to compute."""
    maps, convolution = torch.randn(2, 3, 7, 5), nn.Conv2d(3, 4, 1)
    for change in (nn.AvgPool2d(2, ceil_mode=True), nn.Upsample(size=(13, 10), mode="nearest")):
        torch.testing.assert_close(change(convolution(maps)), convolution(change(maps)))


def test_a_block_halves_with_odd_sides_rounded_up() -> None:
    assert Down(3, 4, lambda _: [])(torch.randn(2, 3, 7, 5)).shape == (2, 4, 4, 3)
    assert Down(4, 4, lambda _: [], halves=False)(torch.randn(2, 4, 7, 5)).shape == (2, 4, 7, 5)


def test_half_as_wide_again_is_so_in_every_layer() -> None:
    """Experiment C2."""
    for build in (Residual.build_generator, Residual.build_discriminator):
        narrow, wide = (build(Residual(kind="residual", width=width), FACES) for width in (64, 96))
        counts = [
            [(m.in_channels, m.out_channels) for m in network.modules() if isinstance(m, nn.Conv2d)]
            for network in (narrow, wide)
        ]
        wider = [tuple(maps if maps == 3 else maps * 3 // 2 for maps in pair) for pair in counts[0]]
        assert counts[1] == wider


def test_the_discriminator_judges_large_photos() -> None:
    shape = ImageShape(3, 140, 320)
    settings = Residual(kind="residual", width=8, max_width=32)
    network = settings.build_discriminator(shape)
    initialize(network, torch.Generator().manual_seed(0), settings.initialization)
    with torch.no_grad():
        judgement = network(torch.rand(2, *shape) * 2 - 1)
    assert judgement.scores.isfinite().all()
    assert judgement.features.shape == (2, 32)


def test_too_short_a_latent_vector_is_refused_with_what_it_takes() -> None:
    assert model(skip_z="chunks", latent_dim=5).reject(FACES) is None
    assert model(skip_z="chunks", latent_dim=4).reject(FACES) == (
        "residual cuts the latent vector into 5 chunks (skip_z), latent_dim is 4: it must be at least 5"
    )


@pytest.mark.parametrize(("setting", "value"), [("skip_z", True), ("skip_z", "all"), ("width", 0), ("max_width", 0)])
def test_impossible_settings_are_refused(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        model(**{setting: value})
