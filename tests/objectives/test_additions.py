"""What may be added to an objective: labels that are smoothed, feature matching, R1."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from orchestrator.objectives.adversarial import Penalty, mean_feature_distance
from orchestrator.objectives.labels import Labels
from tests.objectives.outputs import d_loss, g_loss, judged, objective, update_of

REAL, FAKE = torch.randn(2, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("kind", ["saturating", "non_saturating"])
def test_one_sided_smoothing_moves_the_real_label_alone(kind: str) -> None:
    smooth = objective(kind, labels={"real": 0.9})
    expected = bce(REAL, torch.full_like(REAL, 0.9)) + bce(FAKE, torch.zeros_like(FAKE))
    torch.testing.assert_close(d_loss(smooth, REAL, FAKE), expected)
    torch.testing.assert_close(g_loss(smooth, FAKE), g_loss(objective(kind), FAKE))


@pytest.mark.parametrize("kind", ["saturating", "non_saturating"])
def test_hard_labels_are_bitwise_the_plain_losses(kind: str) -> None:
    expected = torch.nn.functional.softplus(-REAL).mean() + torch.nn.functional.softplus(FAKE).mean()
    assert torch.equal(d_loss(objective(kind), REAL, FAKE), expected)


def test_random_labels_are_drawn_for_each_image_from_the_noise_that_is_passed_in() -> None:
    labels = Labels(real=(0.9, 1.0), fake=(0.0, 0.1))
    real, fake = labels.draw(torch.zeros(20_000), torch.Generator().manual_seed(0))
    for drawn, low in ((real, 0.9), (fake, 0.0)):
        assert isinstance(drawn, torch.Tensor)
        assert drawn.min() >= low
        assert drawn.max() <= low + 0.1
        assert drawn.mean().item() == pytest.approx(low + 0.05, abs=1e-3)
        assert drawn.std().item() == pytest.approx(0.1 / 12**0.5, rel=0.02)
    chosen = objective("non_saturating", labels={"real": [0.9, 1.0], "fake": [0.0, 0.1]})
    assert torch.equal(d_loss(chosen, REAL, FAKE, seed=3), d_loss(chosen, REAL, FAKE, seed=3))
    assert not torch.equal(d_loss(chosen, REAL, FAKE, seed=3), d_loss(chosen, REAL, FAKE, seed=4))


def test_least_squares_with_the_papers_other_labels() -> None:
    """(a, b, c) = (-1, 1, 0), for which the objective is a Pearson divergence; and experiment B5's 0.9."""
    chosen = objective("least_squares", labels={"real": 1.0, "fake": -1.0}, target=0.0)
    r, f = REAL.numpy(), FAKE.numpy()
    assert d_loss(chosen, REAL, FAKE).item() == pytest.approx(((r - 1) ** 2).mean() / 2 + ((f + 1) ** 2).mean() / 2)
    assert g_loss(chosen, FAKE).item() == pytest.approx((f**2).mean() / 2)
    assert d_loss(objective("least_squares", labels={"real": 0.9}), REAL, FAKE).item() == pytest.approx(
        ((r - 0.9) ** 2).mean() / 2 + (f**2).mean() / 2
    )


@pytest.mark.parametrize("kind", ["hinge", "wgan_gp", "rsgan", "ralsgan", "ebgan", "began"])
def test_what_has_no_labels_takes_none(kind: str) -> None:
    with pytest.raises(ValidationError, match="labels"):
        objective(kind, labels={"real": 0.9})


@pytest.mark.parametrize("kind", ["saturating", "least_squares"])
def test_a_generator_s_label_is_refused_where_its_loss_has_none(kind: str) -> None:
    with pytest.raises(ValidationError, match="generator"):
        objective(kind, labels={"generator": 0.9})


