from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from orchestrator.data.images import ImageShape
from orchestrator.models.dcgan import Dcgan
from orchestrator.models.small_dcgan import SmallDcgan


def sides(network: nn.Module, first: torch.Tensor) -> list[tuple[int, int]]:
    """(feature maps, side) after each convolution of the network; (1, 1) for scores."""
    found: list[tuple[int, int]] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(
                lambda _module, _inputs, out: found.append(tuple((*out.shape, 1, 1, 1)[1:4:2]))
            )
    network.eval()(first)
    return found


@pytest.mark.parametrize(("side", "expected"), [(28, [(6, 7), (3, 14)]), (32, [(12, 4), (6, 8), (3, 16)])])
@pytest.mark.parametrize("channels", [1, 3])
def test_width_is_that_next_to_the_image_and_doubles_inwards(
    side: int, expected: list[tuple[int, int]], channels: int
) -> None:
    model, shape = Dcgan(kind="dcgan", latent_dim=5, width=3), ImageShape(channels, side, side)
    assert sides(model.build_generator(shape), torch.zeros(1, 5)) == [*expected, (channels, side)]
    assert sides(model.build_discriminator(shape), torch.zeros(1, *shape)) == [*expected[::-1], (1, 1)]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_small_pair_has_the_widths_and_sides_of_experiment_a2(channels: int) -> None:
    model, shape = SmallDcgan(kind="small_dcgan", latent_dim=5), ImageShape(channels, 28, 28)
    generator = sides(model.build_generator(shape), torch.zeros(1, 5))
    discriminator = sides(model.build_discriminator(shape), torch.zeros(1, *shape))
    assert generator == [(256, 4), (128, 7), (64, 14), (channels, 28)]
    assert discriminator == [(28, 14), (56, 7), (112, 4), (1, 1)]


def test_the_smallest_and_a_usual_size_train() -> None:
    shape = ImageShape(1, 28, 28)
    for settings in ({"latent_dim": 1, "width": 1}, {"latent_dim": 100, "width": 64}):
        model = Dcgan(kind="dcgan", **settings)
        images = model.build_generator(shape)(torch.randn(2, model.latent_dim))
        scores = model.build_discriminator(shape)(images).scores
        scores.sum().backward()
        assert scores.isfinite().all()


@pytest.mark.parametrize(
    "model", [Dcgan(kind="dcgan", width=2, latent_dim=5), SmallDcgan(kind="small_dcgan", latent_dim=5)]
)
def test_no_batch_norm_next_to_the_image_and_a_bias_only_where_there_is_none(model: Dcgan | SmallDcgan) -> None:
    """A batch norm takes any bias before it away again."""
    shape = ImageShape(1, 28, 28)
    for network in (model.build_generator(shape), model.build_discriminator(shape)):
        layers = [m for m in network.modules() if not list(m.children())]
        pairs = pairwise([*layers, None])
        norms = [isinstance(after, nn.BatchNorm2d) for before, after in pairs if hasattr(before, "stride")]
        biases = [layer.bias is not None for layer in layers if hasattr(layer, "stride")]
        assert biases == [not norm for norm in norms]
    layers = [m for m in model.build_discriminator(shape).modules() if hasattr(m, "weight")]
    assert not isinstance(layers[1], nn.BatchNorm2d)
    layers = [m for m in model.build_generator(shape).modules() if hasattr(m, "weight")]
    assert isinstance(layers[-1], nn.ConvTranspose2d)


@pytest.mark.parametrize("width", [0, -3, 4097, 1.5, "64", True])
def test_impossible_widths_are_refused(width: object) -> None:
    with pytest.raises(ValidationError, match="width"):
        Dcgan.model_validate({"kind": "dcgan", "width": width})


def test_the_small_pair_has_no_width_and_only_one_size() -> None:
    with pytest.raises(ValidationError, match="width"):
        SmallDcgan.model_validate({"kind": "small_dcgan", "width": 64})
    model = SmallDcgan(kind="small_dcgan")
    assert model.reject(ImageShape(3, 28, 28)) is None
    assert model.reject(ImageShape(1, 32, 32)) == "small_dcgan makes 28x28 images, the data's are 32x32"


@pytest.mark.parametrize(
    ("height", "width", "maps"),
    [
        (64, 64, [(24, 4, 4), (12, 8, 8), (6, 16, 16), (3, 32, 32)]),
        (140, 320, [(48, 5, 10), (24, 9, 20), (12, 18, 40), (6, 35, 80), (3, 70, 160)]),
        (37, 3, [(3, 19, 2)]),
    ],
)
def test_maps_are_the_image_halved_with_odd_sides_rounded_up(
    height: int, width: int, maps: list[tuple[int, int, int]]
) -> None:
    model, shape = Dcgan(kind="dcgan", latent_dim=5, width=3), ImageShape(3, height, width)
    found: list[tuple[int, ...]] = []
    networks = model.build_generator(shape), model.build_discriminator(shape)
    for module in (module for network in networks for module in network.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(lambda _module, _inputs, out: found.append(tuple(out.shape[1:])))
    networks[1].eval()(networks[0].eval()(torch.zeros(1, 5)))
    assert found == [*maps, shape, *maps[::-1], ()]


def test_no_layer_has_more_maps_than_the_most() -> None:
    model = Dcgan(kind="dcgan", width=16, max_width=32, depth=3)
    for network in (model.build_generator(ImageShape(3, 140, 320)), model.build_discriminator(ImageShape(3, 140, 320))):
        norms = [module.num_features for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        assert set(norms) <= {16, 32}
        assert norms


def test_dcgan_names_the_depths_that_an_image_allows() -> None:
    assert Dcgan(kind="dcgan", depth=4).reject(ImageShape(1, 28, 28)) is None
    assert Dcgan(kind="dcgan", depth=5).reject(ImageShape(1, 28, 320)) == (
        "dcgan at depth 5 takes images of at least 33x33, the data's are 28x320"
    )
    assert Dcgan(kind="dcgan").reject(ImageShape(1, 28, 2)) == (
        "dcgan at depth 1 takes images of at least 3x3, the data's are 28x2"
    )
