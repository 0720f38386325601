"""The objective of maximum likelihood: what it asks for and what it measures."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from orchestrator.models import NETWORKS
from orchestrator.objectives import AnyObjective
from tests.objectives.outputs import OBJECTIVES


def test_it_trains_a_flow_which_one_kind_of_model_has() -> None:
    likelihood = OBJECTIVES.validate_python({"kind": "likelihood"})
    assert [kind for kind, networks in NETWORKS.items() if likelihood.trains <= networks] == ["glow"]
    assert likelihood.metrics == ("g_loss", "g_grad_norm", "bits_per_dimension")


def test_it_alone_takes_single_precision() -> None:
    kinds = [cls.__name__ for cls in get_args(get_args(AnyObjective)[0]) if cls.full_precision]
    assert kinds == ["Likelihood"]


def test_it_has_nothing_to_be_set() -> None:
    with pytest.raises(ValidationError, match="weight"):
        OBJECTIVES.validate_python({"kind": "likelihood", "weight": 1.0})
