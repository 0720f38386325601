"""status and results, of a job that lies in storage."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest

from orchestrator.cli import claims
from orchestrator.evaluations.quality.settings import Quality
from orchestrator.spec.columns import evaluation_columns, trial_columns
from orchestrator.spec.job import Job, load_job
from orchestrator.state.files import RunState, write_job, write_state
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.state.process import this_process
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROW = pa.schema([("trial_id", pa.string()), ("status", pa.string())])


@pytest.fixture
def job(folder: Path, store: LocalStore) -> Job:
    """Four trials of 30 steps: one finished, one failed, one that runs, one that waits."""
    job = load_job(folder / "job.yaml")
    write_job(store, job)
    done, failed, running, _ = job.trials
    record(store, "study", done, Status.FINISHED, {"step": 30, "d_loss": 0.123456789}, provenance())
    why = {"error": "boom [red]\x1b[31m", "error_kind": "program", "step": 7}
    record(store, "study", failed, Status.FAILED, why, provenance())
    for trial in (done, running):
        rows = [{"trial_id": trial.id, "step": step, "g_loss": step / 4} for step in (10, 20)]
        write_rows(store, f"metrics/{trial.id}.parquet", schema_of(METRICS), rows)
    state = RunState("running", time.time() - 100, time.time() - 7, 3, running={running.id: (21, 30)})
    state.process = this_process()
    write_state(store, state)
    return job


@pytest.mark.parametrize("name", ["study", "job.yaml"])
def test_status(orch: Callable[..., Any], job: Job, name: str) -> None:
    ran = orch("status", name)
    assert (ran.code, ran.err) == (0, "")
    summary, heading, *rows, sign = ran.out.splitlines()
    assert summary == "study: running; 1 finished, 1 failed, 1 running, 1 waiting"
    assert heading.split() == ["trial", "settings", "state", "progress", "note"]
    assert [row.split() for row in rows] == [
        [job.trials[0].id, "d_steps=1", "seed=0", "finished", "30/30", "steps"],
        [job.trials[1].id, "d_steps=1", "seed=1", "failed", "7/30", "steps", "boom", r"[red]\x1b[31m"],
        [job.trials[2].id, "d_steps=3", "seed=0", "running", "21/30", "steps"],
        [job.trials[3].id, "d_steps=3", "seed=1", "waiting", "0/30", "steps"],
    ]
    assert sign.startswith("last sign of life ")
    assert sign.endswith(" s ago")


@pytest.mark.usefixtures("job")
def test_status_as_json(orch: Callable[..., Any]) -> None:
    state = json.loads(orch("status", "study", "--json").out)
    assert state["counts"] == {"finished": 1, "failed": 1, "running": 1, "waiting": 1}
    assert [trial["state"] for trial in state["trials"]] == ["finished", "failed", "running", "waiting"]
    assert state["trials"][1]["error"] == "boom [red]\x1b[31m"


def test_status_after_a_driver_that_died(orch: Callable[..., Any], job: Job, store: LocalStore) -> None:
    state = RunState("running", 0, time.time() - 7200, 3, running={job.trials[2].id: (21, 30)})
    # Its id went to another process since.
    state.process = replace(this_process(), started="1")
    write_state(store, state)
    ran = orch("status", "study")
    assert ran.out.startswith("study: not running; 1 finished, 1 failed, 1 interrupted, 1 waiting\n")
    assert ran.out.endswith("last sign of life 2 h 00 min ago\n")


def test_status_of_many_trials_is_a_screenful(orch: Callable[..., Any], folder: Path, store: LocalStore) -> None:
    write_job(store, load_job(folder / "job.yaml", [f"grid.training.seed={list(range(40))}"]))
    ran = orch("status", "study")
    assert "... and 30 more (--json lists them all)" in ran.out.splitlines()
    assert len(ran.out.splitlines()) == 1 + 1 + 50 + 1


@pytest.mark.parametrize(
    ("key", "content", "line"),
    [
        ("job.yaml", b"name: [", "job.yaml: line 1, column 8: not valid YAML: expected the node content, but found "),
        ("run.json", b"{", "run.json: damaged; delete it"),
    ],
)
@pytest.mark.usefixtures("job")
def test_status_of_damaged_files(
    orch: Callable[..., Any], store: LocalStore, key: str, content: bytes, line: str
) -> None:
    store.write(key, content)
    assert orch("status", "study").mistake.startswith(f"{store.uri}/{line}")


def test_status_goes_on_without_rows_that_cannot_be_read(orch: Callable[..., Any], job: Job, store: LocalStore) -> None:
    done, failed, running, _ = job.trials
    store.write(f"trials/{done.id}.parquet", b"PAR1")
    write_rows(store, f"trials/{failed.id}.parquet", ROW, [{"trial_id": failed.id, "status": "vanished"}])
    store.write(f"metrics/{running.id}.parquet", b"")
    ran = orch("status", "study")
    assert (ran.code, ran.err) == (0, "")
    summary, note, _, *rows, _ = ran.out.splitlines()
    assert summary == "study: running; 2 unreadable, 1 running, 1 waiting"
    assert note.startswith("note: 3 files left out: ")
    for line in (
        f"trials/{done.id}.parquet: not a whole Parquet file (",
        f"trials/{failed.id}.parquet: status is 'vanished', expected one of finished, saturated,",
        f"metrics/{running.id}.parquet: not a whole Parquet file (",
    ):
        assert line in note
    assert [row.split()[3] for row in rows] == ["unreadable", "unreadable", "running", "waiting"]
    assert len(json.loads(orch("status", "study", "--json").out)["left_out"]) == 3
    assert f"trials/{done.id}.parquet: not a whole Parquet file (" in orch("plan", "study").mistake
    ran = orch("results", "study")
    assert ran.code == 0
    assert f"note: 1 file left out: trials/{done.id}.parquet: not a whole" in ran.out
    ran = orch("results", "study", "--csv", "-")
    assert (ran.code, ran.err.startswith("note: 1 file left out: ")) == (0, True)


def test_the_schema_names_every_column(orch: Callable[..., Any]) -> None:
    ran = orch("results", "--schema")
    assert (ran.code, ran.err) == (0, "")
    _, *parts = re.split(r"^(\S+)/\*\.parquet *$", ran.out, flags=re.M)
    tables = dict(zip(parts[::2], parts[1::2], strict=True))
    expected = {"trials": trial_columns(), "metrics": METRICS, "evaluations/quality": evaluation_columns(Quality)}
    for text, columns in ((tables[name], columns) for name, columns in expected.items()):
        lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
        for column in columns:
            assert column.meaning in lines[column.name]
            assert f" {column.dtype} " in lines[column.name]
            assert column.unit in lines[column.name]


def test_results_without_a_query_are_the_trials(orch: Callable[..., Any], job: Job) -> None:
    ran = orch("results", "study")
    assert (ran.code, ran.err) == (0, "")
    heading, *rows, total, note = ran.out.splitlines()
    assert heading.split()[:3] == ["trial_id", "status", "error"]
    assert "data.root" not in heading  # null in every row
    assert "orch_version" not in heading
    assert "model.kind" not in heading  # the same in every row
    assert {row.split()[0] for row in rows} == {trial.id for trial in job.trials[:2]}
    assert r"boom [red]\x1b[31m" in ran.out
    assert "0.1235 " in ran.out
    assert total == "2 rows"
    assert note.startswith("settings that are the same in all")


def test_a_setting_that_only_follows_another_is_no_column(
    orch: Callable[..., Any], folder: Path, store: LocalStore
) -> None:
    """The target of its own that an objective has says no more than the objective's name."""
    job = load_job(folder / "job.yaml", ["grid.objective.kind=[least_squares, non_saturating, hinge]"])
    write_job(store, job)
    for trial in job.trials:
        record(store, "study", trial, Status.FINISHED, {"step": 30}, provenance())
    heading = orch("results", "study").out.splitlines()[0].split()
    assert [name for name in heading if "." in name] == ["objective.kind", "training.d_steps", "training.seed"]


