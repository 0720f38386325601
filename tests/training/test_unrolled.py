"""The discriminator some updates ahead: against torch's own optimizers, and against finite differences."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.distributed.group import ALONE
from orchestrator.training.optimizers import Optimizer
from orchestrator.training.unrolled import unroll
from tests.distributed.trials import doubles, make_gan, trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.training.gan import Gan

OPTIMIZERS = [{"lr": 0.01}, {"kind": "sgd", "lr": 0.1}, {"kind": "sgd", "lr": 0.1, "momentum": 0.9}]


@pytest.fixture(autouse=True)
def in_doubles() -> Iterator[None]:
    with doubles():
        yield


def small() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))


def loss(outputs: Tensor) -> Tensor:
    return nn.functional.softplus(outputs).mean()


@pytest.mark.parametrize("settings", OPTIMIZERS)
@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_weights_ahead_are_those_that_torchs_optimizer_comes_to(
    settings: dict[str, Any], before: int, steps: int
) -> None:
    network, inputs = small(), torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    optimizer = Optimizer.model_validate(settings).build(network.parameters())

    def update() -> None:
        optimizer.zero_grad()
        loss(network(inputs)).backward()
        optimizer.step()

    for _ in range(before):
        update()
    ahead = unroll(network, optimizer, lambda state: loss(functional_call(network, state, inputs)), steps)
    for _ in range(steps):
        update()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(ahead[name].detach(), value, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("settings", OPTIMIZERS)
def test_the_gradient_through_all_updates_is_that_of_finite_differences(settings: dict[str, Any]) -> None:
    network = small()
    optimizer = Optimizer.model_validate(settings).build(network.parameters())

    def far(inputs: Tensor) -> Tensor:
        ahead = unroll(network, optimizer, lambda state: loss(functional_call(network, state, inputs)), 3)
        return functional_call(network, ahead, inputs).square().mean()

    inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(far, (inputs,), eps=1e-6, atol=1e-6)


def test_a_weight_that_never_had_a_gradient_makes_no_nan() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    nn.init.constant_(network[0].bias, -100.0)  # all units are dead
    optimizer = Optimizer().build(network.parameters())
    inputs = torch.randn(4, 2, requires_grad=True)
    ahead = unroll(network, optimizer, lambda state: loss(functional_call(network, state, inputs)), 2)
    (slope,) = torch.autograd.grad(functional_call(network, ahead, inputs).sum(), inputs)
    assert slope.isfinite().all()


def everything(gan: Gan) -> dict[str, Any]:
    return deepcopy({"discriminator": gan.discriminator.state_dict(), "optimizer": gan.d_optimizer.state_dict()})


@pytest.mark.parametrize("settings", [{}, {"kind": "sgd", "momentum": 0.5}])
def test_looking_ahead_leaves_the_discriminator_and_its_optimizer_bitwise_as_they_were(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gan = make_gan(ALONE, trial(unrolled_steps=3, d_optimizer=settings))
    gan.step()
    original, seen = gan._update_generator, []

    def watched(*arguments: Any) -> Any:
        before = everything(gan)
        answer = original(*arguments)
        seen.append((before, everything(gan)))
        return answer

    monkeypatch.setattr(gan, "_update_generator", watched)
    gan.step()
    ((before, after),) = seen
    assert str(before) == str(after)
    for name, value in before["discriminator"].items():
        assert torch.equal(value, after["discriminator"][name]), name
    for index, kept in before["optimizer"]["state"].items():
        for key, value in kept.items():
            assert value is None or torch.equal(value, after["optimizer"]["state"][index][key]), key
    assert all(parameter.requires_grad for parameter in gan.d_parameters)


@pytest.mark.parametrize("kind", ["non_saturating", "rasgan"])
def test_the_generators_gradient_is_that_through_the_updates_and_not_only_after_them(kind: str) -> None:
    """By finite differences of f(theta_G, theta_D^K(theta_G)) in the generator's last biases."""
    plain, ahead = (make_gan(ALONE, trial(kind, unrolled_steps=k, d_optimizer={"lr": 0.01})) for k in (0, 2))
    for gan in (plain, ahead):
        gan.step()
    gradients = [[parameter.grad for parameter in gan.g_parameters] for gan in (plain, ahead)]
    assert any(not torch.allclose(a, b) for a, b in zip(*gradients, strict=True))

    def value(shift: float) -> float:
        gan = make_gan(ALONE, trial(kind, unrolled_steps=2, d_optimizer={"lr": 0.01}))
        original = gan._update_generator
        losses: list[Tensor] = []

        def shifted(latents: Any, fake: Any, *others: Any) -> Any:
            with torch.no_grad():
                gan.g_parameters[-1][...] += shift
            answer = original(latents, None, *others)  # the images at hand are of the weights before the shift
            losses.append(answer.loss)
            return answer

        gan._update_generator = shifted  # type: ignore[method-assign]
        gan.step()
        return losses[0].item()

    slope = (value(1e-6) - value(-1e-6)) / 2e-6
    assert slope == pytest.approx(gradients[1][-1].sum().item(), rel=1e-4, abs=1e-9)


def test_no_steps_ahead_is_the_plain_game_bitwise() -> None:
    one, other = make_gan(ALONE, trial()), make_gan(ALONE, trial(unrolled_steps=0))
    assert torch.equal(one.step(), other.step())


def test_the_first_update_ahead_takes_no_second_derivative_in_the_weights_it_starts_from() -> None:
    """Nobody needs it: so it takes fewer operations than each that follows."""

    def operations(updates: int) -> int:
        gan = make_gan(ALONE, trial(unrolled_steps=updates))
        with FlopCounterMode(display=False) as counter:
            gan.step()
        return counter.get_total_flops()

    plain, one, two, three = map(operations, range(4))
    assert three - two == two - one
    assert one - plain < 0.75 * (two - one)
