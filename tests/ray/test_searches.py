"""Evaluations of trained trials that search the latent space, as Ray tasks: each row once, nothing a second time."""

from __future__ import annotations

import io
import json
from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from PIL import Image

from orchestrator.errors import DataError
from orchestrator.evaluations.interpolation.settings import Interpolation
from orchestrator.metrics.classifier import load
from orchestrator.runtime.sweep import run_sweep
from tests.ray.conftest import STUDY, raw_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("ray_here")

IMAGES = 66
"""Two parts, the second of two images."""
SEARCH = {"images": IMAGES, "steps": 2, "restarts": 2}


def job(*evaluations: dict[str, Any]) -> dict[str, Any]:
    return raw_job(data=STUDY["data"], evaluate=list(evaluations), grid={"training.seed": [0, 1]})


def test_restoration(plan_for: Callable, trained: Path, tmp_path: Path) -> None:
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
    assert (outcome.ended, outcome.failed) == (0, 0)
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


def test_interpolation(plan_for: Callable, trained: Path, classifier: bytes, tmp_path: Path) -> None:
    pairs = Interpolation.shard_pairs + 2
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
    assert set(frame["features"]) == {f"classifier:{load(classifier).digest}"}
    assert ((frame["first_label"] == frame["second_label"]) == (frame["pair"] % 2 == 0)).all()
    assert (frame["alike"] == (frame["pair"] % 2 == 0)).all()
    before = {key: store.read(key) for key in store.keys("")}
    again, _ = plan_for(job({"kind": "interpolation", "pairs": pairs, "steps": 2, "restarts": 2}))
    assert not again.runs
    assert {key: store.read(key) for key in before} == before


def test_inversion(plan_for: Callable, trained: Path, tmp_path: Path) -> None:
    inversion = {"kind": "inversion", **SEARCH, "restarts": 3, "halving": True, "log_every": 1, "bands": 4}
    plan, store = plan_for(job(inversion))
    outcome = run_sweep(plan, store, [])
    assert (outcome.ended, outcome.failed) == (0, 0)
    assert (outcome.evaluations.parts_done, outcome.evaluations.parts) == (4, 4)
    folder = tmp_path / "results" / "tiny" / "evaluations"
    rows, curves, bands = (
        pd.read_parquet(folder / name) for name in ("inversion", "inversion_curves", "inversion_bands")
    )
    trials = {trial.id for trial in plan.job.trials}
    assert Counter(rows["trial_id"]) == dict.fromkeys(trials, 3 * IMAGES)
    assert not rows.duplicated(["trial_id", "image_id", "restart"]).any()
    assert (rows.groupby(["trial_id", "image_id"])["chosen"].sum() == 1).all()
    # after step 1 one restart of three goes on, which alone has losses of steps 1 and 2
    assert Counter(rows["dropped_at"].fillna(0)) == {0: 2 * IMAGES, 1: 4 * IMAGES}
    assert Counter(curves["step"]) == {0: 6 * IMAGES, 1: 2 * IMAGES, 2: 2 * IMAGES}
    assert len(bands) == 2 * IMAGES * 4
    for trial in trials:
        names = {key for key in store.keys(f"samples/{trial}") if "inversion" in key}
        (evaluation,) = plan.job.header.evaluate
        assert names == {evaluation.picture_key(trial, f"gallery-000{part}") for part in range(2)}
    before = {key: store.read(key) for key in store.keys("")}
    again, _ = plan_for(job(inversion))
    assert not again.runs
    assert {key: store.read(key) for key in before} == before


def test_encoder_inversion(plan_for: Callable, trained: Path, tmp_path: Path) -> None:
    encoder = {"steps": 3, "batch_size": 8, "width": 2, "log_every": 2}
    plan, store = plan_for(job({"kind": "encoder_inversion", "images": IMAGES, "steps": 2, "encoder": encoder}))
    outcome = run_sweep(plan, store, [])
    assert (outcome.ended, outcome.evaluations.parts_done, outcome.evaluations.parts) == (0, 2, 2)
    folder = tmp_path / "results" / "tiny" / "evaluations"
    rows = pd.read_parquet(folder / "encoder_inversion")
    assert Counter(rows["method"]) == dict.fromkeys(("encoder", "refined", "random"), 2 * IMAGES)
    assert set(rows["evaluation.encoder.width"]) == {2}
    assert len(pd.read_parquet(folder / "encoder_inversion_curves")) == 2 * IMAGES * 2 * 2
    assert sorted(pd.read_parquet(folder / "encoder_inversion_training")["step"]) == [2, 2, 3, 3]


def test_more_images_than_there_are_held_out_is_told_before_anything_runs(plan_for: Callable) -> None:
    plan, store = plan_for(job({"kind": "inversion", "images": 100_000}))
    with pytest.raises(DataError, match="inversion: images: got 100000, but the held-out images of digits are"):
        run_sweep(plan, store, [])
    assert not store.keys("")
