"""evaluate and what it added to the rows: mistakes, plans, and the job that is asked for. Nothing is trained here."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestrator.cli.console import out
from orchestrator.cli.evaluate import _with_evaluation
from orchestrator.spec.columns import evaluation_columns
from orchestrator.spec.job import Job, load_job, make_job
from orchestrator.state.files import write_job
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.state.marks import Kind, MarkedStdout, read_marks
from orchestrator.store.columns import schema_of
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orchestrator.store.local import LocalStore


@pytest.fixture
def job(folder: Path, store: LocalStore) -> Job:
    """Four trials, of which one is done and one has failed."""
    job = load_job(folder / "job.yaml")
    write_job(store, job)
    record(store, "study", job.trials[0], Status.FINISHED, {"step": 30}, provenance())
    record(store, "study", job.trials[1], Status.FAILED, {"error": "boom", "error_kind": "program"}, provenance())
    store.write(f"checkpoints/{job.trials[0].id}.pt", b"a checkpoint")
    return job


def test_only_trials_that_are_done_are_evaluated(orch: Callable[..., Any], job: Job, store: LocalStore) -> None:
    before = store.read("job.yaml")
    ran = orch("evaluate", "study", "--kind", "quality", "--dry-run")
    assert (ran.code, ran.err, ran.out) == (0, "", "evaluations: 1 new, 0 cached\n")
    key = _with_evaluation(job, "quality", []).header.evaluate[0].rows_key(job.trials[0].id, 0)
    store.write(key, b"")
    assert orch("evaluate", "study", "--kind", "quality", "--dry-run").out == "evaluations: 0 new, 1 cached\n"
    (due,) = json.loads(orch("evaluate", "study", "--kind", "quality", "--dry-run", "--json").out)["evaluations"]
    assert (due["trial_id"], due["state"]) == (job.trials[0].id, "cached")
    assert store.read("job.yaml") == before


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("command", [("plan", "study"), ("evaluate", "study", "--kind", "quality", "--dry-run")])
def test_a_plan_as_json_is_a_result_in_the_log_of_a_cluster(
    orch: Callable[..., Any], command: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(out, "_file", MarkedStdout(log))
    assert orch(*command, "--json").out == ""
    lines = [each for line in log.getvalue().splitlines() for each in read_marks(line)]
    assert {line.kind for line in lines} == {Kind.RESULT}
    assert json.loads("\n".join(line.text for line in lines))["job"] == "study"


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("study",), "job.yaml: evaluate: is empty; name a --kind, such as quality"),
        (("study", "--kind", "qualty"), "--kind: got 'qualty'; did you mean 'quality'? allowed: "),
        (
            ("study", "--kind", "quality", "--set", "samples=3"),
            "--set: evaluate.0.samples: got 3, expected a number >= 2",
        ),
        (("study", "--kind", "quality", "--set", "sample=3"), "--set: evaluate.0.sample: unknown key; did you mean "),
        (("study", "--kind", "quality", "--set", "checkpoint=best"), "--kind: evaluate.0: checkpoint: best is that of"),
        (("other", "--kind", "quality"), "results/other: no such job"),
    ],
)
def test_mistakes(orch: Callable[..., Any], arguments: tuple[str, ...], line: str) -> None:
    assert line in orch("evaluate", *arguments).mistake


def test_inception_without_its_weights_is_refused_before_anything_is_written(
    orch: Callable[..., Any], job: Job, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nowhere"))
    before = store.read("job.yaml")
    ran = orch("evaluate", job.header.name, "--kind", "quality", "--set", "features=inception")
    assert ran.mistake.startswith(f"{tmp_path}/nowhere/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth: no ")
    assert store.read("job.yaml") == before


def test_a_setting_needs_a_kind(orch: Callable[..., Any]) -> None:
    assert orch("evaluate", "study", "--set", "samples=300").mistake == "--set: has no effect without --kind"


def test_nothing_to_evaluate_yet(orch: Callable[..., Any], folder: Path, store: LocalStore) -> None:
    write_job(store, load_job(folder / "job.yaml"))
    assert orch("evaluate", "study", "--kind", "quality").mistake == (
        f"{store.uri}: no trial of study is done yet; orch submit trains them"
    )


def test_the_job_keeps_what_was_added_once(job: Job) -> None:
    once = _with_evaluation(job, "quality", ["samples=300", "truncation=[0.5, 1]"])
    assert [trial.id for trial in once.trials] == [trial.id for trial in job.trials]
    assert _with_evaluation(once, "quality", ["truncation=[0.5,1.0]", "samples=300"]) == once
    twice = _with_evaluation(once, "quality", [])
    raw = yaml.safe_load(yaml.safe_dump(twice.resolved()))
    assert make_job(raw, "job.yaml").header.evaluate == twice.header.evaluate
    assert len(twice.header.evaluate) == 2


def test_rows_are_joined_with_the_settings_of_their_trials(
    orch: Callable[..., Any], job: Job, store: LocalStore
) -> None:
    (quality,) = _with_evaluation(job, "quality", []).header.evaluate
    row = {"trial_id": job.trials[0].id, "evaluation_id": quality.id, "fid": 12.5, "evaluation.samples": 10_000}
    write_rows(store, quality.rows_key(job.trials[0].id, 0), schema_of(evaluation_columns(type(quality))), [row])
    lines = orch("results", "study", "--evaluation", "quality").out.splitlines()
    assert lines[0].split()[:2] == ["trial_id", "truncation"]
    assert "12.5" in lines[1]
    (told,) = csv.DictReader(io.StringIO(orch("results", "study", "--evaluation", "quality", "--csv", "-").out))
    assert told["training.d_steps"] == "1"
    assert (told["fid"], told["evaluation.samples"]) == ("12.5", "10000")
    assert orch("results", "study", "--evaluation", "qualty").mistake == (
        f"--evaluation: got 'qualty'; did you mean 'quality'? {store.uri} has quality"
    )


def test_rows_of_an_evaluation_are_those_of_all_trials(orch: Callable[..., Any], job: Job, store: LocalStore) -> None:
    """A trial whose own row is missing keeps its rows, and a setting that differs in the last of many is shown."""
    (quality,) = _with_evaluation(job, "quality", []).header.evaluate
    schema = schema_of(evaluation_columns(type(quality)))
    rows = [{"trial_id": job.trials[0].id, "evaluation_id": quality.id, "fid": number} for number in range(60)]
    write_rows(store, quality.rows_key(job.trials[0].id, 0), schema, rows)
    for trial_id in (job.trials[2].id, "f" * 16):
        write_rows(store, quality.rows_key(trial_id, 0), schema, [{"trial_id": trial_id, "evaluation_id": quality.id}])
    record(store, "study", job.trials[2], Status.FINISHED, {"step": 30}, provenance())
    told = json.loads(orch("results", "study", "--evaluation", "quality", "--json").out)
    assert Counter(row["training.d_steps"] for row in told) == {1: 60, 3: 1, None: 1}
    shown = orch("results", "study", "--evaluation", "quality").out.splitlines()
    assert shown[0].split()[:2] == ["trial_id", "training.d_steps"]
    assert "model.kind" not in shown[0]
    assert "50 of 62 rows; --csv, --json, --parquet give all" in shown
    for key in store.keys("trials"):
        store.delete(key)
    assert len(json.loads(orch("results", "study", "--evaluation", "quality", "--json").out)) == 62


def test_every_column_is_told(orch: Callable[..., Any]) -> None:
    assert "evaluations/quality/*.parquet" in orch("results", "--schema").out
