"""Which trials of an earlier grid a search knows, and what it takes to propose others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.plan import checks
from orchestrator.plan.known import known_proposals
from orchestrator.plan.placement import Cluster, Machine
from orchestrator.plan.plan import make_plan
from orchestrator.spec.identity import SPEC_VERSION, flatten

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from orchestrator.spec.job import Job

LR = "training.g_optimizer.lr"
SEARCH = {"algorithm": "tpe", "trials": 8, "measure": "g_loss", "mode": "min"}
SPACE: Any = {LR: {"low": 1e-4, "high": 1e-2}, "objective.kind": ["hinge", "rsgan"], "training.seed": [0, 1]}


def test_a_grid_is_known_where_each_seed_of_a_proposal_was_trained(make: Callable[..., Job]) -> None:
    job = make(SPACE, search=SEARCH)
    grid = {LR: [1.2345e-4, 0.1], "objective.kind": ["hinge", "saturating"], "training.seed": [0, 1, 2]}
    trials = [*make(grid).trials, *make({LR: [2e-4], "objective.kind": ["rsgan"]}).trials]
    rows = [{"trial_id": one.id, "spec_version": SPEC_VERSION, **flatten(one.settings.model_dump())} for one in trials]
    assert list(known_proposals(job, rows)) == [{"objective.kind": "hinge", LR: 1.2345e-4}]
    assert not list(known_proposals(job, [{**row, "spec_version": SPEC_VERSION - 1} for row in rows]))


def test_optuna_that_is_missing_is_one_line(make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    plan = make_plan(make(SPACE, search=SEARCH), {}, (), Cluster((Machine(2, 0),)), "here")
    assert (plan.to_run, plan.problem) == (
        8,
        "job.yaml: search.algorithm: tpe takes the package Optuna; install with: pip install 'gan-orch[search]'",
    )
