"""Evaluations that search the latent space, as Ray tasks: each row once, and nothing a second time."""

from __future__ import annotations

import io
import json
from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from PIL import Image

from orchestrator.data.digits import Digits
from orchestrator.evaluate.interpolation import SHARD_PAIRS
from orchestrator.measures.classifier import content_key, dump, train_classifier
from orchestrator.runtime.sweep import run_sweep
from orchestrator.store.local import LocalStore
from tests.ray.conftest import raw_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("ray_here")

IMAGES = 66
"""Two parts, the second of two images."""
SEARCH = {"images": IMAGES, "steps": 2, "restarts": 2}
SEEDS = [0, 1]


def job(*evaluations: dict[str, Any]) -> dict[str, Any]:
    return raw_job(evaluate=list(evaluations), grid={"training.seed": SEEDS})


def test_restoration(plan_for: Callable, tmp_path: Path) -> None:
    corruptions = [{"kind": "gaussian_noise"}, {"kind": "square", "size": 4}]
    restoration = {
        "kind": "restoration",
        "corruptions": corruptions,
        "norms": ["l1", "l2"],
        "masks": ["known", "unknown"],
        **SEARCH,
    }
    plan, store = plan_for(job(restoration))
    outcome = run_sweep(plan, store, [])
    assert (outcome.ended, outcome.failed) == (2, 0)
    assert (outcome.evaluations.done, outcome.evaluations.failed) == (2, 0)
    assert (outcome.evaluations.parts_done, outcome.evaluations.parts) == (8, 8)
    frame = pd.read_parquet(tmp_path / "results" / "tiny" / "evaluations" / "restoration")
    each = ["trial_id", "image_id", "corruption", "method", "norm", "mask"]
    counts = Counter(frame[each].fillna("none").itertuples(index=False, name=None))
    assert set(counts.values()) == {1}
    noise, square = (frame[frame["corruption"] == name] for name in ("gaussian_noise", "square_size_4"))
    assert (len(noise), len(square)) == (2 * IMAGES * (1 + 2 + 1), 2 * IMAGES * (1 + 4 + 1))
    assert set(noise["method"]) == {"corrupted", "search", "total_variation"}
    assert set(square["method"]) == {"corrupted", "search", "biharmonic"}
    assert frame[["mse", "psnr", "ssim", "mse_touched"]].notna().all(axis=None)
    assert noise["mse_edge"].isna().all()
    assert square["mse_edge"].notna().all()
    told = frame["evaluation.corruptions"].iloc[0]
    assert [json.loads(text)["kind"] for text in told] == ["gaussian_noise", "square"]
    (evaluation,) = plan.job.header.evaluate
    for trial in plan.job.trials:
        for name, rows in (("gaussian_noise", 5), ("square_size_4", 7)):
            picture = Image.open(io.BytesIO(store.read(evaluation.picture_key(trial.id, name))))
            assert picture.size == (8 * 30 - 2, rows * 30 - 2)
    before = {key: store.read(key) for key in store.keys("")}
    again, _ = plan_for(job(restoration))
    assert not again.runs
    assert {key: store.read(key) for key in before} == before


def test_interpolation(plan_for: Callable, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("orchestrator.measures.classifier._EPOCHS", 3)
        classifier = train_classifier(Digits(max_images=64).load())
    key = f"_classifiers/{content_key(Digits(max_images=64).load())}.pt"
    LocalStore(tmp_path / "results").write(key, dump(classifier))
    pairs = SHARD_PAIRS + 2
    plan, store = plan_for(job({"kind": "interpolation", "pairs": pairs, "steps": 2, "restarts": 2}))
    outcome = run_sweep(plan, store, [])
    assert (outcome.evaluations.done, outcome.evaluations.failed) == (2, 0)
    assert (outcome.evaluations.parts_done, outcome.evaluations.parts) == (4, 4)
    evaluations = tmp_path / "results" / "tiny" / "evaluations"
    frame = pd.read_parquet(evaluations / "interpolation")
    points = pd.read_parquet(evaluations / "interpolation_points")
    counts = Counter(frame[["trial_id", "pair", "way"]].itertuples(index=False, name=None))
    assert set(counts.values()) == {1}
    assert set(counts) == set(product((t.id for t in plan.job.trials), range(pairs), ("linear", "spherical")))
    counts = Counter(points[["trial_id", "pair", "way", "share"]].itertuples(index=False, name=None))
    assert set(counts.values()) == {1}
    assert len(counts) == 9 * len(frame)
    assert set(frame["features"]) == {f"classifier:{classifier.digest}"}
    assert ((frame["first_label"] == frame["second_label"]) == (frame["pair"] % 2 == 0)).all()
    before = {key: store.read(key) for key in store.keys("")}
    again, _ = plan_for(job({"kind": "interpolation", "pairs": pairs, "steps": 2, "restarts": 2}))
    assert not again.runs
    assert {key: store.read(key) for key in before} == before