def test_results_are_in_the_order_of_the_grid(orch: Callable[..., Any], folder: Path, store: LocalStore) -> None:
    job = load_job(folder / "job.yaml")
    write_job(store, job)
    for trial in job.trials:
        record(store, "study", trial, Status.FINISHED, {"step": 30}, provenance())
    ids = [trial.id for trial in job.trials]
    assert ids != sorted(ids)
    assert [row["trial_id"] for row in json.loads(orch("results", "study", "--json").out)] == ids


def test_sql_over_trials_and_metrics(orch: Callable[..., Any], job: Job) -> None:
    sql = (
        "select trial_id as id, status, max(m.step) last from metrics m left join trials using (trial_id) group by all"
    )
    heading, *rows, total = orch("results", "study", "--sql", sql).out.splitlines()
    assert heading.split() == ["id", "status", "last"]
    assert {tuple(row.split()) for row in rows} == {(job.trials[0].id, "finished", "20"), (job.trials[2].id, "20")}
    assert total == "2 rows"


CLAIMS = """\
claims:
  - {id: A, says: More steps are better., measure: d_loss, better: lower, group: {training.d_steps: 3}, than: {training.d_steps: 1}}
"""  # noqa: E501


def test_claims_of_a_job_in_storage_and_of_a_job_file(orch: Callable[..., Any], folder: Path, job: Job) -> None:
    assert orch("results", "study", "--claims").mistake.endswith("/job.yaml: claims: is missing; see docs/job-file.md")
    (folder / "job.yaml").write_text((folder / "job.yaml").read_text() + CLAIMS)
    ran = orch("results", "job.yaml", "--claims")
    heading, row, total = ran.out.splitlines()
    assert heading.split()[:5] == ["claim", "verdict", "effect", "(95", "%)"]
    assert row.split()[:5] == ["A", "undecided", "\u2013", "below", "0"]
    assert row.rstrip().endswith("nothing was measured")
    assert total == "1 rows"
    claimed = load_job(folder / "job.yaml")
    store = LocalStore(folder / "results" / "study")
    write_job(store, claimed)
    for trial in claimed.trials:
        loss = {1: 2.0, 3: 1.0}[trial.settings.training.d_steps] + trial.settings.training.seed / 100
        record(store, "study", trial, Status.FINISHED, {"step": 30, "d_loss": loss}, provenance())
    (verdict,) = json.loads(orch("results", "study", "--claims", "--json").out)
    mean = (0.123456789 + 2.01) / 2  # of a trial that had ended before, which keeps its row, and of a new one
    assert (verdict["claim"], verdict["group_seeds"], verdict["than_mean"]) == ("A", 2, pytest.approx(mean))
    assert orch("results", "study", "--claims", "--csv", "verdicts.csv").code == 0
    assert pd.read_csv(folder / "verdicts.csv")["claim"].tolist() == ["A"]
    assert job.trials[0].id == claimed.trials[0].id


