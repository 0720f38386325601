"""Rows of every kind of evaluation that hold anything their columns can: null, doubled, far too large."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from orchestrator.evaluations import KINDS
from orchestrator.evaluations.evaluation import FOLDER
from orchestrator.report import write_report
from orchestrator.spec.columns import evaluation_columns
from orchestrator.store.columns import schema_of
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from orchestrator.store.columns import Column

ROWS = 4
WORDS = ["", "linear", "<img src=x onerror=alert(1)>", "$\\frac{$", "\x1b[31m", "x" * 5000]
FLOATS = [0.0, -1.0, 0.5, 1e308, -1e308, 5e-324, float("inf"), float("nan")]
INTEGERS = [0, 1, 2, 7, -1, 2**62]
STUDIES = [
    ("null", 0),
    ("one of each", 0),
    *((pattern, n) for pattern in ("anything", "anything or null") for n in range(3)),
]
"""What fills a study's rows, and the seed of it."""


def strange(column: Column, pattern: str, random: random.Random) -> list[Any]:
    """So many values of a column; those of other types are null."""
    if column.name in ("trial_id", "evaluation_id", "shard"):
        return [None] * ROWS
    kinds = {pa.string(): WORDS, pa.float64(): FLOATS, pa.int64(): INTEGERS, pa.bool_(): [True, False]}
    values: list[Any] = kinds.get(column.dtype, [None])
    if pattern == "null":
        return [None] * ROWS
    if pattern == "one of each":  # ids are doubled, and every comparison is of equals
        return [values[-1] if column.name.endswith("at") else values[0]] * ROWS
    return random.choices([*values, *([None] * len(values) if "null" in pattern else [])], k=ROWS)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("pattern", "seed"), STUDIES)
def test_whatever_rows_of_evaluations_hold_a_report_is_written(study: Any, pattern: str, seed: int) -> None:
    draw = random.Random(f"{pattern} {seed}")
    settings = [{"training.seed": number, "objective.kind": "hinge"} for number in range(2)]
    trials = [study.trial(own, samples=(), metrics=False) for own in settings]
    for name, kind in KINDS.items():
        for table in ("", *kind.tables):
            columns = evaluation_columns(kind, table)
            for trial in trials:
                drawn = {column.name: strange(column, pattern, draw) for column in columns}
                rows = [{column: values[place] for column, values in drawn.items()} for place in range(ROWS)]
                fixed = {"trial_id": trial, "evaluation_id": "0123456789abcdef", "shard": 0}
                folder = f"{FOLDER}/{name}_{table}".removesuffix("_")
                key = f"{folder}/{trial}-0123456789abcdef-0000.parquet"
                write_rows(study.store, key, schema_of(columns), [row | fixed for row in rows])
    page = study.store.read(write_report(study.store)).decode()
    assert "<img src=x" not in page
    assert pattern != "null" or "are there twice or lack pair or way were left out: 8" in page
