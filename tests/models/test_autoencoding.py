from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.data.images import ImageShape
from orchestrator.models.autoencoding import Autoencoding
from orchestrator.models.model import initialize


def model(**settings: Any) -> Autoencoding:
    return Autoencoding.model_validate({"kind": "autoencoding", "latent_dim": 5, "width": 2, "code_dim": 7, **settings})


def discriminator(shape: ImageShape, **settings: Any) -> nn.Module:
    network = model(**settings).build_discriminator(shape)
    initialize(network, torch.Generator().manual_seed(0), "orthogonal")
    return network


SHAPES = [ImageShape(1, 28, 28), ImageShape(3, 32, 32), ImageShape(3, 64, 64), ImageShape(3, 35, 80)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_pooling = pytest.mark.parametrize("pooling", ["stride", "max"])


@every_shape
@every_pooling
def test_features_are_codes_and_scores_errors(shape: ImageShape, pooling: str) -> None:
    images = 2 * torch.rand(3, *shape, generator=torch.Generator().manual_seed(1)) - 1
    for reconstruction, power in (("l1", 1), ("l2", 2)):
        network = discriminator(shape, pooling=pooling, reconstruction=reconstruction)
        judgement, back = network(images), network.reconstruct(images)
        assert judgement.features.shape == (3, 7)
        assert back.shape == images.shape
        assert back.abs().max() <= 1
        for score, image, made in zip(judgement.scores, images, back, strict=True):
            torch.testing.assert_close(score, ((image - made).abs() ** power).mean())


@every_shape
@every_pooling
def test_multiply_adds_are_half_the_operations_that_torch_counts(shape: ImageShape, pooling: str) -> None:
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        discriminator(shape, pooling=pooling)(torch.zeros(1, *shape))
    assert counted.get_total_flops() == 2 * model(pooling=pooling).multiply_adds(shape).discriminator


def test_the_generator_is_the_decoder_with_weights_of_its_own() -> None:
    settings, shape = model(latent_dim=7), SHAPES[0]
    generator, judge = settings.build_generator(shape), settings.build_discriminator(shape)
    assert str(generator) == str(judge.decoder)
    assert not {p.data_ptr() for p in generator.parameters()} & {p.data_ptr() for p in judge.parameters()}


def test_maps_of_the_photos_grow_by_the_width_and_halve_to_5x10() -> None:
    network, found = discriminator(ImageShape(3, 140, 320)), []
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, nn.ConvTranspose2d):
            module.register_forward_hook(lambda _module, _inputs, out: found.append(tuple(out.shape[1:])))
    with torch.no_grad():
        network(torch.zeros(1, 3, 140, 320))
    sides = [(140, 320), (70, 160), (35, 80), (18, 40), (9, 20), (5, 10)]
    down = [(2 * (stage + 1), *sides[stage]) for stage in range(6) for _ in range(3)]
    up = [(2, *side) for side in sides[::-1] for _ in range(2)]
    assert found == [*down, *up, (3, 140, 320)]


def test_errors_are_in_single_precision_under_autocast() -> None:
    network = discriminator(SHAPES[0])
    images = 2 * torch.rand(3, *SHAPES[0], generator=torch.Generator().manual_seed(1)) - 1
    exact = network(images).scores
    with torch.autocast("cpu", torch.bfloat16):
        scores = network(images).scores
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, exact, rtol=1e-2, atol=0)


def test_max_pooling_has_no_strided_convolutions() -> None:
    for pooling, expected in (("max", 0), ("stride", 2)):
        network = discriminator(SHAPES[0], pooling=pooling)
        strided = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
        pools = [m for m in network.modules() if isinstance(m, nn.MaxPool2d)]
        assert (len(strided), len(pools)) == (expected, 2 - expected)


def test_it_learns_to_reconstruct() -> None:
    shape = ImageShape(1, 28, 28)
    images = torch.linspace(-1, 1, 28).expand(4, 1, 28, 28)
    network = discriminator(shape, width=4)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    errors = []
    for _ in range(60):
        error = network(images).scores.mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < errors[0] / 2


def test_images_reach_the_codes_and_codes_the_reconstructions() -> None:
    """First weights neither let signals die on their way through the layers nor blow them up."""
    shape = ImageShape(3, 64, 64)
    settings = model(width=16, code_dim=256)
    network = settings.build_discriminator(shape)
    initialize(network, torch.Generator().manual_seed(0), settings.initialization)
    images = 2 * torch.rand(8, *shape, generator=torch.Generator().manual_seed(1)) - 1
    with torch.no_grad():
        codes, back = network.encoder(images), network.reconstruct(images)
    assert 0.01 < codes.std() < 1
    assert 0.01 < back.std(0).mean() < 1


def test_there_is_no_batch_norm_unless_asked_for() -> None:
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model().build_generator(SHAPES[0]).modules())


@pytest.mark.parametrize(
    ("setting", "value"), [("pooling", "mean"), ("reconstruction", "huber"), ("code_dim", 0), ("width", 0)]
)
def test_impossible_settings_are_refused(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        model(**{setting: value})


def test_a_depth_that_leaves_nothing_is_refused() -> None:
    assert model(depth=5).reject(ImageShape(1, 28, 28)) == (
        "autoencoding at depth 5 takes images of at least 33x33, the data's are 28x28"
    )