EACH = """\
claims:
  - id: A
    says: More steps are better.
    source: "We saw \x1b[31mthat."
    measure: d_loss
    better: lower
    group: {training.seed: 0}
    than: {training.seed: 1}
    each: {training.d_steps: [1, 3]}
"""


@pytest.mark.usefixtures("job")
def test_a_claim_about_each_value_has_a_row_for_every_value(orch: Callable[..., Any], folder: Path) -> None:
    (folder / "job.yaml").write_text((folder / "job.yaml").read_text() + EACH.replace("\x1b", "\\e"))
    _, *rows, total = orch("results", "job.yaml", "--claims").out.splitlines()
    assert [row.split()[:3] for row in rows] == [
        ["A", "undecided", "\u2013"],
        ["-", "1", "undecided"],
        ["-", "3", "undecided"],
    ]
    assert rows[0].rstrip().endswith("We saw \\x1b[31mthat.")
    assert total == "1 rows"
    (row,) = json.loads(orch("results", "job.yaml", "--claims", "--json").out)
    assert row["source"] == "We saw \x1b[31mthat."
    assert [one["value"] for one in json.loads(row["members"])] == ["1", "3"]


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("width", [60, 100])
def test_verdicts_fit_a_terminal(
    orch: Callable[..., Any], folder: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "job.yaml").write_text((folder / "job.yaml").read_text() + EACH.replace("\x1b", "\\e"))
    monkeypatch.setattr(claims.out, "width", width)
    lines = orch("results", "job.yaml", "--claims").out.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:2] == ["claim", "verdict"]
    assert "claimed" in lines[0]


