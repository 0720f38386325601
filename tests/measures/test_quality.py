"""A referee says what is wrong with a sample."""

from __future__ import annotations

import pytest
import torch

from orchestrator.data.digits import Digits
from orchestrator.measures.classifier import to_signed, train_classifier
from orchestrator.measures.quality import Referee


@pytest.fixture(scope="module")
def referee() -> Referee:
    digits = Digits().load()
    return Referee(digits, train_classifier(digits), "cpu")


def test_the_data_itself_is_good(referee: Referee) -> None:
    look = referee.look(to_signed(torch.tensor(Digits().load().pixels)))
    assert look.fid == pytest.approx(0, abs=1e-3)
    assert look.modes == 10
