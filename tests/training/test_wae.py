"""Autoencoders in training against loops written by hand, in double precision."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, mse_loss

from orchestrator.store.local import LocalStore
from orchestrator.training.checkpoint import load_networks
from orchestrator.training.session import Session
from tests.distributed.trials import doubles, in_default_precision
from tests.training.families import ID, assert_resumes_bitwise, finish, make, trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.training.settings import TrialSettings
    from orchestrator.training.wae import Wae

STEPS = 7
"""Into the second epoch, which is of another weight."""
ORTHOGONAL = {"initialization": "orthogonal"}
"""Codes are then as far from zero as the images."""
OPTIMIZERS = [{"kind": "sgd", "lr": 0.05, "momentum": 0.5}, {"kind": "adam", "lr": 0.002}]
CRITIC = {"objective_critic_width": 4, "objective_critic_layers": 1}


@pytest.fixture
def in_doubles() -> Iterator[None]:
    with doubles():
        yield


def optimizer_of(settings: dict[str, Any], parameters: Any) -> torch.optim.Optimizer:
    if settings["kind"] == "sgd":
        return torch.optim.SGD(parameters, lr=settings["lr"], momentum=settings["momentum"])
    return torch.optim.Adam(parameters, lr=settings["lr"], betas=(0.5, 0.999))


def pair_of(settings: TrialSettings, images: Tensor) -> tuple[Wae, Callable[[], tuple[Tensor, Tensor]]]:
    """A learner, and what draws the batches and the latent vectors that it will draw itself."""
    learner, twin = (in_default_precision(make(settings, images)) for _ in range(2))

    def draw() -> tuple[Tensor, Tensor]:
        return twin.batches.next(), torch.randn(4, 3, generator=twin.latents)

    return learner, draw


def moments(codes: Tensor, prior: Tensor) -> Tensor:
    total = torch.zeros(())
    for indices in codes.T:
        variance = indices.var(correction=0)
        kurtosis = ((indices - indices.mean()) ** 4).mean() / variance**2
        total = total + indices.mean() ** 2 + (variance - 1) ** 2 + (kurtosis - 3) ** 2
    return total / (3 * codes.shape[1])


def discrepancy(codes: Tensor, prior: Tensor) -> Tensor:
    def kernel(one: Tensor, other: Tensor) -> Tensor:
        bases = [2 * len(one) * scale for scale in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
        return sum((base / (base + (one - other).square().sum()) for base in bases), torch.zeros(()))

    count = len(codes)
    apart = [(i, j) for i in range(count) for j in range(count) if i != j]
    within = [sum(kernel(x[i], x[j]) for i, j in apart) / len(apart) for x in (codes, prior)]
    between = sum(kernel(one, other) for one in codes for other in prior) / count**2
    return torch.as_tensor(sum(within) - 2 * between)


def nothing(codes: Tensor, prior: Tensor) -> Tensor:
    return torch.zeros(())


def assert_alike(ours: nn.Module, theirs: nn.Module) -> None:
    expected = theirs.state_dict()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-7, atol=1e-9, msg=name)


@pytest.mark.usefixtures("in_doubles")
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda settings: settings["kind"])
@pytest.mark.parametrize(
    ("kind", "penalty", "weights", "settings"),
    [
        ("autoencoder", nothing, (0, 0), {}),
        ("autoencoder", nothing, (0, 0), {"objective_reconstruction": "l1"}),
        ("wae_moments", moments, (0.001, 0.002), {}),
        ("wae_mmd", discrepancy, (0.5, 1.5), {"objective_weight": 0.5, "objective_growth": 3.0}),
    ],
)
def test_steps_are_those_of_a_loop_written_by_hand(
    images: Tensor,
    optimizer: dict[str, Any],
    kind: str,
    penalty: Callable[[Tensor, Tensor], Tensor],
    weights: tuple[float, float],
    settings: dict[str, Any],
) -> None:
    learner, draw = pair_of(trial(kind, model=ORTHOGONAL, g_optimizer=optimizer, **settings), images)
    networks = deepcopy(learner.networks)
    by_hand = optimizer_of(optimizer, networks.parameters())
    error_of = l1_loss if settings.get("objective_reconstruction") == "l1" else mse_loss
    for step in range(STEPS):
        batch, prior = draw()
        codes = networks["encoder"](batch)
        error = error_of((networks["generator"](codes) + 1) / 2, (batch + 1) / 2)
        lies_off = penalty(codes, prior)
        loss = error + weights[step // 5] * lies_off
        by_hand.zero_grad()
        loss.backward()
        by_hand.step()
        told = dict(zip(learner.metric_names, learner.step().tolist(), strict=True))
        expected = {"g_loss": loss, "reconstruction": error, "latent_penalty": lies_off}
        for name in expected.keys() & told.keys():
            assert told[name] == pytest.approx(expected[name].item(), rel=1e-6), (step, name)
        norm = torch.cat([p.grad.flatten() for p in networks.parameters() if p.grad is not None]).norm().item()
        assert told["g_grad_norm"] == pytest.approx(norm, rel=1e-6)
    assert_alike(learner.networks, networks)


@pytest.mark.usefixtures("in_doubles")
@pytest.mark.parametrize("share", [0.0, 0.05, 1.0, 20.0])
def test_the_encoders_share_of_the_error_is_weighted_and_the_decoders_is_not(images: Tensor, share: float) -> None:
    settings = trial("wae_moments", model=ORTHOGONAL, objective_weight=0.5, objective_encoder_reconstruction=share)
    learner, draw = pair_of(settings, images)
    networks = deepcopy(learner.networks)
    batch, prior = draw()
    codes = networks["encoder"](batch)
    error = mse_loss(networks["generator"](codes) / 2, batch / 2)
    lies_off = moments(codes, prior)
    encoder, decoder = (list(networks[name].parameters()) for name in ("encoder", "generator"))
    of_error = torch.autograd.grad(error, encoder + decoder, retain_graph=True)
    of_penalty = torch.autograd.grad(lies_off, encoder)
    told = dict(zip(learner.metric_names, learner.step().tolist(), strict=True))
    assert told["g_loss"] == pytest.approx((error + 0.5 * lies_off).item(), rel=1e-6)
    for ours, errors, penalties in zip(learner.encoder.parameters(), of_error[: len(encoder)], of_penalty, strict=True):
        torch.testing.assert_close(ours.grad, share * errors + 0.5 * penalties, rtol=1e-6, atol=1e-9)
    for ours, errors in zip(learner.generator.parameters(), of_error[len(encoder) :], strict=True):
        torch.testing.assert_close(ours.grad, errors, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("in_doubles")
def test_steps_against_a_critic_are_those_of_a_loop_written_by_hand(images: Tensor) -> None:
    """It moves first; the encoder then deceives it as it has become, and batch norm notes the images once."""
    g_optimizer, d_optimizer = OPTIMIZERS
    training = {"g_optimizer": g_optimizer, "d_optimizer": d_optimizer}
    settings = trial("wae_adversarial", model=ORTHOGONAL, objective_weight=2.0, **CRITIC, **training)
    learner, draw = pair_of(settings, images)
    assert learner.critic is not None
    networks, critic = deepcopy(learner.networks), deepcopy(learner.critic)
    by_hand, of_critic = (
        optimizer_of(g_optimizer, networks.parameters()),
        optimizer_of(d_optimizer, critic.parameters()),
    )
    ones, zeros = torch.ones(4), torch.zeros(4)
    for _ in range(STEPS):
        batch, prior = draw()
        codes = networks["encoder"](batch)
        scores = critic(prior), critic(codes.detach())
        critic_loss = sum(
            binary_cross_entropy_with_logits(said, label) for said, label in zip(scores, (ones, zeros), strict=True)
        )
        of_critic.zero_grad()
        critic_loss.backward()
        of_critic.step()
        error = mse_loss(networks["generator"](codes) / 2, batch / 2)
        deceived = binary_cross_entropy_with_logits(critic(codes), ones)
        by_hand.zero_grad()
        (error + 2 * deceived).backward()
        by_hand.step()
        told = dict(zip(learner.metric_names, learner.step().tolist(), strict=True))
        expected = {
            "d_loss": critic_loss,
            "d_real": scores[0].mean(),
            "d_fake": scores[1].mean(),
            "d_real_probability": scores[0].sigmoid().mean(),
            "d_fake_probability": scores[1].sigmoid().mean(),
            "latent_penalty": deceived,
            "reconstruction": error,
            "g_loss": error + 2 * deceived,
        }
        assert {name: told[name] for name in expected} == pytest.approx(
            {name: value.item() for name, value in expected.items()}, rel=1e-6
        )
    assert_alike(learner.networks, networks)
    assert_alike(learner.critic, critic)


def test_the_encoders_update_leaves_the_critic_and_its_gradients_as_they_were(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make(trial("wae_adversarial", **CRITIC), images)
    original, seen = learner._update_autoencoder, []

    def critic() -> list[Tensor]:
        return [each.detach().clone() for p in learner.critic.parameters() for each in (p, p.grad)]

    first = [p.detach().clone() for p in learner.critic.parameters()]

    def watched(*arguments: Any) -> Any:
        before = critic()
        answer = original(*arguments)
        seen.extend(zip(before, critic(), strict=True))
        return answer

    monkeypatch.setattr(learner, "_update_autoencoder", watched)
    learner.step()
    assert seen
    assert all(torch.equal(before, after) for before, after in seen)
    assert all(parameter.requires_grad for parameter in learner.critic.parameters())
    assert any(not torch.equal(one, p) for one, p in zip(first, learner.critic.parameters(), strict=True))


def test_the_critics_update_leaves_the_networks_as_they_were(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make(trial("wae_adversarial", **CRITIC), images)
    original, seen = learner._update_critic, []

    def watched(*arguments: Any) -> Any:
        before = deepcopy(learner.networks.state_dict())
        answer = original(*arguments)
        seen.append((before, deepcopy(learner.networks.state_dict())))
        return answer

    monkeypatch.setattr(learner, "_update_critic", watched)
    learner.step()
    ((before, after),) = seen
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_weight_in_metrics_doubles_from_epoch_to_epoch(images: Tensor, tmp_path: Path) -> None:
    settings = trial("wae_moments", epochs=3, log_every=1, objective_greatest=0.0035)
    session = finish(Session(ID, settings, images, LocalStore(tmp_path)))
    weights = [row["penalty_weight"] for row in session.progress.rows]
    assert weights == pytest.approx([0.001] * 5 + [0.002] * 5 + [0.0035] * 5)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("autoencoder", {"accumulate": 2}),
        ("wae_moments", {"g_ema": 0.5}),
        ("wae_adversarial", {**CRITIC, "g_ema": 0.5, "schedule": {"kind": "linear"}}),
    ],
)
def test_a_resumed_trial_is_bitwise_the_one_that_was_never_interrupted(
    images: Tensor, tmp_path: Path, differences: Any, kind: str, settings: dict[str, Any]
) -> None:
    assert_resumes_bitwise(trial(kind, epochs=2, **settings), images, tmp_path, differences)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_checkpoint_gives_back_encoder_and_generator_both_averaged_where_one_is(
    images: Tensor, tmp_path: Path, decay: float
) -> None:
    store, settings = LocalStore(tmp_path), trial("wae_mmd", epochs=1, g_ema=decay)
    learner = finish(Session(ID, settings, images, store)).learner
    networks, latents = load_networks(store, ID, settings), learner.fixed_latents
    assert set(networks) == {"encoder", "generator"}
    batch = learner.batches.first()
    encoded = learner.encode(batch)
    assert encoded is not None
    assert torch.equal(networks["encoder"](batch), encoded)
    assert torch.equal(networks["generator"](latents), learner.sample(latents))
    if decay:
        learner.averaged = None
        last = learner.encode(batch)
        assert last is not None
        assert not torch.equal(networks["encoder"](batch), last)
        assert not torch.equal(networks["generator"](latents), learner.sample(latents))