@pytest.mark.usefixtures("job")
def test_evaluations_with_missing_parts_are_told_below_the_claims(orch: Callable[..., Any], folder: Path) -> None:
    claims = CLAIMS.replace("measure: d_loss", "measure: quality.fid")
    evaluate = "evaluate: [{kind: quality, truncation: [0.5]}]\n"
    (folder / "job.yaml").write_text((folder / "job.yaml").read_text() + evaluate + claims)
    claimed, store = load_job(folder / "job.yaml"), LocalStore(folder / "results" / "study")
    (quality,) = claimed.header.evaluate
    row = {"trial_id": claimed.trials[0].id, "evaluation_id": quality.id, "shard": 0, "fid": 3.0}
    key = quality.rows_key(claimed.trials[0].id, 0)
    write_rows(store, key, schema_of(evaluation_columns(type(quality))), [row])
    _, told, total, notice = orch("results", "job.yaml", "--claims").out.splitlines()
    assert told.rstrip().endswith("nothing was measured")
    assert total == "1 rows"
    assert notice == (
        "1 evaluation is incomplete and counts as missing in the claims; 'orch evaluate study' computes the rest."
    )
    assert len(json.loads(orch("results", "job.yaml", "--claims", "--json").out)) == 1


def test_validate_tells_of_claims_that_are_left_out(orch: Callable[..., Any], folder: Path) -> None:
    (folder / "job.yaml").write_text((folder / "job.yaml").read_text() + CLAIMS)
    line = 'claim A is left out: got {"training.d_steps": 1}, which is no trial of this job'
    assert orch("validate", "job.yaml", "--set", "grid.training.d_steps=[3]").out.splitlines()[1:] == [line]
    assert line in orch("plan", "job.yaml", "--set", "grid.training.d_steps=[3]").out.splitlines()
    assert line not in orch("plan", "job.yaml", "--storage", "elsewhere").out


@pytest.mark.usefixtures("job")
def test_only_a_screenful_of_rows_is_printed(orch: Callable[..., Any]) -> None:
    lines = orch("results", "study", "--sql", "select unnest(range(60)) as n from trials limit 60").out.splitlines()
    assert lines[-1] == "50 of 60 rows; --csv, --json, --parquet give all"
    assert len(lines) == 1 + 50 + 1


@pytest.mark.usefixtures("job")
def test_exports(orch: Callable[..., Any], folder: Path) -> None:
    sql = ("--sql", "select step, g_loss from metrics order by trial_id, step")
    expected = [{"step": step, "g_loss": step / 4} for step in (10, 20, 10, 20)]
    for option, read in (("--csv", pd.read_csv), ("--parquet", pd.read_parquet)):
        ran = orch("results", "study", *sql, option, "rows")
        assert (ran.code, ran.out, ran.err) == (0, "", "")
        assert read(folder / "rows").to_dict("records") == expected
    assert json.loads(orch("results", "study", *sql, "--json").out) == expected
    rows = list(csv.DictReader(io.StringIO(orch("results", "study", *sql, "--csv", "-").out)))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == expected


@pytest.mark.usefixtures("job")
def test_what_results_refuses(orch: Callable[..., Any], folder: Path) -> None:
    assert orch("results", "study", "--sql", "selec 1").mistake.startswith("SQL: Parser Error: ")
    assert "tables: trials, metrics" in orch("results", "study", "--sql", "select * from trial").mistake
    assert orch("results", "study", "--sql", "select nothing from trials").mistake.startswith("SQL: Binder Error: ")
    for target, problem in (
        ("new/rows", f"but there is no folder {folder}/new; make it first"),
        ("job.yaml/rows", f"but there is no folder {folder}/job.yaml; make it first"),
        ("results", "which is a folder, expected the name of a file"),
        ("", "which is a folder, expected the name of a file"),
    ):
        for option in ("--csv", "--parquet"):
            assert orch("results", "study", option, target).mistake == f"{option}: got {target!r}, {problem}"
    assert sorted(path.name for path in folder.iterdir()) == ["job.yaml", "results"]
