"""Evaluations of trained trials that search the latent space, as Ray tasks: each row once, nothing a second time."""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pytest
from PIL import Image

from orchestrator.errors import DataError
from orchestrator.evaluations.interpolation.settings import Interpolation
from orchestrator.metrics.classifier import load
from orchestrator.runtime.sweep import run_sweep
from tests.ray.conftest import STUDY, Study, planner, raw_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.evaluations import Evaluation
    from orchestrator.plan.plan import Plan
    from orchestrator.runtime.sweep import Outcome
    from orchestrator.store.location import Store

pytestmark = pytest.mark.usefixtures("ray_here")

IMAGES = 66
"""Two parts, the second of two images."""
SEARCH = {"images": IMAGES, "steps": 2, "restarts": 2}


PAIRS = Interpolation.shard_pairs + 2
RESTORATION = {
    "kind": "restoration",
    "corruptions": [{"kind": "gaussian_noise"}, {"kind": "square", "size": 4}],
    "norms": ["l1", "l2"],
    "masks": ["known", "unknown"],
    **SEARCH,
}
INTERPOLATION = {"kind": "interpolation", "pairs": PAIRS, "steps": 2, "restarts": 2}
INVERSION = {"kind": "inversion", **SEARCH, "restarts": 3, "halving": True, "log_every": 1, "bands": 4}
ENCODER = {"steps": 3, "batch_size": 8, "width": 2, "log_every": 2}
ENCODER_INVERSION = {"kind": "encoder_inversion", "images": IMAGES, "steps": 2, "encoder": ENCODER}
PARTS = {"restoration": 4, "interpolation": 2, "inversion": 2, "encoder_inversion": 1}
"""Of each trial."""


def job(*evaluations: dict[str, Any]) -> dict[str, Any]:
    return raw_job(data=STUDY["data"], evaluate=list(evaluations), grid={"training.seed": [0, 1]})


ALL = job(RESTORATION, INTERPOLATION, INVERSION, ENCODER_INVERSION)


class Searched(NamedTuple):
    """Two trials of the study with all evaluations that search, made in one run."""

    folder: Path
    plan: Plan
    store: Store
    outcome: Outcome

    @property
    def trials(self) -> list[str]:
        """Their ids."""
        return [trial.id for trial in self.plan.job.trials]

    def evaluation(self, kind: str) -> Evaluation:
        """The one of that kind."""
        return next(one for one in self.plan.job.header.evaluate if one.kind == kind)

    def rows(self, table: str) -> pd.DataFrame:
        """All of an evaluation's table."""
        return pd.read_parquet(self.folder / "results" / "tiny" / "evaluations" / table)


@pytest.fixture(scope="module")
def searched(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("searched")
    shutil.copytree(study.folder / "results", folder / "results", ignore=shutil.ignore_patterns("evaluations"))
    plan, store = planner(folder)(ALL)
    return Searched(folder, plan, store, run_sweep(plan, store, []))


def test_every_part_is_made_once_and_nothing_a_second_time(searched: Searched) -> None:
    outcome = searched.outcome
    assert (outcome.ended, outcome.failed) == (0, 0)
    assert (outcome.evaluations.done, outcome.evaluations.failed) == (2 * len(PARTS), 0)
    assert (outcome.evaluations.parts_done, outcome.evaluations.parts) == (2 * sum(PARTS.values()),) * 2
    for kind, parts in PARTS.items():
        evaluation = searched.evaluation(kind)
        keys = {evaluation.rows_key(trial, part) for trial in searched.trials for part in range(parts)}
        assert set(searched.store.keys(f"evaluations/{kind}")) == keys
    again, _ = planner(searched.folder)(ALL)
    assert not again.runs


def test_every_search_is_told_by_the_classifier_of_the_data(searched: Searched, classifier: bytes) -> None:
    for kind in PARTS.keys() - {"interpolation"}:
        frame = searched.rows(kind)
        assert set(frame["classifier"]) == {load(classifier).digest}
        assert set(frame["class_kept"]) <= {0, 1}


def test_restoration(searched: Searched) -> None:
    frame = searched.rows("restoration")
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
    assert (frame["ring_excess"].notna() == ((frame["method"] == "search") & frame["top"].notna())).all()
    assert set(square["top"]) == set(square["left"]) == {12}
    told = frame["evaluation.corruptions"].iloc[0]
    assert [json.loads(text)["kind"] for text in told] == ["gaussian_noise", "square"]
    for trial in searched.trials:
        for name, rows in (("gaussian_noise", 5), ("square_size_4", 7)):
            key = searched.evaluation("restoration").picture_key(trial, name)
            picture = Image.open(io.BytesIO(searched.store.read(key)))
            assert picture.size == (8 * 30 - 2, rows * 30 - 2)


def test_interpolation(searched: Searched, classifier: bytes) -> None:
    frame, points = searched.rows("interpolation"), searched.rows("interpolation_points")
    counts = Counter(frame[["trial_id", "pair", "way"]].itertuples(index=False, name=None))
    assert set(counts.values()) == {1}
    assert set(counts) == set(product(searched.trials, range(PAIRS), ("linear", "spherical")))
    counts = Counter(points[["trial_id", "pair", "way", "share"]].itertuples(index=False, name=None))
    assert set(counts.values()) == {1}
    assert len(counts) == 9 * len(frame)
    assert set(frame["features"]) == {f"classifier:{load(classifier).digest}"}
    assert ((frame["first_label"] == frame["second_label"]) == (frame["pair"] % 2 == 0)).all()
    assert (frame["alike"] == (frame["pair"] % 2 == 0)).all()


def test_inversion(searched: Searched) -> None:
    rows, curves, bands = (searched.rows(name) for name in ("inversion", "inversion_curves", "inversion_bands"))
    assert Counter(rows["trial_id"]) == dict.fromkeys(searched.trials, 3 * IMAGES)
    assert not rows.duplicated(["trial_id", "image_id", "restart"]).any()
    assert (rows.groupby(["trial_id", "image_id"])["chosen"].sum() == 1).all()
    # after step 1 one restart of three goes on, which alone has losses of steps 1 and 2
    assert Counter(rows["dropped_at"].fillna(0)) == {0: 2 * IMAGES, 1: 4 * IMAGES}
    assert Counter(curves["step"]) == {0: 6 * IMAGES, 1: 2 * IMAGES, 2: 2 * IMAGES}
    assert len(bands) == 2 * IMAGES * 4
    evaluation = searched.evaluation("inversion")
    for trial in searched.trials:
        names = {key for key in searched.store.keys(f"samples/{trial}") if "/inversion" in key}
        assert names == {evaluation.picture_key(trial, f"gallery-000{part}") for part in range(2)}


def test_encoder_inversion(searched: Searched) -> None:
    rows = searched.rows("encoder_inversion")
    assert Counter(rows["method"]) == dict.fromkeys(("encoder", "refined", "random"), 2 * IMAGES)
    assert set(rows["evaluation.encoder.width"]) == {2}
    assert len(searched.rows("encoder_inversion_curves")) == 2 * IMAGES * 2 * 2
    assert sorted(searched.rows("encoder_inversion_training")["step"]) == [2, 2, 3, 3]


def test_more_images_than_there_are_held_out_is_told_before_anything_runs(plan_for: Callable) -> None:
    plan, store = plan_for(job({"kind": "inversion", "images": 100_000}))
    with pytest.raises(DataError, match="inversion: images: got 100000, but the held-out images of digits are"):
        run_sweep(plan, store, [])
    assert not store.keys("")
