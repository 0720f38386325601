"""Norms, spectral norm, first weights and dropout of every registered pair of networks."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.utils import parametrize

from orchestrator.models._layers import Dropout
from tests.models.pairs import KINDS, MODELS, SHAPES, every_kind, loss, networks, small

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.data.images import ImageShape

WEIGHTED = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
NORMS = nn.BatchNorm2d | nn.GroupNorm


@pytest.fixture(autouse=True)
def same_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def shape_of(kind: str) -> ImageShape:
    return next(shape for shape in SHAPES if small(kind).reject(shape) is None)


def weighted(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, WEIGHTED)]


@every_kind
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("batch_norm", ["per_device", "none"])
def test_the_discriminator_has_a_norm_of_its_own(kind: str, norm: str, batch_norm: str) -> None:
    pair = networks(kind, shape_of(kind), discriminator_norm=norm, batch_norm=batch_norm)
    found = [{type(module) for module in network.modules() if isinstance(module, NORMS)} for network in pair]
    batch = set() if batch_norm == "none" else {nn.BatchNorm2d}
    assert found == [batch, {"batch": batch, "layer": {nn.GroupNorm}, "none": set()}[norm]]


@every_kind
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_without_batch_norm_a_discriminator_judges_each_image_alone_and_trains(kind: str, norm: str) -> None:
    generator, discriminator = networks(kind, shape_of(kind), discriminator_norm=norm)
    images = 2 * torch.rand(4, *shape_of(kind)) - 1
    torch.testing.assert_close(discriminator(images[:1]).scores, discriminator(images).scores[:1])
    loss(generator, discriminator).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in discriminator.parameters())


@every_kind
@pytest.mark.parametrize("spectral_norm", ["none", "discriminator"])
def test_a_gradient_penalty_s_own_gradient_is_right(kind: str, spectral_norm: str) -> None:
    """The derivative along a direction of (norm of the scores' gradient in the images - 1)^2, against differences."""
    settings = {"discriminator_norm": "layer", "spectral_norm": spectral_norm, "initialization": "orthogonal"}
    _, discriminator = networks(kind, shape_of(kind), **settings)
    discriminator.double().eval()  # in evaluation the vectors of spectral norm stay
    images = (2 * torch.rand(2, *shape_of(kind), dtype=torch.float64) - 1).requires_grad_()
    parameters = list(discriminator.parameters())
    towards = [torch.randn_like(parameter) for parameter in parameters]

    def penalty() -> torch.Tensor:
        (gradient,) = torch.autograd.grad(discriminator(images).scores.sum(), images, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().sum()

    def moved(length: float) -> float:
        with torch.no_grad():
            for parameter, direction in zip(parameters, towards, strict=True):
                parameter.add_(direction, alpha=length)
        return penalty().item()

    gradients = torch.autograd.grad(penalty(), parameters, allow_unused=True, materialize_grads=True)
    along = sum((g * d).sum().item() for g, d in zip(gradients, towards, strict=True))
    step = 1e-7
    forward, backward = moved(step), moved(-2 * step)
    assert along != 0
    assert along == pytest.approx((forward - backward) / (2 * step), rel=1e-3)


@every_kind
@pytest.mark.parametrize("which", ["none", "discriminator", "both"])
def test_spectral_norm_is_on_every_weight_of_the_networks_that_it_is_for(kind: str, which: str) -> None:
    pair = networks(kind, shape_of(kind), spectral_norm=which)
    found = [{parametrize.is_parametrized(module, "weight") for module in weighted(network)} for network in pair]
    assert found == [{which == "both"}, {which != "none"}]


@every_kind
def test_spectral_norm_divides_by_the_largest_singular_value(kind: str) -> None:
    for network in networks(kind, shape_of(kind), spectral_norm="both"):
        for module in weighted(network):
            with torch.no_grad():
                for _ in range(200):
                    weight = module.weight
            matrix = weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight
            assert torch.linalg.matrix_norm(matrix.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


@every_kind
def test_networks_with_spectral_norm_train_and_move_their_vectors_once_a_pass(kind: str) -> None:
    generator, discriminator = networks(kind, shape_of(kind), spectral_norm="both")
    calls: list[str] = []
    for network in (generator, discriminator):
        for name, module in network.named_modules():
            if "parametrizations" in name and name.endswith(".0"):
                module.register_forward_hook(lambda *_, name=name: calls.append(name))
    loss(generator, discriminator).backward()
    assert len(calls) == len(weighted(generator)) + len(weighted(discriminator))
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@every_kind
@pytest.mark.parametrize("settings", [{"spectral_norm": "both"}, {"initialization": "orthogonal"}], ids=str)
def test_equal_generators_give_bitwise_equal_networks(kind: str, settings: dict[str, str]) -> None:
    """Vectors of spectral norm included, whatever torch's global generator holds."""
    torch.manual_seed(1)
    ones = networks(kind, shape_of(kind), seed=7, **settings)
    torch.manual_seed(2)
    others = networks(kind, shape_of(kind), seed=7, **settings)
    for one, other in zip(ones, others, strict=True):
        theirs = other.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


@every_kind
def test_a_state_with_spectral_norm_is_plain_tensors_and_goes_on_bitwise(kind: str) -> None:
    _, discriminator = networks(kind, shape_of(kind), spectral_norm="discriminator")
    _, other = networks(kind, shape_of(kind), spectral_norm="discriminator", seed=1)
    file, images = io.BytesIO(), 2 * torch.rand(4, *shape_of(kind)) - 1
    discriminator(images)
    torch.save(discriminator.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(discriminator(images).scores, other(images).scores)


@every_kind
def test_orthogonal_weights_are_orthogonal(kind: str) -> None:
    for network in networks(kind, shape_of(kind), initialization="orthogonal"):
        for module in weighted(network):
            matrix = module.weight.detach().flatten(1)
            small_side = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
            torch.testing.assert_close(small_side, torch.eye(len(small_side)), atol=1e-5, rtol=0)
            assert module.bias is None or module.bias.abs().max() == 0


@every_kind
def test_dropout_is_in_the_discriminator_alone_and_leaves_its_state_dict_as_it_is(kind: str) -> None:
    generator, discriminator = networks(kind, shape_of(kind), dropout=0.5)
    shares = [{m.share for m in network.modules() if isinstance(m, Dropout)} for network in (generator, discriminator)]
    assert shares[0] <= {0.0}
    assert shares[1] == {0.5}
    _, without = networks(kind, shape_of(kind))
    theirs = without.state_dict()
    assert list(discriminator.state_dict()) == list(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in discriminator.state_dict().items())


@every_kind
def test_dropout_draws_from_the_generator_it_was_given(kind: str) -> None:
    images = 2 * torch.rand(16, *shape_of(kind)) - 1
    torch.manual_seed(1)
    before = torch.get_rng_state()
    scores = []
    for seed in (0, 0, 1):
        _, discriminator = networks(kind, shape_of(kind), dropout=0.5, discriminator_norm="none")
        for module in discriminator.modules():
            if isinstance(module, Dropout):
                module.generator = torch.Generator().manual_seed(seed)
        torch.set_rng_state(before)
        scores.append(discriminator(images).scores)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])


@every_kind
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("discriminator_norm", "instance"),
        ("spectral_norm", "generator"),
        ("initialization", "xavier"),
        ("dropout", 1.0),
        ("dropout", -0.1),
    ],
)
def test_impossible_options_are_refused(kind: str, setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        MODELS.validate_python({"kind": kind, setting: value})


def test_only_an_autoencoder_judges_by_reconstruction() -> None:
    assert {kind for kind, cls in KINDS.items() if cls.judges == "reconstruction"} == {"autoencoding"}
