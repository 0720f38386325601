"""The encoder learns what it is told to, from its source of randomness alone, and leaves the generator as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from orchestrator.data.images import ImageShape
from orchestrator.errors import NonFiniteLossError
from orchestrator.evaluations.encoder_inversion.encoder import Encoder, TrainedEncoder, encode, train_encoder
from orchestrator.evaluations.encoder_inversion.settings import EncoderTraining
from orchestrator.evaluations.latent_search.search import draw_starts, images_in_unit, search
from orchestrator.evaluations.latent_search.settings import LatentSearch
from tests.evaluations.generators import LATENTS, SHAPE, Affine, targets


def generator() -> nn.Module:
    return Affine().float()


def to_bytes(images: Tensor) -> Tensor:
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def train(seed: int = 0, images: Tensor | None = None, **options: Any) -> TrainedEncoder:
    settings = EncoderTraining(**{"steps": 300, "batch_size": 64, "width": 8, "log_every": 50, **options})
    given = to_bytes(targets(40, masked=False).images) if images is None else images
    return train_encoder(settings, generator(), LATENTS, given, torch.Generator().manual_seed(seed))


def test_samples_teach_it_the_latent_vectors_they_came_from() -> None:
    encoder, curves = train(latent_weight=1.0, image_weight=0.0)
    latents = torch.randn(200, LATENTS, generator=torch.Generator().manual_seed(9))
    samples = images_in_unit(generator(), latents)
    error = (encode(encoder, samples) - latents).square().mean()
    # 1 is what an encoder comes to that says nothing
    assert error < 0.1
    assert curves.shape == (6, 2)
    assert curves[-1, 0] < 0.2 * curves[0, 0]
    assert curves[:, 1].isnan().all()


def test_images_teach_it_the_nearest_images_there_are() -> None:
    wanted = targets(40, masked=False)
    encoder, curves = train(latent_weight=0.0, images=to_bytes(wanted.images))
    made = images_in_unit(generator(), encode(encoder, wanted.images))
    exact = Affine()
    best = exact.least_squares(wanted.images.double(), wanted.observed)
    least = ((exact(best) + 1) / 2 - wanted.images).square().mean().item()
    nothing = images_in_unit(generator(), torch.zeros(40, LATENTS))
    errors = [(images - wanted.images).square().mean().item() for images in (made, nothing)]
    assert least < errors[0] < least + 0.35 * (errors[1] - least)
    assert curves[:, 0].isnan().all()


def test_it_is_a_better_start_than_a_random_one() -> None:
    wanted = targets(20, masked=False)
    encoder = train(images=to_bytes(targets(40, masked=False, first=100).images)).encoder
    settings = LatentSearch(steps=5, restarts=1, log_every=1)
    encoded = search(settings, generator(), wanted, encode(encoder, wanted.images)[:, None])
    drawn = search(settings, generator(), wanted, draw_starts(wanted, settings.restarts, LATENTS, seed=0))
    assert encoded.curves[:, 0, 0].mean() < 0.8 * drawn.curves[:, 0, 0].mean()


def test_its_source_of_randomness_decides() -> None:
    first, again, other = (train(seed, steps=3).encoder.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])


def test_images_without_weight_do_not_matter() -> None:
    white = torch.full((40, *SHAPE), 255, dtype=torch.uint8)
    one, other = (train(images=images, steps=3, image_weight=0.0).encoder for images in (white, 0 * white))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_generator_is_left_as_it_was() -> None:
    network = generator()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = to_bytes(targets(4).images)
    encoder, _ = train_encoder(EncoderTraining(steps=2, batch_size=4), network, LATENTS, images, torch.Generator())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 140, 320), (1, 8, 8), (3, 7, 9)])
def test_there_is_one_for_images_of_any_shape(shape: tuple[int, int, int]) -> None:
    encoder = Encoder(ImageShape(*shape), 5, 4).eval()
    assert encode(encoder, torch.rand(3, *shape), batch=2).shape == (3, 5)


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    class Broken(Affine):
        def forward(self, latents: Tensor) -> Tensor:
            return super().forward(latents) * torch.inf

    images = to_bytes(targets(4).images)
    with pytest.raises(NonFiniteLossError) as raised:
        train_encoder(
            EncoderTraining(steps=20, batch_size=4, log_every=5), Broken().float(), LATENTS, images, torch.Generator()
        )
    assert raised.value.step == 5


def test_a_training_for_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="latent_weight and image_weight are both 0"):
        EncoderTraining(latent_weight=0.0, image_weight=0.0)
