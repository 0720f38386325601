"""The families with linear layers: fully_connected and mixed_layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from orchestrator.data.images import ImageShape
from orchestrator.models._layers import Dropout
from orchestrator.models.fully_connected import FullyConnected
from orchestrator.models.mixed_layers import MixedLayers

MNIST = ImageShape(1, 28, 28)
ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def connected(**settings: Any) -> FullyConnected:
    return FullyConnected.model_validate({"kind": "fully_connected", "latent_dim": 5, **settings})


def linear(network: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]


def test_layers_are_as_wide_as_the_settings_say() -> None:
    model = connected(generator_widths=[3, 4], discriminator_widths=[6, 7, 8])
    assert linear(model.build_generator(MNIST)) == [(5, 3), (3, 4), (4, 784)]
    assert linear(model.build_discriminator(MNIST)) == [(784, 6), (6, 7), (7, 8), (8, 1)]


@pytest.mark.parametrize("shape", [ImageShape(1, 1, 1), ImageShape(3, 2, 178), ImageShape(3, 140, 320)], ids=str)
def test_fully_connected_networks_take_any_shape(shape: ImageShape) -> None:
    model = connected(generator_widths=[3], discriminator_widths=[4])
    assert model.reject(shape) is None
    images = model.build_generator(shape)(torch.randn(2, 5))
    assert images.shape == (2, *shape)
    assert model.build_discriminator(shape)(images).scores.shape == (2,)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("cls", [FullyConnected, MixedLayers])
def test_every_hidden_layer_has_the_activation(cls: type[FullyConnected | MixedLayers], activation: str) -> None:
    kind = "fully_connected" if cls is FullyConnected else "mixed_layers"
    model = cls.model_validate({"kind": kind, "activation": activation, "batch_norm": "none"})
    generator, discriminator = model.build_generator(MNIST), model.build_discriminator(MNIST)
    for network, last in ((generator, nn.Tanh), (discriminator, None)):
        found = [type(m) for m in network.modules() if type(m) in ACTIVATIONS.values()]
        layers = sum(isinstance(m, nn.Linear | nn.ConvTranspose2d) for m in network.modules())
        assert found == [ACTIVATIONS[activation]] * (layers - 1) + [last] * (last is not None)


def test_the_mixed_generator_has_three_linear_layers_and_three_transposed_convolutions() -> None:
    """The third linear layer is that to the first maps; the discriminator is linear throughout: experiment A3."""
    model = MixedLayers(kind="mixed_layers", latent_dim=50)
    generator, discriminator = model.build_generator(MNIST), model.build_discriminator(MNIST)
    assert linear(generator) == [(50, 256), (256, 512)]
    maps = [(m.in_channels, m.out_channels) for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert maps == [(512, 64), (64, 16), (16, 8), (8, 1)]
    assert linear(discriminator) == [(784, 1024), (1024, 512), (512, 256), (256, 1)]


def test_dropout_follows_every_hidden_layer() -> None:
    network = MixedLayers(kind="mixed_layers", dropout=0.3).build_discriminator(MNIST)
    layers = [type(m) for m in network.modules() if isinstance(m, nn.Linear | Dropout)]
    assert layers[1::2] == [Dropout] * 3
    assert {m.share for m in network.modules() if isinstance(m, Dropout)} == {0.3}


def test_the_mixed_pair_names_the_smallest_images_it_makes() -> None:
    model = MixedLayers(kind="mixed_layers")
    assert model.reject(ImageShape(1, 9, 9)) is None
    assert model.reject(ImageShape(1, 28, 8)) == "mixed_layers takes images of at least 9x9, the data's are 28x8"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("generator_widths", []),
        ("generator_widths", [0]),
        ("discriminator_widths", ["8"]),
        ("discriminator_widths", [8.0]),
        ("discriminator_widths", 8),
        ("activation", "swish"),
    ],
)
def test_impossible_settings_are_refused(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        connected(**{setting: value})
