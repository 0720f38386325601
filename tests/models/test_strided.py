"""Networks of stride 2 against the same layers of torch written out by hand, with the same weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from orchestrator.data.images import ImageShape
from tests.models.pairs import MODELS

SHAPE = ImageShape(1, 28, 28)


def normed(layer: nn.Module, maps: int, *, norm: bool) -> list[nn.Module]:
    return [layer, *([nn.BatchNorm2d(maps)] if norm else [])]


def by_hand_upward(*, norm: bool) -> nn.Module:
    """5 numbers to 6x7x7, 3x14x14, 1x28x28."""
    return nn.Sequential(
        nn.Unflatten(1, (5, 1, 1)),
        *normed(nn.ConvTranspose2d(5, 6, 7, bias=not norm), 6, norm=norm),
        nn.ReLU(),
        *normed(nn.ConvTranspose2d(6, 3, 4, 2, 1, bias=not norm), 3, norm=norm),
        nn.ReLU(),
        nn.ConvTranspose2d(3, 1, 4, 2, 1),
        nn.Tanh(),
    )


def by_hand_downward(*last: nn.Module, norm: bool, first_norm: bool) -> nn.Module:
    """The way back, as far as 6x7x7."""
    return nn.Sequential(
        *normed(nn.Conv2d(1, 3, 4, 2, 1, bias=not first_norm), 3, norm=first_norm),
        nn.LeakyReLU(0.2),
        *normed(nn.Conv2d(3, 6, 4, 2, 1, bias=not norm), 6, norm=norm),
        nn.LeakyReLU(0.2),
        *last,
    )


def assert_computes(ours: nn.Module, by_hand: nn.Module, inputs: torch.Tensor) -> None:
    """The same from the same weights, with the batch's statistics and with the running ones."""
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    weights, expected = list(ours.state_dict().values()), by_hand.state_dict()
    assert [tuple(one.shape) for one in weights] == [tuple(one.shape) for one in expected.values()]
    by_hand.load_state_dict(dict(zip(expected, weights, strict=True)))
    for mode in (True, False):
        made: Any = ours.train(mode)(inputs)
        said = made if isinstance(made, torch.Tensor) else made.scores
        torch.testing.assert_close(said, by_hand.train(mode)(inputs), rtol=1e-4, atol=1e-4)


def images() -> torch.Tensor:
    return 2 * torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0)) - 1


@pytest.mark.parametrize("norm", [True, False])
def test_dcgan_is_made_of_these_layers(norm: bool) -> None:
    settings = {"kind": "dcgan", "latent_dim": 5, "width": 3, "batch_norm": "synchronized" if norm else "none"}
    model = MODELS.validate_python(settings)
    latents = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert_computes(model.build_generator(SHAPE), by_hand_upward(norm=norm), latents)
    scored = by_hand_downward(nn.Conv2d(6, 1, 7), nn.Flatten(0), norm=norm, first_norm=False)
    assert_computes(model.build_discriminator(SHAPE), scored, images())


@pytest.mark.parametrize("norm", [True, False])
def test_encoder_decoder_is_made_of_these_layers(norm: bool) -> None:
    settings = {"latent_dim": 5, "width": 3, "depth": 2, "batch_norm": "synchronized" if norm else "none"}
    model = MODELS.validate_python({"kind": "encoder_decoder", **settings})
    latents = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert_computes(model.build_generator(SHAPE), by_hand_upward(norm=norm), latents)
    coded = by_hand_downward(nn.Flatten(), nn.Linear(6 * 7 * 7, 5), norm=norm, first_norm=norm)
    assert_computes(model.build_encoder(SHAPE), coded, images())
