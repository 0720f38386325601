"""What holds for each registered objective, whatever its formula; a new kind is covered by being there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from pydantic import ValidationError

from tests.objectives.outputs import KINDS, OBJECTIVES, d_loss, g_loss, objective

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

every_kind = pytest.mark.parametrize("kind", KINDS)


def losses_of(kind: str) -> list[Callable[[Tensor, Tensor], Tensor]]:
    """Both losses as functions of scores on real and on generated images."""
    chosen = objective(kind)
    return [
        lambda real, fake: d_loss(chosen, real, fake),
        lambda real, fake: g_loss(chosen, fake, real) + 0 * real.sum(),
    ]


def scores(count: int, scale: float = 3.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    real, fake = scale * torch.randn(2, count, generator=random, dtype=torch.float64)
    return real.requires_grad_(), fake.requires_grad_()


def test_the_objectives_of_the_studies_are_there() -> None:
    assert set(KINDS) >= {"saturating", "non_saturating", "least_squares", "hinge", "wgan_gp"}
    assert set(KINDS) >= {"rsgan", "rasgan", "ralsgan", "ebgan", "began"}


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match=r"least_squares.*non_saturating.*saturating"):
        OBJECTIVES.validate_python({"kind": "wasserstien"})


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_are_scalars_of_the_scores_dtype(kind: str, dtype: torch.dtype) -> None:
    real, fake = (s.detach().to(dtype) for s in scores(5))
    for loss in losses_of(kind):
        assert loss(real, fake).shape == ()
        assert loss(real, fake).dtype == dtype


@every_kind
@pytest.mark.parametrize("count", [1, 2, 7])
def test_gradients_are_those_of_finite_differences(kind: str, count: int) -> None:
    for loss in losses_of(kind):
        assert torch.autograd.gradcheck(loss, scores(count, seed=count))


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_losses_and_gradients_are_finite_far_out(kind: str, dtype: torch.dtype, signs: tuple[int, int]) -> None:
    for size in (80.0, 1e3, 1e4):
        real, fake = (torch.full((3,), sign * size, dtype=dtype, requires_grad=True) for sign in signs)
        for loss in losses_of(kind):
            value = loss(real, fake)
            assert value.isfinite()
            assert all(g.isfinite().all() for g in torch.autograd.grad(value, (real, fake), materialize_grads=True))


@every_kind
def test_the_order_of_the_batch_does_not_matter(kind: str) -> None:
    real, fake = scores(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    for loss in losses_of(kind):
        torch.testing.assert_close(loss(real[order], fake[order]), loss(real, fake), rtol=1e-12, atol=0)


@every_kind
def test_losses_are_means_over_the_batch(kind: str) -> None:
    """The signals of training rely on it: every image twice changes nothing."""
    real, fake = scores(9)
    for loss in losses_of(kind):
        torch.testing.assert_close(loss(real.repeat(2), fake.repeat(2)), loss(real, fake), rtol=1e-12, atol=0)


@every_kind
def test_each_side_learns_in_its_own_direction(kind: str) -> None:
    """From undecided scores D's loss falls as it tells real from generated, G's as its images look more real."""
    discriminator, generator = losses_of(kind)
    undecided = torch.full((4,), 0.25, dtype=torch.float64, requires_grad=True)
    also_undecided = undecided.detach().clone().requires_grad_()
    of_real, of_fake = torch.autograd.grad(discriminator(undecided, also_undecided), (undecided, also_undecided))
    (for_generator,) = torch.autograd.grad(generator(undecided.detach(), also_undecided), also_undecided)
    # An autoencoder's error is low for what is taken as real.
    sign = -1 if objective(kind).judges == "reconstruction" else 1
    assert (sign * of_real < 0).all()
    assert (sign * of_fake > 0).all()
    assert (sign * for_generator < 0).all()


@every_kind
def test_arguments_stay_as_they_are(kind: str) -> None:
    real, fake = scores(6)
    before = real.detach().clone(), fake.detach().clone()
    for loss in losses_of(kind):
        loss(real, fake)
    assert torch.equal(real, before[0])
    assert torch.equal(fake, before[1])


@every_kind
def test_settings_are_frozen_and_take_no_unknown_key(kind: str) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        objective(kind).kind = "other"
    with pytest.raises(ValidationError, match="Extra inputs"):
        objective(kind, no_such_setting=1)
