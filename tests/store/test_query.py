"""SQL over results: the same answers from every storage, clear errors, and no way out of the results."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from orchestrator.errors import QueryError
from orchestrator.store import query as query_module
from orchestrator.store.columns import METRICS, TRIALS, schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.query import query
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store.location import Store

TRIAL = pa.schema([*schema_of(TRIALS), ("objective.kind", pa.string()), ("training.d_steps", pa.int64())])
ITEM = pa.schema([("trial_id", pa.string()), ("mse", pa.float64())])
NOW = datetime(2026, 5, 17, 12, 30, tzinfo=UTC)
IDS = ["a1", "b2", "c3"]


@pytest.fixture
def job(store: Store) -> Store:
    """A job of three trials, 40 logged steps each, and one kind of evaluation."""
    for n, trial in enumerate(IDS):
        row = {"trial_id": trial, "status": "finished", "training.d_steps": n + 1, "started_at": NOW}
        write_rows(store, f"trials/{trial:0>16}.parquet", TRIAL, [{**row, "objective.kind": "saturating"}])
        steps = [
            {"trial_id": trial, "step": step, "g_loss": math.exp(-step / (10 + n)), "d_loss": step / 7}
            for step in range(40)
        ]
        write_rows(store, f"metrics/{trial:0>16}.parquet", schema_of(METRICS), steps)
        write_rows(
            store,
            f"evaluations/inversion/{trial:0>16}-{trial:0>16}-0000.parquet",
            ITEM,
            [{"trial_id": trial, "mse": n / 10}],
        )
    return store


def rows(store: Store, sql: str) -> list[dict[str, Any]]:
    return query(store, sql).table.to_pylist()


def test_sql_agrees_with_pandas(job: Store, tmp_path: Path) -> None:
    sql = (
        'SELECT t."training.d_steps" AS d_steps, avg(m.g_loss) AS g_loss, max(m.step) AS step, count(*) AS n '
        "FROM metrics m JOIN trials t USING (trial_id) WHERE m.step >= 10 GROUP BY 1 ORDER BY 1"
    )
    got = query(job, sql).table.to_pandas()
    local = LocalStore(tmp_path / "copy")
    for key in job.keys(""):
        local.write(key, job.read(key))
    metrics = pd.read_parquet(tmp_path / "copy" / "metrics")
    trials = pd.read_parquet(tmp_path / "copy" / "trials")
    joined = metrics[metrics["step"] >= 10].merge(trials[["trial_id", "training.d_steps"]], on="trial_id")
    grouped = joined.groupby("training.d_steps")
    assert got["d_steps"].tolist() == [1, 2, 3]
    assert got["n"].tolist() == grouped.size().tolist() == [30] * 3
    assert got["step"].tolist() == grouped["step"].max().tolist()
    np.testing.assert_allclose(got["g_loss"], grouped["g_loss"].mean(), rtol=1e-12)


def test_rows_come_in_the_order_of_their_files(job: Store) -> None:
    got = query(job, "SELECT trial_id, step FROM metrics").table
    assert got["trial_id"].to_pylist() == [trial for trial in IDS for _ in range(40)]
    assert got["step"].to_pylist() == list(range(40)) * 3


def test_types_come_through(job: Store) -> None:
    got = query(job, "SELECT * FROM trials").table
    assert got.schema == TRIAL
    assert got["started_at"].to_pylist() == [NOW] * 3
    assert rows(job, "SELECT hour(started_at) AS hour FROM trials LIMIT 1") == [{"hour": 12}]


def test_every_folder_is_a_table(job: Store) -> None:
    assert [row["name"] for row in rows(job, "SHOW TABLES")] == ["evaluations_inversion", "metrics", "trials"]
    assert rows(job, "SELECT sum(mse) AS total FROM evaluations_inversion") == [{"total": pytest.approx(0.3)}]
    assert rows(job, 'FROM "TRIALS" SELECT count(*) AS n') == [{"n": 3}]
    described = rows(job, "DESCRIBE trials")
    assert [row["column_name"] for row in described] == TRIAL.names


def test_kinds_of_other_versions(store: Store) -> None:
    write_rows(store, "evaluations/fish_2/0000000000000078-0000000000000078-0000.parquet", ITEM, [{"mse": 2.0}])
    write_rows(store, "evaluations/loose.parquet", ITEM, [{"mse": 3.0}])
    write_rows(store, "trials/0000000000000078.parquet", TRIAL, [{"step": 7}])
    assert rows(store, "SELECT mse, step FROM evaluations_fish_2, trials") == [{"mse": 2.0, "step": 7}]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT nothing FROM trials", ['"nothing"', "columns of trials: trial_id, job,", '"objective.kind"']),
        ("SELECT objective.kind FROM trials", ['"objective.kind", "training.d_steps"']),
        ("SELECT * FROM trial", ["trial", "tables: trials, metrics, evaluations_inversion"]),
        ("SELEC * FROM trials", ["Parser Error", "tables: trials"]),
        ("SELECT 'x'::INT", ["Could not convert string 'x'", "tables: trials"]),
        ("SELECT error('first\nsecond')", ["first second"]),
        ("SELECT step, step FROM metrics", ["two columns are called step"]),
        ("SELECT ?", ["SQL: "]),
        ("", ["expected one SELECT"]),
        ("SELECT 1; SELECT 2", ["expected one SELECT"]),
        ("DROP VIEW trials", ["expected one SELECT"]),
        ("CREATE TABLE x AS SELECT 1", ["expected one SELECT"]),
        ("SET enable_external_access = true", ["expected one SELECT"]),
    ],
)
def test_sql_that_cannot_be_answered_is_one_line(job: Store, sql: str, words: list[str]) -> None:
    with pytest.raises(QueryError) as caught:
        query(job, sql)
    assert str(caught.value).isprintable()
    for word in words:
        assert word in str(caught.value)


def test_a_job_without_results(store: Store) -> None:
    with pytest.raises(QueryError) as caught:
        query(store, "SELECT * FROM trials")
    assert str(caught.value).startswith(f"{store.uri}: no results yet; submit the job first")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '{file}'",
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM read_parquet('{folder}/root/trials/*.parquet')",
        "SELECT * FROM parquet_metadata('{folder}/root/trials/00000000000000a1.parquet')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM sniff_csv('{file}')",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "EXPORT DATABASE '{folder}/out'",
        "ATTACH '{folder}/out.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
        "SELECT * FROM hidden_rows",
        "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
        "CALL enable_logging(storage = 'file', storage_path = '{folder}/log')",
        "PRAGMA enable_external_access",
        "WITH x AS (SELECT * FROM '{file}') SELECT * FROM x",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/out.csv'",
    ],
)
def test_sql_reaches_nothing_but_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    # Where it may, duckdb takes the variables of the Python that calls it for tables.
    monkeypatch.setattr(query_module, "hidden_rows", pa.table({"a": ["private"]}), raising=False)
    store = LocalStore(tmp_path / "root")
    write_rows(store, "trials/00000000000000a1.parquet", TRIAL, [{"trial_id": "a1"}])
    (tmp_path / "private.csv").write_text("private\n1\n")
    before = sorted(os.walk(tmp_path))
    with pytest.raises(QueryError):
        query(store, sql.format(file=tmp_path / "private.csv", folder=tmp_path))
    assert sorted(os.walk(tmp_path)) == before


@pytest.mark.parametrize("how", ["cut", "page"])
def test_a_damaged_file_is_left_out_and_named(job: Store, how: str) -> None:
    data = job.read("metrics/00000000000000b2.parquet")
    page = slice(4, 200)  # behind the first mark, and far before the description at the end
    spoiled = data[:20] if how == "cut" else data[:4] + bytes(byte ^ 0xFF for byte in data[page]) + data[200:]
    job.write("metrics/00000000000000b2.parquet", spoiled)
    answer = query(job, "SELECT count(*) AS n FROM metrics WHERE g_loss + d_loss + step IS NOT NULL")
    assert answer.table.to_pylist() == [{"n": 80}]
    (line,) = answer.left_out
    assert line.startswith("metrics/00000000000000b2.parquet: not a whole Parquet file")
    assert line.isprintable()
    assert rows(job, "SELECT count(*) AS n FROM trials") == [{"n": 3}]


def test_files_of_other_versions_are_one_table(job: Store) -> None:
    old = pa.schema([("trial_id", pa.string()), ("g_loss", pa.int64()), ("gone", pa.string())])
    write_rows(job, "metrics/0000000000007a39.parquet", old, [{"trial_id": "z9", "g_loss": 4, "gone": "x"}])
    got = rows(job, "SELECT g_loss, gone, step FROM metrics WHERE trial_id = 'z9' AND g_loss > 3.5")
    assert got == [{"g_loss": 4.0, "gone": "x", "step": None}]


def test_what_is_not_finite_counts_as_in_sql(store: Store) -> None:
    values = [1.0, math.nan, math.inf, -math.inf, None, 3.0]
    write_rows(
        store, "metrics/000000000000000a.parquet", schema_of(METRICS), [{"d_loss": v, "step": 1} for v in values]
    )
    got = rows(store, "SELECT count(*) AS n FROM metrics WHERE isnan(d_loss) OR isinf(d_loss)")
    assert got == [{"n": 3}]
    assert rows(store, "SELECT count(*) AS n FROM metrics WHERE d_loss > 2") == [{"n": 3}]  # NaN is the largest


def test_a_million_rows(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    schema = schema_of(METRICS)
    losses = np.random.default_rng(0).normal(size=5000)
    steps = [{"trial_id": "a", "step": n, "g_loss": loss} for n, loss in enumerate(losses.tolist())]
    write_rows(store, "metrics/0000000000000000.parquet", schema, steps)
    data = store.read("metrics/0000000000000000.parquet")
    for n in range(1, 200):
        (tmp_path / "metrics" / f"{n:016d}.parquet").write_bytes(data)
    got = rows(
        store, "SELECT trial_id, count(*) AS n, avg(g_loss) AS mean, max(step) AS step FROM metrics GROUP BY ALL"
    )
    assert got == [{"trial_id": "a", "n": 1_000_000, "mean": pytest.approx(losses.mean()), "step": 4999}]