def test_the_generator_s_label_is_that_of_its_own_cross_entropy() -> None:
    smooth = objective("non_saturating", labels={"generator": 0.9})
    torch.testing.assert_close(g_loss(smooth, FAKE), bce(FAKE, torch.full_like(FAKE, 0.9)))
    assert torch.equal(d_loss(smooth, REAL, FAKE), d_loss(objective("non_saturating"), REAL, FAKE))
    relative = objective("rasgan", labels={"generator": 0.9})
    expected = bce(FAKE - REAL.mean(), torch.full_like(FAKE, 0.9)) + bce(REAL - FAKE.mean(), torch.zeros_like(REAL))
    torch.testing.assert_close(g_loss(relative, FAKE, REAL), expected / 2)


def test_random_labels_of_the_generator_are_drawn_for_each_image() -> None:
    chosen = objective("non_saturating", labels={"generator": [0.9, 1.0]})
    drawn = 0.9 + 0.1 * torch.rand(64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close(g_loss(chosen, FAKE, seed=3), bce(FAKE, drawn))


@pytest.mark.parametrize(
    "labels", [{"real": 1.1}, {"generator": 1.1}, {"fake": -0.1}, {"real": [0.9, 1.2]}, {"real": [1.0, 0.9]}]
)
def test_labels_that_are_no_probabilities_are_refused(labels: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="expected"):
        objective("non_saturating", labels=labels)


@pytest.mark.parametrize("features", [2, 200])
def test_feature_matching_takes_the_mean_of_each_feature_first(features: int) -> None:
    """Features that differ by +1 and -1: a mean over features before the squares would see no difference."""
    real, fake = torch.zeros(4, features), torch.tensor([[1.0, -1.0]]).repeat(4, features // 2)
    assert mean_feature_distance(real, fake).item() == pytest.approx(1.0)
    random = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 9, features, generator=random, dtype=torch.float64)
    expected = ((one.numpy().mean(0) - other.numpy().mean(0)) ** 2).mean()
    assert mean_feature_distance(one, other).item() == pytest.approx(expected, rel=1e-12)


def test_feature_matching_sends_no_gradient_through_the_real_side() -> None:
    real, fake = (torch.randn(4, 3, requires_grad=True) for _ in range(2))
    of_real, of_fake = torch.autograd.grad(
        mean_feature_distance(real, fake), (real, fake), allow_unused=True, materialize_grads=True
    )
    assert not of_real.any()
    expected = 2 * (fake.mean(0) - real.mean(0)) / 4 / 3
    torch.testing.assert_close(of_fake, expected.detach().expand(4, 3))


def test_feature_matching_is_added_to_any_generators_loss() -> None:
    plain, matched = objective("non_saturating"), objective("non_saturating", feature_matching=0.5)
    assert (plain.needs_real, plain.needs_features) == (False, False)
    assert (matched.needs_real, matched.needs_features) == (True, True)
    random = torch.Generator().manual_seed(0)
    real, fake = (judged(torch.randn(6, generator=random), torch.randn(6, 3, generator=random)) for _ in range(2))
    added = matched.generator_loss(fake, real, update_of(matched)) - plain.generator_loss(fake, None, update_of(plain))
    assert added.item() == pytest.approx(0.5 * mean_feature_distance(real.features, fake.features).item(), rel=1e-4)


def test_r1_and_r2_are_half_gamma_times_the_squared_slope_at_real_and_at_generated_images() -> None:
    assert objective("non_saturating", r1=10.0).penalties == (Penalty("real", 5.0, 0.0),)
    assert objective("rsgan", r1=10.0, r2=4.0).penalties == (Penalty("real", 5.0, 0.0), Penalty("fake", 2.0, 0.0))
    assert objective("non_saturating").penalties == ()


def test_what_cannot_go_together_is_said_in_one_line() -> None:
    began, plain, sloped = objective("began"), objective("hinge"), objective("hinge", r1=1.0)
    assert plain.reject("scores", batch_norm=True) is None
    assert "needs a discriminator that is an autoencoder" in str(began.reject("scores", batch_norm=False))
    assert "needs a discriminator that scores images" in str(plain.reject("reconstruction", batch_norm=False))
    assert "set model.discriminator_norm to layer or none" in str(sloped.reject("scores", batch_norm=True))
    assert sloped.reject("scores", batch_norm=False) is None
