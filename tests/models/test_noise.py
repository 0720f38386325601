"""Noise on images and on features: the layer against its definition, and in every registered pair of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from orchestrator.models._layers import Discriminator, Noise, set_generator, set_noise
from orchestrator.models.pair import NoiseSettings
from tests.models.pairs import MODELS, SHAPES, every_kind, loss, networks, small

if TYPE_CHECKING:
    from orchestrator.data.images import ImageShape

BOTH = {"instance_noise": 0.2, "feature_noise": 0.3}


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    torch.manual_seed(0)


def seeded(network: nn.Module, seed: int = 3) -> nn.Module:
    set_generator(network, torch.Generator().manual_seed(seed))
    return network


def drawn(like: torch.Tensor, deviation: float, seed: int = 3) -> torch.Tensor:
    """The first noise from a generator of this seed, by another call than the layer's."""
    return deviation * torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


def shape_of(kind: str) -> ImageShape:
    return next(shape for shape in SHAPES if small(kind).reject(shape) is None)


def discriminators(kind: str, **settings: float) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    """One with these settings, one without any noise, of the same weights, both in training, and images for them."""
    (_, noisy), (_, plain) = (networks(kind, shape_of(kind), batch_norm="none", **more) for more in (settings, {}))
    return seeded(noisy), plain, 2 * torch.rand(5, *shape_of(kind)) - 1


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_noise_is_normal_around_its_inputs_and_of_the_stated_deviation(share: float) -> None:
    layer, inputs = seeded(Noise(0.5)), torch.linspace(-1, 1, 200_000)
    set_noise(layer, share)
    noise = (layer(inputs) - inputs).double() / (0.5 * share)
    error = len(inputs) ** -0.5
    assert abs(noise.mean().item()) < 5 * error
    assert abs(noise.std().item() - 1) < 5 * error
    assert abs((noise.abs() < 1).double().mean().item() - 0.6827) < 5 * 0.4654 * error
    assert abs((noise[1:] * noise[:-1]).mean().item()) < 5 * error


def test_noise_lets_gradients_through_as_they_are() -> None:
    inputs, towards = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    (gradient,) = torch.autograd.grad(seeded(Noise(0.5))(inputs), inputs, towards)
    assert torch.equal(gradient, towards)


def test_noise_is_not_there_in_evaluation_or_where_there_is_none_or_none_is_left() -> None:
    inputs = torch.randn(64)
    assert Noise(0.5).eval()(inputs) is inputs
    assert Noise(0.0)(inputs) is inputs
    faded = Noise(0.5)
    set_noise(faded, 0.0)
    assert faded(inputs) is inputs


def test_noise_draws_from_its_generator_alone_and_anew_at_every_pass() -> None:
    layer, inputs = seeded(Noise(0.5)), torch.ones(64)
    before = torch.get_rng_state()
    one, next_one = layer(inputs), layer(inputs)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(one, next_one)
    assert torch.equal(seeded(layer)(inputs), one)
    with pytest.raises(AssertionError, match="generator"):
        Noise(0.5)(inputs)


@every_kind
def test_with_instance_noise_an_image_with_noise_is_what_is_judged(kind: str) -> None:
    """Of an autoencoder too: its error is that of the image with noise."""
    noisy, plain, images = discriminators(kind, instance_noise=0.2)
    judged, expected = noisy(images), plain(images + drawn(images, 0.2))
    torch.testing.assert_close(judged.scores, expected.scores)
    torch.testing.assert_close(judged.features, expected.features)
    assert not torch.allclose(judged.scores, plain(images).scores)


@every_kind
def test_feature_noise_is_on_what_the_score_is_made_of(kind: str) -> None:
    noisy, plain, images = discriminators(kind, feature_noise=0.3)
    judged, unmoved = noisy(images), plain(images)
    assert torch.equal(judged.features, unmoved.features)
    if isinstance(noisy, Discriminator):
        features = plain.body(images)
        expected = plain.head(features + drawn(features, 0.3))
    else:
        codes = plain.encoder(images)
        expected = (images - plain.decoder(codes + drawn(codes, 0.3))).abs().flatten(1).mean(1)
    torch.testing.assert_close(judged.scores, expected)
    assert not torch.allclose(judged.scores, unmoved.scores)


@every_kind
@pytest.mark.parametrize("settings", [{name: value} for name, value in BOTH.items()], ids=str)
def test_noise_is_each_images_own_and_none_in_evaluation(kind: str, settings: dict[str, float]) -> None:
    noisy, plain, images = discriminators(kind, **settings)
    same = images[:1].expand_as(images)
    scores = noisy(same).scores
    assert len(set(scores.tolist())) == len(scores)
    assert not torch.equal(noisy(same).scores, scores)
    assert torch.equal(noisy.eval()(images).scores, plain.eval()(images).scores)


@every_kind
def test_noise_is_in_the_discriminator_alone_adds_no_state_and_lets_both_networks_learn(kind: str) -> None:
    generator, discriminator = networks(kind, shape_of(kind), **BOTH)
    _, plain = networks(kind, shape_of(kind))
    assert not any(isinstance(module, Noise) for module in generator.modules())
    assert [m.deviation for m in discriminator.modules() if isinstance(m, Noise)] == [0.2, 0.3]
    assert list(discriminator.state_dict()) == list(plain.state_dict())
    loss(generator, discriminator).backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_what_is_left_out_is_left_out_with_its_noise() -> None:
    network = Discriminator(nn.Flatten(), nn.Flatten(), NoiseSettings(dropout=0.5, feature_noise=1.0))
    scores = seeded(network)(torch.ones(100, 1, 8, 8)).scores
    assert abs((scores == 0).double().mean().item() - 0.5) < 5 * 0.5 / scores.numel() ** 0.5


@pytest.mark.parametrize("setting", sorted(BOTH))
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "much"])
def test_impossible_noise_is_refused(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        MODELS.validate_python({"kind": "dcgan", setting: value})
