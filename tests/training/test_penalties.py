"""Gradient penalties against closed forms and against a loop over images, and their share of a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from orchestrator.distributed.group import ALONE
from orchestrator.objectives.adversarial import Penalty
from orchestrator.training.penalties import between, gradient_penalty
from tests.distributed.trials import doubles, make_gan, trial

RANDOM = torch.Generator().manual_seed(0)


def test_the_slope_of_a_linear_score_is_its_weights_norm() -> None:
    weights = torch.randn(1, 2, 3, 3, generator=RANDOM, dtype=torch.float64)
    images = torch.randn(5, 2, 3, 3, generator=RANDOM, dtype=torch.float64)

    def score(points: Tensor) -> Tensor:
        return (points * weights).flatten(1).sum(1)

    norm = weights.norm().item()
    found = gradient_penalty(score, images, Penalty("between", 10.0, 1.0))
    torch.testing.assert_close(found, torch.full((5,), 10 * (norm - 1) ** 2, dtype=torch.float64))
    found = gradient_penalty(score, images, Penalty("real", 2.5, 0.0))
    torch.testing.assert_close(found, torch.full((5,), 2.5 * norm**2, dtype=torch.float64))


def test_it_is_each_images_own() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    images = torch.randn(4, 1, 3, 3, generator=RANDOM, dtype=torch.float64)
    penalty = Penalty("between", 10.0, 1.0)
    together = gradient_penalty(lambda points: network(points)[:, 0], images, penalty)
    for one, image in zip(together, images, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda point: network(point)[0, 0], image[None])
        torch.testing.assert_close(one, 10 * (jacobian.norm() - 1) ** 2)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_its_gradient_in_the_parameters_is_that_of_finite_differences(target: float) -> None:
    images = torch.randn(3, 1, 2, 2, generator=RANDOM, dtype=torch.float64)

    def mean(weight: Tensor) -> Tensor:
        return gradient_penalty(
            lambda points: (points.flatten(1) @ weight).tanh().sum(1), images, Penalty("real", 1.0, target)
        ).mean()

    assert torch.autograd.gradcheck(mean, torch.randn(4, 3, generator=RANDOM, dtype=torch.float64, requires_grad=True))


def test_points_lie_between_their_own_two_images_each_at_its_own_share() -> None:
    real, fake = torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    points = between(real, fake, torch.tensor([0.0, 0.25, 1.0]))
    assert points.flatten(1).tolist() == [[0.0] * 4, [0.25] * 4, [1.0] * 4]


@pytest.mark.parametrize("augmented", [False, True], ids=["as it is", "augmented"])
@pytest.mark.parametrize("kind", ["wgan_gp", "R1", "R2", "R3GAN"])
def test_a_step_adds_their_gradient_to_that_of_the_loss(kind: str, *, augmented: bool) -> None:
    """By hand, with the batch, the latent vectors, shares and augmentations that the step draws."""
    policies = dict.fromkeys(("color", "translation", "cutout"), augmented)
    with doubles():
        gan, twin = (make_gan(ALONE, trial(kind, augmentation=policies)) for _ in range(2))
        signals = dict(zip(gan.metric_names, gan.step().tolist(), strict=True))
        twin.discriminator_noise.set_for(0)
        real, (latents,) = twin.batches.next(), twin._draw()
        fake = twin.generator(latents).detach()
        added = torch.zeros(())
        for penalty in twin.objective.penalties:
            if penalty.at == "between":
                share = torch.rand(12, generator=twin.noise).view(-1, 1, 1, 1)
                images = share * (real - fake) + fake
            else:
                images = (real if penalty.at == "real" else fake).clone()
            scores = twin.discriminator(twin.augment(images.requires_grad_())).scores
            (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
            norms = slopes.square().sum((1, 2, 3)).sqrt()
            added = added + (penalty.weight * (norms - penalty.target).square()).mean()
        outputs = [twin.discriminator(twin.augment(images)) for images in (real, fake)]
        loss = twin.objective.discriminator(*outputs, twin._context())
        expected = torch.autograd.grad(loss + added, twin.d_parameters)
    assert added > 0
    assert signals["d_penalty"] == pytest.approx(added.item(), rel=1e-6)
    assert signals["d_loss"] == pytest.approx(loss.item(), rel=1e-6)
    for ours, theirs in zip(gan.d_parameters, expected, strict=True):
        torch.testing.assert_close(ours.grad, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["wgan_gp", "R1", "R2"])
def test_no_gradient_is_computed_in_the_images_whose_slope_is_penalized(kind: str, precision: str) -> None:
    """Second derivatives are of single precision, whatever that of the generated images is."""
    gan = make_gan(ALONE, trial(kind, precision=precision))
    add, seen = gan.penalties.add, []

    def noted(score: Any, *others: Any) -> Any:
        return add(lambda points: seen.append(points) or score(points), *others)  # type: ignore[func-returns-value]

    gan.penalties.add = noted  # type: ignore[method-assign]
    gan.step()
    assert seen
    assert all(points.requires_grad and points.grad is None and points.dtype == torch.float32 for points in seen)
