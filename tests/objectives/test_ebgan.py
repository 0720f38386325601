from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics.pairwise import cosine_similarity

from orchestrator.objectives.ebgan import pulling_away_term
from tests.objectives.outputs import d_loss, g_loss, judged, objective, update_of


def test_the_margin_is_each_images_own() -> None:
    """Of two generated images, one beyond the margin: their mean would be beyond it as well."""
    ebgan = objective("ebgan", margin=1.0)
    real, fake = torch.tensor([0.2, 0.4]), torch.tensor([0.1, 3.0], requires_grad=True)
    assert d_loss(ebgan, real, fake).item() == pytest.approx(0.3 + (0.9 + 0.0) / 2)
    (gradient,) = torch.autograd.grad(d_loss(ebgan, real, fake), fake)
    assert gradient.tolist() == [-0.5, 0.0]
    assert g_loss(ebgan, fake).item() == pytest.approx(1.55)


def test_the_pulling_away_term_is_the_mean_squared_cosine_of_all_pairs() -> None:
    codes = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cosines = cosine_similarity(codes.numpy()) ** 2
    expected = (cosines.sum() - np.trace(cosines)) / (7 * 6)
    assert pulling_away_term(codes).item() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(pulling_away_term, (codes.requires_grad_(),))


def test_its_known_limits() -> None:
    assert pulling_away_term(torch.ones(4, 3)).item() == pytest.approx(1.0)
    assert pulling_away_term(torch.eye(4)).item() == pytest.approx(0.0)
    assert pulling_away_term(torch.ones(1, 3)).item() == 0.0


def test_it_is_added_to_the_generators_loss_and_only_then_features_are_looked_at() -> None:
    plain, pulled = objective("ebgan", margin=1.0), objective("ebgan", margin=1.0, pulling_away=0.1)
    assert (plain.needs_features, pulled.needs_features) == (False, True)
    codes = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    fake = judged(torch.rand(6, generator=torch.Generator().manual_seed(1)), codes)
    difference = pulled.generator(fake, None, update_of(pulled)) - plain.generator(fake, None, update_of(plain))
    assert difference.item() == pytest.approx(0.1 * pulling_away_term(codes).item(), rel=1e-4)


@pytest.mark.parametrize("margin", [0.0, -1.0])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        objective("ebgan", margin=margin)
