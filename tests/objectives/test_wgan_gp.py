from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from orchestrator.objectives.adversarial import Penalty
from tests.objectives.outputs import d_loss, g_loss, objective


def test_the_critic_measures_a_distance_of_means_that_one_number_added_to_all_scores_does_not_change() -> None:
    critic = objective("wgan_gp")
    real, fake = torch.randn(2, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert d_loss(critic, real, fake).item() == pytest.approx(float(fake.numpy().mean() - real.numpy().mean()))
    torch.testing.assert_close(d_loss(critic, real + 7, fake + 7), d_loss(critic, real, fake))
    fake.requires_grad_()
    (gradient,) = torch.autograd.grad(g_loss(critic, fake), fake)
    torch.testing.assert_close(gradient * 64, -torch.ones_like(fake))


def test_its_penalty_is_the_papers_and_r1_may_come_with_it() -> None:
    assert objective("wgan_gp").penalties == (Penalty("between", 10.0, 1.0),)
    assert objective("wgan_gp", penalty=2.5, r1=3.0).penalties == (
        Penalty("real", 1.5, 0.0),
        Penalty("between", 2.5, 1.0),
    )


def test_without_a_penalty_it_would_be_another_objective() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        objective("wgan_gp", penalty=0.0)
