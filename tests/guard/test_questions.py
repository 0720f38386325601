"""Each line of docs/questions.md is run over small made-up results with every column that there is."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from orchestrator.evaluations import KINDS
from orchestrator.spec.columns import evaluation_columns, trial_columns
from orchestrator.store.columns import METRICS, Column, schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.query import query
from orchestrator.store.tables import write_rows

TEXT = (Path(__file__).parents[2] / "docs" / "questions.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.M | re.S)
PREAMBLE, *QUESTIONS = PYTHON
LINES = [line for line in TEXT.splitlines() if line.startswith("orch results ") and "--sql" in line]
JOBS = sorted(path.stem for path in (Path(__file__).parents[2] / "jobs").glob("*.yaml"))
TABLES = {"trials": trial_columns(), "metrics": METRICS} | {
    f"evaluations/{name}_{table}".removesuffix("_"): evaluation_columns(kind, table)
    for name, kind in KINDS.items()
    for table in ("", *kind.tables)
}


def value(column: Column) -> Any:
    if column.name == "trial_id":
        return "0123456789abcdef"
    if pa.types.is_list(column.dtype):
        return []
    if pa.types.is_timestamp(column.dtype):
        return pd.Timestamp("2025-03-04", tz="UTC")
    return {pa.string(): "x", pa.int64(): 1, pa.float64(): 0.5, pa.bool_(): True}[column.dtype]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for table, columns in TABLES.items():
        row = {column.name: value(column) for column in columns}
        name = "-".join(["1" * 16] * 2 + ["0000"]) if "/" in table else "1" * 16
        write_rows(LocalStore(folder / "results" / "any"), f"{table}/{name}.parquet", schema_of(columns), [row])
    return folder


def test_there_is_a_question_for_every_study_with_claims() -> None:
    assert len(QUESTIONS) >= 10
    assert {line.split()[2] for line in LINES} <= set(JOBS)
    heads = " ".join(re.findall(r"^## (.*?):", TEXT, flags=re.M))
    assert {"A1", "A3", "A4", "A7", "B8", "B9", "C5", "D1", "D2", "D3", "D4", "D5", "D6", "D7", "F1", "F2"} <= set(
        re.findall(r"[A-F]\d+", heads)
    )


@pytest.mark.parametrize("line", LINES, ids=[line[13:70] for line in LINES])
def test_its_sql_is_answered(results: Path, line: str) -> None:
    # A shell's $'...' keeps its backslashes from its quotes.
    sql = line.split("--sql $'")[1][:-1].replace(r"\'", "'") if "$'" in line else shlex.split(line)[-1]
    assert query(LocalStore(results / "results" / "any"), sql).table.num_columns > 1


@pytest.mark.parametrize("code", QUESTIONS, ids=[code[:60] for code in QUESTIONS])
def test_its_python_runs(results: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(results)
    for job in re.findall(r'read\("(\w+)"', code):
        assert job in JOBS
    anything = re.sub(r'read\("\w+"', 'read("any"', code)
    space: dict[str, Any] = {}
    before = (
        QUESTIONS[QUESTIONS.index(code) - 1].splitlines()[0] if "read(" not in code else ""
    )  # it goes on from there
    said = re.sub(r'read\("\w+"', 'read("any"', before)
    *statements, last = ast.parse(f"{PREAMBLE}\n{said}\n{anything}").body
    assert isinstance(last, ast.Expr)
    exec(compile(ast.Module(statements, []), "questions.md", "exec"), space)  # noqa: S102
    assert eval(compile(ast.Expression(last.value), "questions.md", "eval"), space) is not None  # noqa: S307
