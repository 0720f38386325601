"""Results as files for other programs."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest

from orchestrator.errors import QueryError, StorageError
from orchestrator.store.export import export, rows_of
from orchestrator.store.local import LocalStore
from orchestrator.store.query import query

if TYPE_CHECKING:
    from orchestrator.store.export import Format

NOW = datetime(2026, 5, 17, 12, 30, 15, tzinfo=UTC)
TABLE = pa.table(
    {
        "objective.kind": ['a "quoted", text', None, "é\n"],
        "step": [2**53 + 1, None, -1],
        "loss": [0.1, math.nan, math.inf],
        "done": [True, False, None],
        "at": pa.array([NOW, None, NOW], pa.timestamp("us", "UTC")),
        "losses": [[1.0, math.nan], [], None],
    }
)


def test_json_is_a_list_of_objects(tmp_path: Path) -> None:
    export(TABLE, "json", str(tmp_path / "out.json"))
    text = (tmp_path / "out.json").read_text()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    got = json.loads(text, parse_constant=refuse)
    assert [row["step"] for row in got] == [2**53 + 1, None, -1]
    assert [row["loss"] for row in got] == [0.1, None, None]
    assert [row["objective.kind"] for row in got] == TABLE["objective.kind"].to_pylist()
    assert datetime.fromisoformat(got[0]["at"]) == NOW
    assert got[0]["losses"] == [1.0, None]


def test_csv_reads_back(tmp_path: Path) -> None:
    export(TABLE, "csv", str(tmp_path / "out.csv"))
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        got = list(csv.DictReader(file))
    assert list(got[0]) == TABLE.column_names
    assert [row["step"] for row in got] == [str(2**53 + 1), "", "-1"]
    assert [row["objective.kind"] for row in got] == ['a "quoted", text', "", "é\n"]
    assert [float(row["loss"]) for row in got][::2] == [0.1, math.inf]
    assert datetime.fromisoformat(got[0]["at"]) == NOW
    assert json.loads(got[0]["losses"]) == [1.0, None]


def test_parquet_reads_back(tmp_path: Path) -> None:
    export(TABLE, "parquet", str(tmp_path / "out.parquet"))
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert frame["objective.kind"].tolist()[0] == 'a "quoted", text'
    assert frame["at"].tolist()[0] == pd.Timestamp(NOW)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_whatever_sql_answers_can_be_written(tmp_path: Path, form: Format) -> None:
    sql = (
        "SELECT sum(1) AS s, 1.5 AS d, {'a': [1]} AS st, INTERVAL 1 DAY AS i, 'x'::BLOB AS b, DATE '2026-05-17' AS dt,"
        " NULL AS n, TIME '10:00' AS t, uuid() AS u, 'a'::ENUM('a', 'b') AS e, MAP {'a': 1} AS m"
    )
    store = LocalStore(tmp_path)
    (tmp_path / "trials").mkdir()
    export(pa.table({"x": [1]}), "parquet", str(tmp_path / "trials" / "x.parquet"))
    export(query(store, sql).table, form, str(tmp_path / f"out.{form}"))
    text = (tmp_path / f"out.{form}").read_text()
    row = json.loads(text)[0] if form == "json" else next(csv.DictReader(io.StringIO(text)))
    assert str(row["s"]) == "1"
    assert str(row["d"]) == "1.5"
    assert row["dt"] == "2026-05-17"
    assert row["e"] == "a"
    assert row["st"] == ({"a": [1]} if form == "json" else '{"a": [1]}')


def test_no_rows(tmp_path: Path) -> None:
    for form in ("csv", "json"):
        export(TABLE.slice(0, 0), form, str(tmp_path / form))
    assert json.loads((tmp_path / "json").read_text()) == []
    assert (tmp_path / "csv").read_text().count("\n") == 1


def test_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    export(TABLE, "json", "-")
    assert len(json.loads(capfdbinary.readouterr().out)) == 3


def test_an_old_file_is_replaced_whole_or_kept(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "out.parquet"
    export(TABLE, "parquet", str(target))
    before = target.read_bytes()
    day = pa.table({"day": pa.array([pa.scalar((0, 1, 0), pa.month_day_nano_interval())])})
    with pytest.raises(QueryError, match="Parquet cannot hold"):
        export(day, "parquet", str(target))
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["out.parquet"]


def test_what_is_no_plain_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    export(TABLE, "csv", os.devnull)
    assert Path(os.devnull).is_char_device()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    export(TABLE, "csv", str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").is_file()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path, tmp_path / "file" / "x.csv"):
        with pytest.raises(StorageError) as caught:
            export(TABLE, "csv", str(target))
        assert str(caught.value).isprintable()
        assert str(tmp_path) in str(caught.value)


RISKY = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


def test_no_cell_of_csv_is_run_by_a_spreadsheet(tmp_path: Path) -> None:
    table = pa.table({"=cmd()": RISKY, "number": [-1.5] * 6, "safe": ["a=b", None, "", "1", "x-1", "'"]})
    export(table, "csv", str(tmp_path / "out.csv"))
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        heading, *rows = csv.reader(file)
    assert heading == ["'=cmd()", "number", "safe"]
    assert [row[0] for row in rows] == [f"'{text}" for text in RISKY]
    assert {row[1] for row in rows} == {"-1.5"}
    assert [row[2] for row in rows] == ["a=b", "", "", "1", "x-1", "'"]
    export(table, "json", str(tmp_path / "out.json"))
    assert [row["=cmd()"] for row in json.loads((tmp_path / "out.json").read_text())] == RISKY


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_terminal_is_given_nothing_that_it_would_obey(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, form: Format
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    export(pa.table({"a\x1b[31m": ["\x1b]0;x\x07\x9b31m"]}), form, "-")
    assert capfdbinary.readouterr().out.decode().replace("\n", "").isprintable()
    with pytest.raises(StorageError, match="standard output is a terminal"):
        export(TABLE, "parquet", "-")


def test_times_that_python_does_not_know(tmp_path: Path) -> None:
    sql = "SELECT TIMESTAMP '290000-01-01' AS t, 'infinity'::TIMESTAMP AS i, '100000-01-01'::DATE AS d, 1 AS one"
    table = query(LocalStore(tmp_path), sql).table
    (row,) = rows_of(table)
    assert row["one"] == 1
    for form in ("csv", "json"):
        export(table, form, str(tmp_path / form))
    assert json.loads((tmp_path / "json").read_text())[0]["one"] == 1
