"""Objectives of autoencoders: errors as torch has them, the penalty's weight by epochs, and the critic's losses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, mse_loss

from tests.objectives.outputs import OBJECTIVES

KINDS = ("autoencoder", "wae_adversarial", "wae_mmd", "wae_moments")
WASSERSTEIN = KINDS[1:]


def objective(kind: str, **settings: Any) -> Any:
    return OBJECTIVES.validate_python({"kind": kind, **settings})


def images_of(seed: int) -> Tensor:
    """Four of three channels in [-1, 1]."""
    return 2 * torch.rand(4, 3, 5, 7, generator=torch.Generator().manual_seed(seed)) - 1


def scores_of(seed: int) -> Tensor:
    return 3 * torch.randn(50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("reconstruction", "error_of"), [("l1", l1_loss), ("l2", mse_loss)])
def test_errors_are_those_of_each_image_in_0_to_1(kind: str, reconstruction: str, error_of: Any) -> None:
    images, decoded = images_of(0), images_of(1)
    errors = objective(kind, reconstruction=reconstruction).errors(images, decoded)
    expected = [error_of((made + 1) / 2, (image + 1) / 2) for image, made in zip(images, decoded, strict=True)]
    torch.testing.assert_close(errors, torch.stack(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_squares_are_what_is_measured_unless_something_else_is_asked_for(kind: str) -> None:
    assert objective(kind) == objective(kind, reconstruction="l2")
    black, white = -torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert objective(kind).errors(black, white).tolist() == [1.0]
    assert objective(kind).errors(black, torch.zeros_like(black)).tolist() == [0.25]


def test_the_weight_of_moments_doubles_from_a_thousandth_up_to_2_048() -> None:
    weights = [objective("wae_moments").weight_at(epoch) for epoch in range(14)]
    assert weights == pytest.approx([0.001 * 2 ** min(epoch, 11) for epoch in range(14)])
    assert weights[11:] == [2.048] * 3
    assert objective("wae_moments").weight_at(10**9) == 2.048


@pytest.mark.parametrize("kind", ["wae_adversarial", "wae_mmd"])
def test_other_weights_stay_unless_they_are_made_to_grow(kind: str) -> None:
    assert {objective(kind).weight_at(epoch) for epoch in (0, 1, 10**9)} == {0.1}
    growing = objective(kind, weight=0.5, growth=3.0)
    assert [growing.weight_at(epoch) for epoch in range(3)] == pytest.approx([0.5, 1.5, 4.5])


@pytest.mark.parametrize("kind", WASSERSTEIN)
def test_a_weight_without_an_end_is_refused_once_it_outgrows_single_precision(kind: str) -> None:
    endless = objective(kind, weight=1.0, growth=10.0, greatest=None)
    assert endless.reject_training(30) is None
    assert endless.weight_at(29) == pytest.approx(1e29)
    assert math.isfinite(endless.weight_at(10**6))
    assert torch.tensor(endless.weight_at(10**6), dtype=torch.float32).isfinite()
    problem = endless.reject_training(2000)
    assert problem == ("growth: got 10, by which the weight 1 passes 1e+30 within 2000 epochs; set greatest")
    assert objective(kind, weight=1.0, growth=10.0, greatest=5.0).reject_training(2000) is None
    assert objective(kind, weight=1.0, growth=1.0, greatest=None).reject_training(1_000_000) is None


@pytest.mark.parametrize("kind", WASSERSTEIN)
def test_a_weight_that_would_shrink_is_refused(kind: str) -> None:
    with pytest.raises(ValidationError, match=r"greatest: got 0\.1, expected at least the first weight, 0\.5"):
        objective(kind, weight=0.5, greatest=0.1)
    with pytest.raises(ValidationError, match="growth"):
        objective(kind, growth=0.5)
    assert objective(kind, weight=0.5, growth=2.0, greatest=0.5).weight_at(3) == 0.5


def test_the_critics_losses_are_cross_entropies_of_its_logits() -> None:
    adversarial, of_prior, of_codes = objective("wae_adversarial"), scores_of(0), scores_of(1)
    ones, zeros = torch.ones_like(of_prior), torch.zeros_like(of_codes)
    told = binary_cross_entropy_with_logits(of_prior, ones) + binary_cross_entropy_with_logits(of_codes, zeros)
    torch.testing.assert_close(adversarial.discriminator(of_prior, of_codes), told)
    deceived = binary_cross_entropy_with_logits(of_codes, ones)
    torch.testing.assert_close(adversarial.penalty(of_codes[:, None], torch.zeros(50, 8)), deceived)


def test_a_critic_that_is_sure_still_moves_the_encoder() -> None:
    scores = torch.full((3, 1), -200.0, requires_grad=True)
    (slope,) = torch.autograd.grad(objective("wae_adversarial").penalty(scores, torch.zeros(3, 8)), scores)
    torch.testing.assert_close(slope, torch.full((3, 1), -1 / 3))


@pytest.mark.parametrize("layers", [1, 4])
def test_the_critic_scores_latent_vectors_by_as_many_layers_as_are_asked_for(layers: int) -> None:
    critic = objective("wae_adversarial", critic_width=6, critic_layers=layers).critic(5)
    assert critic(torch.zeros(7, 5)).shape == (7,)
    assert critic(torch.zeros(1, 5)).shape == (1,)
    shapes = [(layer.in_features, layer.out_features) for layer in critic if isinstance(layer, nn.Linear)]
    assert shapes == [(5, 6), *[(6, 6)] * (layers - 1), (6, 1)]
    assert sum(isinstance(layer, nn.ReLU) for layer in critic) == layers
    assert [objective(kind).critic(5) for kind in ("wae_mmd", "wae_moments")] == [None, None]


def test_only_what_is_compared_with_draws_depends_on_them() -> None:
    codes, one, other = (torch.randn(6, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    penalties = {kind: [objective(kind).penalty(codes, prior).item() for prior in (one, other)] for kind in WASSERSTEIN}
    assert {kind: first == second for kind, (first, second) in penalties.items()} == {
        "wae_adversarial": True,
        "wae_mmd": False,
        "wae_moments": True,
    }


def test_each_kind_measures_what_it_has() -> None:
    plain = ("g_loss", "g_grad_norm", "reconstruction")
    drawn = (*plain, "latent_penalty", "penalty_weight")
    assert objective("autoencoder").metrics == plain
    assert objective("wae_mmd").metrics == objective("wae_moments").metrics == drawn
    critic = ("d_loss", "d_real", "d_fake", "d_real_probability", "d_fake_probability")
    assert objective("wae_adversarial").metrics == (*drawn, *critic)
