"""The encoder and decoder of stride 2: shapes, ranges, cost, and where their weights come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.data.images import ImageShape
from tests.models.pairs import MODELS

if TYPE_CHECKING:
    from orchestrator.models.encoder_decoder import EncoderDecoder

SHAPES = [ImageShape(1, 28, 28), ImageShape(3, 32, 32), ImageShape(3, 15, 20)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def model(**settings: Any) -> EncoderDecoder:
    chosen: EncoderDecoder = MODELS.validate_python(
        {"kind": "encoder_decoder", "latent_dim": 5, "width": 2, **settings}
    )
    return chosen


def networks(shape: ImageShape, seed: int = 0, **settings: Any) -> tuple[nn.Module, nn.Module]:
    """Encoder and generator."""
    chosen, source = model(**settings), torch.Generator().manual_seed(seed)
    pair = chosen.build_encoder(shape), chosen.build_generator(shape)
    for network in pair:
        chosen.init_weights(network, source)
    return pair


def images_of(shape: ImageShape, count: int = 3) -> torch.Tensor:
    return 2 * torch.rand(count, *shape, generator=torch.Generator().manual_seed(1)) - 1


@every_shape
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("batch_norm", ["synchronized", "none"])
def test_images_become_codes_and_codes_images(shape: ImageShape, depth: int, batch_norm: str) -> None:
    encoder, generator = networks(shape, depth=depth, batch_norm=batch_norm)
    codes = encoder(images_of(shape))
    assert codes.shape == (3, 5)
    assert generator(codes).shape == (3, *shape)
    norms = [m for network in (encoder, generator) for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == (0 if batch_norm == "none" else 2 * depth)


@every_shape
def test_images_use_the_range_and_never_leave_it_and_codes_have_none(shape: ImageShape) -> None:
    encoder, generator = networks(shape)
    with torch.no_grad():
        for network in (encoder, generator):
            for parameter in network.parameters():
                parameter.mul_(20)
        made = generator(torch.randn(16, 5, generator=torch.Generator().manual_seed(2)))
        codes = encoder(images_of(shape, 16))
    assert made.abs().max() <= 1
    assert made.min() < -0.9
    assert made.max() > 0.9
    assert codes.min() < -1
    assert codes.max() > 1


@every_shape
@pytest.mark.parametrize("settings", [{}, {"depth": 2, "batch_norm": "none"}, {"latent_dim": 1, "width": 3}])
def test_multiply_adds_are_half_the_operations_that_torch_counts(shape: ImageShape, settings: dict[str, Any]) -> None:
    encoder, generator = networks(shape, **settings)
    expected, latents = model(**settings).multiply_adds(shape), model(**settings).latent_dim
    with torch.no_grad():
        with FlopCounterMode(display=False) as counted:
            generator(torch.zeros(3, latents))
        assert counted.get_total_flops() == 2 * 3 * expected.generator
        with FlopCounterMode(display=False) as counted:
            encoder(images_of(shape))
        assert counted.get_total_flops() == 2 * 3 * expected.encoder
    assert expected.discriminator == 0


@every_shape
def test_the_decoder_is_the_generator_of_dcgan(shape: ImageShape) -> None:
    """By the same names and shapes of weights, and by the images that the same weights make."""
    dcgan = MODELS.validate_python({"kind": "dcgan", "latent_dim": 5, "width": 2, "depth": 3})
    theirs, (_, ours) = dcgan.build_generator(shape), networks(shape)
    theirs.load_state_dict(ours.state_dict())
    latents = torch.randn(4, 5, generator=torch.Generator().manual_seed(2))
    assert torch.equal(theirs.eval()(latents), ours.eval()(latents))


@pytest.mark.parametrize("shape", [ImageShape(1, 8, 8), ImageShape(1, 28, 8), ImageShape(3, 1, 178)])
def test_images_that_are_too_small_are_rejected_with_both_sizes(shape: ImageShape) -> None:
    problem = model(depth=3).reject(shape)
    sizes = f"{shape.height}x{shape.width}"
    assert problem == f"encoder_decoder at depth 3 takes images of at least 9x9, the data's are {sizes}"
    assert model(depth=3).reject(ImageShape(1, 9, 9)) is None


@pytest.mark.parametrize("initialization", ["normal", "orthogonal"])
def test_equal_sources_give_equal_weights_whatever_was_there(initialization: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        ones = networks(SHAPES[0], seed=7, initialization=initialization)
        torch.manual_seed(2)
        same = networks(SHAPES[0], seed=7, initialization=initialization)
    others = networks(SHAPES[0], seed=8, initialization=initialization)
    for one, twin, other in zip(ones, same, others, strict=True):
        theirs, different = twin.state_dict(), dict(other.named_parameters())
        assert all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())
        for name, weight in one.named_parameters():
            assert torch.equal(weight, different[name]) == name.endswith("bias"), name


@every_shape
@pytest.mark.parametrize("batch_norm", ["synchronized", "none"])
def test_gradients_reach_every_weight(shape: ImageShape, batch_norm: str) -> None:
    encoder, generator = networks(shape, batch_norm=batch_norm, initialization="orthogonal")
    images = images_of(shape, 8)
    (generator(encoder(images)) - images).square().mean().backward()
    for network in (encoder, generator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name
