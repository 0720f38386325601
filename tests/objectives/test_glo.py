"""The objective of GLO: errors of pyramids for images in [0, 1]."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from orchestrator.objectives._laplacian import laplacian_l1
from tests.objectives.outputs import OBJECTIVES


def glo(**settings: Any) -> Any:
    return OBJECTIVES.validate_python({"kind": "glo", **settings})


def test_errors_are_those_of_the_pyramids_of_images_in_0_to_1() -> None:
    images, made = (torch.rand(3, 2, 9, 16, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    errors = glo().errors(2 * images - 1, 2 * made - 1)
    torch.testing.assert_close(errors, laplacian_l1(made, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", [8, 28, 64])
def test_white_instead_of_black_is_an_error_of_one_whatever_the_size(side: int) -> None:
    black, white = -torch.ones(2, 1, side, side), torch.ones(2, 1, side, side)
    torch.testing.assert_close(glo().errors(black, white), torch.ones(2), rtol=1e-5, atol=1e-5)
    assert glo().errors(black, black).tolist() == [0, 0]


def test_an_image_counts_by_itself() -> None:
    images, made = (torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    alone = [glo().errors(images[i : i + 1], made[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(glo().errors(images, made), torch.cat(alone))


def test_it_trains_a_generator_alone() -> None:
    assert glo().trains == {"generator"}
    assert glo().metrics == ("g_loss", "g_grad_norm", "reconstruction")


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e7])
def test_impossible_rates_of_the_vectors_are_refused(rate: float) -> None:
    with pytest.raises(ValidationError, match="latent_lr"):
        glo(latent_lr=rate)
