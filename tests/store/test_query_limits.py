"""SQL that would take all time or all memory ends with a line."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import QueryError
from orchestrator.spec.columns import declared
from orchestrator.store import query as query_module
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.query import COUNTED, query
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path)
    rows = [{"trial_id": "a" * 16, "step": step, "g_loss": 0.5} for step in range(20)]
    write_rows(store, f"metrics/{'a' * 16}.parquet", schema_of(METRICS), rows)
    return store


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELECT list(range) AS x FROM range(100000000)", "takes more than 300 MB of memory"),
        ("SELECT repeat('x', 1000000000) AS x", "takes more than 300 MB of memory"),
        ("SELECT range(1000000000) AS x", "takes more than 300 MB of memory"),
        ("SELECT range FROM range(1000000000000)", "the answer has more than 200 MB"),
        ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) SELECT sum(n) AS n FROM r", "no answer within"),
        ("SELECT sum(a.range * b.range) AS s FROM range(10000000) a, range(10000000) b", "no answer within"),
    ],
)
def test_limits(store: LocalStore, monkeypatch: pytest.MonkeyPatch, sql: str, problem: str) -> None:
    monkeypatch.setattr(query_module, "SECONDS", 0.5 if problem.startswith("no answer") else 60.0)
    before, began = resource.getrlimit(resource.RLIMIT_AS), time.process_time()
    with pytest.raises(QueryError, match=problem):
        query(store, sql)
    assert time.process_time() - began < 20
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_rows_that_nobody_sees_are_counted_up_to_a_million(store: LocalStore) -> None:
    answer = query(store, "SELECT range FROM range(1000000000000)", rows=50)
    assert answer.table["range"].to_pylist() == list(range(50))
    assert answer.total is None
    assert query(store, "SELECT range FROM range(1000000)", rows=50).total == COUNTED


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT max(step) FROM metrics WHERE g_loss > 0", {"step", "g_loss"}),
        ("SELECT count(*) FROM metrics", {"trial_id"}),
        ("SELECT * FROM metrics", None),
        ("FROM metrics", None),
        ("SELECT COLUMNS('s.*') FROM metrics", None),
        ("SELECT new FROM metrics", None),
        ("PIVOT metrics ON step USING sum(g_loss)", None),
    ],
)
def test_only_columns_that_sql_names_are_read(sql: str, columns: set[str] | None) -> None:
    assert query_module._columns_used(sql, {"metrics": declared("metrics")}) == columns


def test_columns_of_other_versions_are_found(store: LocalStore) -> None:
    old = schema_of(METRICS[:2]).append(schema_of(METRICS[2:3]).field(0).with_name("gone"))
    write_rows(store, f"metrics/{'b' * 16}.parquet", old, [{"trial_id": "b" * 16, "step": 1, "gone": 2.0}])
    answer = query(store, "SELECT gone FROM metrics WHERE gone IS NOT NULL", declared)
    assert answer.table.to_pylist() == [{"gone": 2.0}]
