"""What holds for each registered pair of networks; a new kind is covered by being there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.data.images import ImageShape
from tests.models.pairs import CASES, KINDS, MODELS, every_case, every_kind, loss, networks, small

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def same_random_numbers() -> Iterator[None]:
    """Building draws torch's own first weights from the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_all_families_are_there_and_each_kind_takes_some_shape() -> None:
    families = {"autoencoding", "dcgan", "fully_connected", "mixed_layers", "residual", "small_dcgan"}
    assert set(KINDS) == families
    assert {case.values[0] for case in CASES} == set(KINDS)


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match=r"dcgan.*small_dcgan"):
        MODELS.validate_python({"kind": "stylegan"})


@every_case
@pytest.mark.parametrize("count", [2, 3])
def test_networks_map_latents_to_images_to_scores(kind: str, shape: ImageShape, count: int) -> None:
    generator, discriminator = networks(kind, shape)
    images = generator(torch.randn(count, 5))
    assert images.shape == (count, *shape)
    judgement = discriminator(images)
    assert judgement.scores.shape == (count,)
    assert judgement.features.ndim == 2
    assert len(judgement.features) == count


@every_case
def test_one_image_alone_still_has_a_batch_dimension(kind: str, shape: ImageShape) -> None:
    generator, discriminator = (network.eval() for network in networks(kind, shape))
    images = generator(torch.randn(1, 5))
    assert images.shape == (1, *shape)
    assert discriminator(images).scores.shape == (1,)


@every_case
def test_images_use_the_range_and_never_leave_it(kind: str, shape: ImageShape) -> None:
    generator, _ = networks(kind, shape)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(20)
        images = generator(torch.randn(16, 5))
    assert images.abs().max() <= 1
    assert images.min() < -0.9
    assert images.max() > 0.9


@every_case
def test_scores_are_raw_or_errors(kind: str, shape: ImageShape) -> None:
    """Raw: neither a sigmoid nor any other bound, they have both signs and grow with the weights. Errors: above 0."""
    _, discriminator = networks(kind, shape)
    images = 2 * torch.rand(64, *shape) - 1
    with torch.no_grad():
        scores = discriminator(images).scores
        if KINDS[kind].judges == "reconstruction":
            assert scores.min() > 0
            return
        for parameter in discriminator.head.parameters():
            parameter.neg_()
        assert torch.equal(discriminator(images).scores, -scores)
        for parameter in discriminator.parameters():
            parameter.mul_(100)
        assert discriminator(images).scores.abs().max() > 100


@every_case
def test_in_evaluation_an_image_depends_on_its_latent_only(kind: str, shape: ImageShape) -> None:
    generator, discriminator = (network.eval() for network in networks(kind, shape))
    latents = torch.randn(4, 5)
    images = generator(latents)
    for one, latent in zip(images, latents, strict=True):
        torch.testing.assert_close(generator(latent[None])[0], one)
    scores = discriminator(images).scores
    for one, image in zip(scores, images, strict=True):
        torch.testing.assert_close(discriminator(image[None]).scores[0], one)


@every_case
def test_gradients_reach_every_weight(kind: str, shape: ImageShape) -> None:
    generator, discriminator = networks(kind, shape)
    loss(generator, discriminator).backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@every_case
@pytest.mark.parametrize("latent_dim", [1, 5])
def test_multiply_adds_are_half_the_operations_that_torch_counts(kind: str, shape: ImageShape, latent_dim: int) -> None:
    """For a pass of three images; torch counts a product and its sum as two."""
    generator, discriminator = networks(kind, shape, latent_dim=latent_dim)
    expected = small(kind).model_copy(update={"latent_dim": latent_dim}).multiply_adds(shape)
    with torch.no_grad():
        with FlopCounterMode(display=False) as counted:
            images = generator(torch.randn(3, latent_dim))
        assert counted.get_total_flops() == 2 * 3 * expected.generator
        with FlopCounterMode(display=False) as counted:
            discriminator(images)
        assert counted.get_total_flops() == 2 * 3 * expected.discriminator


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"fully_connected"}))
@pytest.mark.parametrize("shape", [ImageShape(1, 1, 1), ImageShape(1, 28, 2), ImageShape(3, 2, 178)])
def test_images_that_are_too_small_are_rejected_with_both_sizes(kind: str, shape: ImageShape) -> None:
    reason = small(kind).reject(shape)
    assert reason is not None
    assert kind in reason
    assert f"{shape.height}x{shape.width}" in reason
    assert "\n" not in reason


@every_case
def test_the_same_generator_gives_the_same_weights_whatever_was_there(kind: str, shape: ImageShape) -> None:
    """So no weight is left as torch drew it from its global generator."""
    torch.manual_seed(1)
    ones = networks(kind, shape, seed=7)
    torch.manual_seed(2)
    others = networks(kind, shape, seed=7)
    for one, other in zip(ones, others, strict=True):
        theirs = other.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


@every_case
def test_another_generator_gives_other_weights(kind: str, shape: ImageShape) -> None:
    for one, other in zip(networks(kind, shape, seed=7), networks(kind, shape, seed=8), strict=True):
        theirs = dict(other.named_parameters())
        for name, weight in one.named_parameters():
            assert torch.equal(weight, theirs[name]) == (name.endswith("bias")), name


@every_case
@pytest.mark.parametrize("batch_norm", ["synchronized", "per_device", "none"])
def test_batch_norm_is_there_unless_it_is_said_not_to_be(kind: str, shape: ImageShape, batch_norm: str) -> None:
    """Networks say BatchNorm2d whichever devices its statistics are over; without it convolutions get their bias."""
    for network in networks(kind, shape, batch_norm=batch_norm, discriminator_norm="batch"):
        norms = [module for module in network.modules() if "BatchNorm" in type(module).__name__]
        assert {type(module) for module in norms} == (set() if batch_norm == "none" else {nn.BatchNorm2d})
        if batch_norm == "none":
            layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
            assert all(layer.bias is not None for layer in layers)


@every_case
def test_without_batch_norm_networks_still_train(kind: str, shape: ImageShape) -> None:
    generator, discriminator = networks(kind, shape, batch_norm="none")
    loss(generator, discriminator).backward()
    for network in (generator, discriminator):
        assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


@every_kind
@pytest.mark.parametrize("batch_norm", ["sync", None, True])
def test_unknown_batch_norms_are_refused_with_those_that_there_are(kind: str, batch_norm: object) -> None:
    with pytest.raises(ValidationError, match=r"synchronized.*per_device.*none"):
        MODELS.validate_python({"kind": kind, "batch_norm": batch_norm})


@every_kind
@pytest.mark.parametrize("latent_dim", [0, -1, 65537, 2.0, "100", None])
def test_impossible_latent_sizes_are_refused(kind: str, latent_dim: object) -> None:
    with pytest.raises(ValidationError, match="latent_dim"):
        MODELS.validate_python({"kind": kind, "latent_dim": latent_dim})
