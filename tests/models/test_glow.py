"""Glow as a model: a flow for every shape that its levels divide, at the cost that a plan is told."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.data.images import ImageShape
from orchestrator.models._flow import Flow
from tests.models.pairs import MODELS

if TYPE_CHECKING:
    from orchestrator.models.glow import Glow

SHAPES = [ImageShape(1, 28, 28), ImageShape(3, 32, 32), ImageShape(3, 12, 20)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def model(**settings: Any) -> Glow:
    chosen: Glow = MODELS.validate_python({"kind": "glow", "levels": 2, "steps": 1, "width": 2, **settings})
    return chosen


def flow(shape: ImageShape, seed: int = 0, **settings: Any) -> Flow:
    network = model(**settings).build_generator(shape)
    assert isinstance(network, Flow)
    model().init_weights(network, torch.Generator().manual_seed(seed))
    return network


def images_of(shape: ImageShape, count: int = 3) -> torch.Tensor:
    """Of bytes, in [-1, 1]."""
    return torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(1)) / 127.5 - 1


@every_shape
@pytest.mark.parametrize("levels", [1, 2])
def test_latent_vectors_have_as_many_numbers_as_images_and_go_there_and_back(shape: ImageShape, levels: int) -> None:
    network, images = flow(shape, levels=levels), images_of(shape)
    codes = network.code(images)
    assert codes.shape == (3, model().latents(shape)) == (3, prod(shape))
    torch.testing.assert_close(network(codes), images, rtol=0, atol=1e-4)
    assert network(torch.zeros(2, prod(shape))).shape == (2, *shape)


@every_shape
@pytest.mark.parametrize("settings", [{}, {"levels": 1, "steps": 3}, {"width": 5, "steps": 2}])
def test_multiply_adds_of_one_more_image_are_half_the_operations_that_torch_counts(
    shape: ImageShape, settings: dict[str, Any]
) -> None:
    network = flow(shape, **settings)
    expected = model(**settings).multiply_adds(shape)
    for run in (network.encode, network.code):
        assert operations(run, images_of(shape, 3)) - operations(run, images_of(shape, 2)) == 2 * expected.generator
    latents = torch.zeros(3, prod(shape))
    assert operations(network, latents) - operations(network, latents[:2]) == 2 * expected.generator
    assert expected.discriminator == expected.encoder == 0


def operations(run: Any, inputs: torch.Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        run(inputs)
    return counted.get_total_flops()


@pytest.mark.parametrize(
    ("shape", "levels", "remedy"),
    [
        (ImageShape(1, 28, 28), 3, "the most: 2"),
        (ImageShape(3, 32, 20), 5, "the most: 2"),
        (ImageShape(3, 64, 64), 7, "the most: 6"),
        (ImageShape(1, 28, 27), 1, "pad the images"),
    ],
)
def test_sides_that_cannot_be_halved_so_often_are_rejected_with_what_can(
    shape: ImageShape, levels: int, remedy: str
) -> None:
    assert model(levels=levels).reject(shape) == (
        f"glow with levels: {levels} halves the sides {levels} times, which those of the data, "
        f"{shape.height}x{shape.width}, do not let; {remedy}"
    )
    if remedy.startswith("the most"):
        assert model(levels=int(remedy[-1])).reject(shape) is None


def test_equal_sources_give_equal_weights_whatever_was_there() -> None:
    ones, same, others = (flow(SHAPES[0], seed=seed) for seed in (7, 7, 8))
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in ones.state_dict().items())
    assert any(not torch.equal(value, others.state_dict()[name]) for name, value in ones.state_dict().items())
    with torch.no_grad():
        for parameter in others.parameters():
            parameter.add_(1)
    model().init_weights(others, torch.Generator().manual_seed(7))
    assert all(torch.equal(value, others.state_dict()[name]) for name, value in ones.state_dict().items())
