"""Evaluations as Ray tasks: each part once, when its trial has ended, whatever happens to the processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import torch

from orchestrator.errors import StorageUnavailable, SurroundingsError
from orchestrator.evaluations import compute_shard
from orchestrator.metrics.classifier import load
from orchestrator.plan.plan import CellState
from orchestrator.runtime.sweep import run_sweep
from orchestrator.store.local import LocalStore
from orchestrator.store.query import query
from orchestrator.store.retrying import RetryingStore
from tests.ray.conftest import QUALITY, STUDY, Study, raw_job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.store.location import Store

pytestmark = pytest.mark.usefixtures("ray_here")


def job(**changes: Any) -> dict[str, Any]:
    return raw_job(data=STUDY["data"], evaluate=[QUALITY]) | changes


def rows(store: Store, trial_ids: Sequence[str], each: int = 2) -> pd.DataFrame:
    """All rows of ``quality``, which are of these trials, of each so many and none twice."""
    frame: pd.DataFrame = query(store, "select * from evaluations_quality").table.to_pandas()
    counts = Counter(zip(frame["trial_id"], frame["evaluation_id"], frame["shard"], strict=True))
    assert set(counts.values()) == {1}
    assert Counter(frame["trial_id"]) == dict.fromkeys(trial_ids, each)
    return frame


def test_trials_are_evaluated_when_they_end_and_once_only(study: Study, classifier: bytes) -> None:
    outcome = study.outcome
    assert len(study.plan.due) == 3
    assert (outcome.ended, outcome.failed, outcome.interrupted, study.said) == (3, 0, False, [])
    assert (outcome.evaluations.done, outcome.evaluations.failed, outcome.evaluations.total) == (3, 0, 3)
    assert (outcome.evaluations.parts_done, outcome.evaluations.parts) == (6, 6)
    assert study.recorder.tallies[-1] == outcome.evaluations
    frame = rows(study.store, [trial.id for trial in study.plan.job.trials])
    assert set(frame["features"]) == {f"classifier:{load(classifier).digest}"}
    assert set(frame["evaluation.samples"]) == {200}
    assert sorted(frame["truncation"].fillna(0)) == [0.0] * 3 + [0.5] * 3
    assert frame["fid"].notna().all()
    assert len(pd.read_parquet(study.folder / "results" / "tiny" / "evaluations" / "quality")) == 6


def test_one_more_evaluation_of_what_is_there_is_all_that_is_computed(
    study: Study, plan_for: Callable, tmp_path: Path
) -> None:
    shutil.copytree(study.folder / "results", tmp_path / "results")
    again, store = plan_for(job(grid=STUDY["grid"]))
    assert not again.runs
    before = {key: store.read(key) for key in store.keys("") if key.endswith(".parquet")}
    more = {"kind": "quality", "samples": 250}
    wider, _ = plan_for(job(grid=STUDY["grid"], evaluate=[QUALITY, more]))
    assert not wider.having(CellState.NEW)
    assert [due.evaluation.model_dump()["samples"] for due in wider.due] == [250] * 3
    outcome = run_sweep(wider, store, [])
    assert (outcome.ended, outcome.evaluations.done) == (0, 3)
    assert {key: store.read(key) for key in before} == before
    ids = [trial.id for trial in wider.job.trials]
    assert sorted(rows(store, ids, 3)["samples"]) == [200] * 6 + [250] * 3


def test_the_numbers_are_those_of_the_evaluation_alone(study: Study, classifier: bytes) -> None:
    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.metrics.sample_quality import SampleQuality
    from orchestrator.training.checkpoint import load_networks

    due = study.plan.due[1]
    data, judge, device = due.trial.settings.data, load(classifier), torch.device("cpu")
    splits = {"train": data.load(), "test": data.load("test")}
    generator = load_networks(study.store, due.trial.id, due.trial.settings)["generator"]
    quality = SampleQuality(splits["train"], splits["test"], judge, device)
    subject = TrainedModel(due.trial.id, due.trial.settings, generator, device, splits, judge, lambda: quality)
    frame = rows(study.store, [trial.id for trial in study.plan.job.trials])
    frame = frame[frame["trial_id"] == due.trial.id].sort_values("shard")
    assert len(due.missing) == 2
    for shard in due.missing:
        (expected,) = compute_shard(due.evaluation, subject, shard).rows
        found = frame.iloc[shard]
        for name in ("fid", "kid", "inception_score", "precision", "coverage", "class_kl", "diversity", "fid_held_out"):
            assert found[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6)


class Deadly(LocalStore):
    """A store that kills the process that has written the first file of an evaluation."""

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """Write, then perhaps die."""
        written = super().write(key, data, replace=replace)
        mark = Path(self.uri) / ".killed"
        if key.startswith("evaluations/") and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return written


class Down(LocalStore):
    """A store that does not answer to the first write of an evaluation."""

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """Fail once."""
        mark = Path(self.uri) / ".failed"
        if key.startswith("evaluations/") and not mark.exists():
            mark.touch()
            raise StorageUnavailable("storage is down")
        return super().write(key, data, replace=replace)


@pytest.mark.parametrize(("kind", "mark"), [(Deadly, ".killed"), (Down, ".failed")])
def test_a_lost_process_and_storage_that_is_down_leave_each_row_once(
    plan_for: Callable, trained: Path, kind: type[LocalStore], mark: str
) -> None:
    plan, store = plan_for(job(grid={"training.seed": [0, 1]}))
    outcome = run_sweep(plan, RetryingStore(kind(Path(store.uri))), [])
    assert (Path(store.uri) / mark).exists()
    assert (outcome.evaluations.done, outcome.evaluations.failed) == (2, 0)
    rows(store, [trial.id for trial in plan.job.trials])


def test_storage_that_stays_down_ends_the_run_and_the_next_one_evaluates(plan_for: Callable, trained: Path) -> None:
    plan, store = plan_for(job(grid={"training.seed": [0, 1]}))
    with pytest.raises(SurroundingsError, match=r"quality of trial [0-9a-f]{16}: storage is down"):
        run_sweep(plan, Down(Path(store.uri)), [])
    again, _ = plan_for(job(grid={"training.seed": [0, 1]}))
    assert run_sweep(again, store, []).evaluations.failed == 0
    rows(store, [trial.id for trial in plan.job.trials])


def test_what_fails_is_told_in_one_line_and_the_rest_goes_on(plan_for: Callable, trained: Path) -> None:
    plan, store = plan_for(job(grid={"training.seed": [0, 1]}))
    lost, there = (trial.id for trial in plan.job.trials)
    store.delete(f"checkpoints/{lost}.pt")
    assert not plan.having(CellState.NEW)
    said: list[str] = []
    outcome = run_sweep(plan, store, [], said.append)
    assert (outcome.evaluations.done, outcome.evaluations.failed) == (1, 1)
    rows(store, [there])
    (line,) = said
    assert line.startswith(f"quality of trial {lost} failed: ")
    assert line.endswith(
        f"checkpoints/{lost}.pt: no such checkpoint, so that its trial has no networks to load; was it deleted?"
    )
    assert line.isprintable()


def test_a_failed_trial_takes_its_evaluations_with_it(plan_for: Callable, kept: Path) -> None:
    broken = {
        "training.g_optimizer.lr": 1.0,
        "training.g_optimizer.betas": [0.0, 0.0],
        "training.g_optimizer.eps": 1e-300,
    }
    grid = {"rates": [broken, {"training.g_optimizer.lr": 1e-4}]}
    plan, store = plan_for(job(grid=grid, model={"kind": "dcgan", "latent_dim": 2, "width": 1}))
    outcome = run_sweep(plan, store, [])
    assert outcome.failed == 1
    assert (outcome.evaluations.done, outcome.evaluations.failed, outcome.evaluations.total) == (1, 0, 1)
    rows(store, [plan.job.trials[1].id])


def test_a_classifier_is_trained_once_and_a_damaged_one_anew(
    plan_for: Callable, trained: Path, classifier: bytes
) -> None:
    shutil.copytree(trained.parents[1] / "tiny", trained.parents[1] / "other")
    trained.write_bytes(classifier[:-1])
    plan, store = plan_for(job())
    said: list[str] = []
    run_sweep(plan, store, [], said.append)
    assert said[0] == f"note: {trained} is damaged; the classifier is trained again"
    assert re.fullmatch(rf"classifier of digits: [\d.]+% of held-out images right; kept in {trained}", said[1])
    assert len(said) == 2
    assert load(trained.read_bytes()).digest != load(classifier).digest
    said.clear()
    other, store = plan_for(job(name="other"))
    assert len(other.due) == 1
    run_sweep(other, store, [], said.append)
    assert said == []
