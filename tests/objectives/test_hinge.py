from __future__ import annotations

import torch
from torch.nn.functional import hinge_embedding_loss

from tests.objectives.outputs import d_loss, g_loss, objective

HINGE = objective("hinge")


def test_it_is_torchs_hinge_of_one_on_both_sides() -> None:
    real, fake = 3 * torch.randn(2, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # torch's is relu(margin - x) for labels of -1.
    minus = -torch.ones(64, dtype=torch.float64)
    expected = hinge_embedding_loss(real, minus) + hinge_embedding_loss(-fake, minus)
    torch.testing.assert_close(d_loss(HINGE, real, fake), expected)


def test_scores_beyond_the_margin_are_left_alone_and_the_generator_is_pulled_all_the_same() -> None:
    real = torch.tensor([2.0, 0.5], dtype=torch.float64, requires_grad=True)
    fake = torch.tensor([-2.0, -0.5], dtype=torch.float64, requires_grad=True)
    of_real, of_fake = torch.autograd.grad(d_loss(HINGE, real, fake), (real, fake))
    assert (2 * of_real).tolist() == [0, -1]
    assert (2 * of_fake).tolist() == [0, 1]
    (for_generator,) = torch.autograd.grad(g_loss(HINGE, fake), fake)
    assert (2 * for_generator).tolist() == [-1, -1]
