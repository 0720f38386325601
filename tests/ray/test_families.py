"""Models that are not adversarial in the same sweep: trained and evaluated as any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from orchestrator.report.page import INDEX, write_report
from orchestrator.runtime.sweep import run_sweep
from tests.ray.conftest import raw_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("ray_here")

CODED = {"kind": "encoder_decoder", "latent_dim": 3, "width": 2}
FAMILIES = [
    {"objective": {"kind": "wae_moments"}, "model": CODED},
    {"objective": {"kind": "glo"}, "model": CODED},
    {"objective": {"kind": "likelihood"}, "model": {"kind": "glow", "levels": 1, "steps": 1, "width": 2}},
    {"objective": {"kind": "non_saturating"}, "model": {"kind": "dcgan", "latent_dim": 3, "width": 2}},
]
SEARCH = {"restarts": 1, "steps": 2}
EVALUATIONS = [
    {"kind": "sharpness", "samples": 10},
    {"kind": "reconstruction", "images": 5, **SEARCH},
    {"kind": "inversion", "images": 5, **SEARCH},
    {"kind": "restoration", "images": 5, **SEARCH, "corruptions": [{"kind": "pepper"}], "norms": ["l1"]},
    {"kind": "likelihood", "images": 5},
]


def job(families: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    training = {"epochs": 2, "batch_size": 16, "log_every": 1}
    return raw_job(training=training, grid={"family": families}) | changes


def test_one_job_trains_all_families_and_evaluates_every_decoder(plan_for: Callable, tmp_path: Path) -> None:
    plan, store = plan_for(job(FAMILIES, evaluate=EVALUATIONS))
    assert len(plan.due) == 4 * 4 + 1
    outcome = run_sweep(plan, store, [])
    assert (outcome.ended, outcome.failed, outcome.evaluations.failed) == (4, 0, 0)
    folder = tmp_path / "results" / "tiny"
    trials = pd.read_parquet(folder / "trials").set_index("trial_id")
    kinds = trials["objective.kind"]
    assert set(trials["status"]) == {"finished"}
    assert trials["d_loss"].notna().tolist() == (kinds == "non_saturating").tolist()
    assert trials["bits_per_dimension"].notna().tolist() == (kinds == "likelihood").tolist()
    assert trials["latent_penalty"].notna().tolist() == (kinds == "wae_moments").tolist()
    for kind in ("inversion", "reconstruction", "restoration"):
        assert pd.read_parquet(folder / "evaluations" / kind)["trial_id"].nunique() == 4
    found = pd.read_parquet(folder / "evaluations" / "reconstruction").groupby("trial_id")["method"].first()
    coded = kinds.isin(["wae_moments", "likelihood"])
    assert (found[kinds.index] == "encoder").tolist() == coded.tolist()
    likelihood = pd.read_parquet(folder / "evaluations" / "likelihood")
    assert set(kinds[likelihood["trial_id"]]) == {"likelihood"}
    assert len(likelihood) == 5
    assert b"<h1>" in store.read(write_report(store))
    assert INDEX in store.keys("report")
