"""Rows to Parquet and back, and what is made of files that are damaged or of another version."""

from __future__ import annotations

import io
import math
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.errors import NotFoundError, StorageError
from orchestrator.evaluations import KINDS
from orchestrator.store.columns import METRICS, TRIALS, schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.query import query
from orchestrator.store.tables import (
    foreign_keys,
    foreign_notice,
    parquet_keys,
    read_table,
    write_rows,
)

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store.location import Store

NOW = datetime(2026, 5, 17, 12, 30, 15, 123456, tzinfo=UTC)
SETTINGS = [
    ("objective.kind", pa.string()),
    ("training.d_steps", pa.int64()),
    ("ema", pa.bool_()),
    ("objective", pa.string()),
]
SCHEMA = pa.schema([*schema_of(TRIALS), *SETTINGS])
ROW: dict[str, Any] = {
    "trial_id": "3fa9",
    "status": "finished",
    "step": 12_345_678_901,
    "g_loss": 0.1,
    "started_at": NOW,
    "objective.kind": "saturating",
    "training.d_steps": 3,
    "ema": True,
}


def put(store: Store, key: str, **columns: Any) -> None:
    """A file as another version of the program, or another program, may have written it."""
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    store.write(key, buffer.getvalue())


def test_what_is_written_comes_back(store: Store) -> None:
    assert write_rows(store, "trials/000000000000000a.parquet", SCHEMA, [ROW])
    table = read_table(store, "trials").table
    assert table.schema == SCHEMA
    assert table.to_pylist() == [{name: ROW.get(name) for name in SCHEMA.names}]


def test_numbers_come_back_bit_for_bit(store: Store) -> None:
    losses = [0.1, -0.0, 1e-308, math.inf, -math.inf, math.nan, None]
    rows = [{"trial_id": "a", "step": step, "d_loss": loss} for step, loss in enumerate(losses)]
    write_rows(store, "metrics/000000000000000a.parquet", schema_of(METRICS), rows)
    back = read_table(store, "metrics", ["d_loss"]).table["d_loss"].to_pylist()
    assert [repr(value) for value in back] == [repr(value) for value in losses]


def test_pandas_reads_the_folder_as_it_is(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for name in "ba":
        write_rows(store, f"trials/{name:0>16}.parquet", SCHEMA, [{**ROW, "trial_id": name}])
    (tmp_path / "trials" / ".orch-tmp-killed").write_bytes(b"half")
    frame = pd.read_parquet(tmp_path / "trials")
    assert frame["trial_id"].tolist() == ["a", "b"]
    assert frame["objective.kind"].tolist() == ["saturating"] * 2
    assert frame["started_at"].tolist() == [pd.Timestamp(NOW)] * 2
    assert frame["step"].dtype == "int64"


def test_a_second_write_changes_nothing_when_told_so(store: Store) -> None:
    assert write_rows(store, "trials/000000000000000a.parquet", SCHEMA, [{"trial_id": "1"}], replace=False)
    assert not write_rows(store, "trials/000000000000000a.parquet", SCHEMA, [{"trial_id": "2"}], replace=False)
    assert read_table(store, "trials", ["trial_id"]).table.to_pylist() == [{"trial_id": "1"}]


def test_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_rows(LocalStore(tmp_path / folder), "t.parquet", SCHEMA, [ROW])
    assert (tmp_path / "a" / "t.parquet").read_bytes() == (tmp_path / "b" / "t.parquet").read_bytes()


def test_files_are_compressed_and_one_row_is_small(tmp_path: Path) -> None:
    write_rows(LocalStore(tmp_path), "t.parquet", SCHEMA, [ROW])
    write_rows(LocalStore(tmp_path), "m.parquet", SCHEMA, [ROW] * 100)
    for name in ("t", "m"):
        group = pq.ParquetFile(tmp_path / f"{name}.parquet").metadata.row_group(0)
        assert {group.column(n).compression for n in range(group.num_columns)} == {"ZSTD"}
    plain = pa.BufferOutputStream()
    pq.write_table(pq.read_table(tmp_path / "t.parquet"), plain, compression="zstd")
    assert (tmp_path / "t.parquet").stat().st_size < plain.getvalue().size * 0.55


@pytest.mark.parametrize(
    "row", [{"trail_id": "a"}, {"step": "many"}, {"step": 0.5}, {"step": 2**63}, {"started_at": "today"}]
)
def test_a_row_that_does_not_fit_is_our_defect(tmp_path: Path, row: dict[str, object]) -> None:
    with pytest.raises(AssertionError, match=next(iter(row))):
        write_rows(LocalStore(tmp_path), "t.parquet", SCHEMA, [row])
    assert LocalStore(tmp_path).keys() == []


def test_text_that_is_not_utf8_is_kept_as_far_as_possible(store: Store) -> None:
    write_rows(store, "trials/000000000000000a.parquet", SCHEMA, [{"error": "no such file: caf\udce9.png"}])
    assert read_table(store, "trials", ["error"]).table.to_pylist() == [{"error": "no such file: caf?.png"}]


def test_no_rows_and_no_files(store: Store) -> None:
    assert read_table(store, "trials").table.num_rows == 0
    assert read_table(store, "trials", ["trial_id", "x"]).table.column_names == ["trial_id", "x"]
    write_rows(store, "trials/000000006e6f6e65.parquet", SCHEMA, [])
    assert read_table(store, "trials").table.schema == SCHEMA
    assert read_table(store, "trials").table.num_rows == 0


def test_one_file_can_be_read_alone(store: Store) -> None:
    for name in "ab":
        write_rows(store, f"trials/{name:0>16}.parquet", SCHEMA, [{"trial_id": name}])
    assert read_table(store, "trials/000000000000000b.parquet", ["trial_id"]).table.to_pylist() == [{"trial_id": "b"}]
    with pytest.raises(NotFoundError):
        read_table(store, "trials/000000000000000c.parquet")


HEX = "0123456789abcdef"
COPIES = (  # of Dropbox, Nextcloud, iCloud, Windows, OneDrive, Syncthing, Resilio, Seafile, editors; of users
    "{} (host's conflicted copy 2026-01-01)", "{} (conflicted copy)", "{} 2", "{} (1)", "{} - Copy", "Copy of {}",
    "{}-LAPTOP", "{}.sync-conflict-20260101-120000-ABCDEFG", "{}.Conflict", "{} (SFConflict a@b 2026-01-01)", "{}~",
    "{}0", "all", "old/{}", "{}/{}",
)  # fmt: skip


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("key", [f"trials/{HEX}", f"metrics/{HEX}", f"evaluations/quality/{HEX}-{HEX}-0000"])
def test_files_count_that_this_program_has_named(tmp_path: Path, key: str, copy: str) -> None:
    store = LocalStore(tmp_path)
    folder, _, name = key.rpartition("/")
    foreign = f"{folder}/{copy.format(name, name)}.parquet"
    put(store, f"{key}.parquet", x=[1])
    assert foreign_notice(store) is None
    put(store, foreign, x=[2])
    store.write(f"{folder}/readme.txt", b"text")
    put(store, f"{folder}/.hidden.parquet", x=[3])
    assert read_table(store, folder).table["x"].to_pylist() == [1]
    assert query(store, f"FROM {folder.replace('/', '_')}").table.to_pylist() == [{"x": 1}]
    assert foreign_keys(store) == [foreign]
    assert foreign_notice(store) == (
        f"1 file of Parquet in the results' folders is none of this program's and does not count, such as {foreign}."
    )


def test_the_names_of_written_files_are_those_that_count(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    evaluation = KINDS["inversion"]()
    for shard in (0, 12_345):
        put(store, evaluation.rows_key(HEX, shard), x=[shard])
        put(store, evaluation.rows_key(HEX, shard, "curves"), x=[shard])
    assert len(parquet_keys(store, "evaluations")) == 4
    assert read_table(store, "evaluations/inversion").table["x"].to_pylist() == [0, 12_345]


def test_files_of_other_versions_are_read_together(store: Store) -> None:
    put(store, "trials/0000000000000001.parquet", trial_id=["a"], gone=[1], rate=[1], n=pa.array([1], pa.int32()))
    put(store, "trials/0000000000000002.parquet", rate=[0.5], trial_id=["b"], new=["x"], n=[2**40])
    put(store, "trials/0000000000000003.parquet", trial_id=["c"], rate=pa.nulls(1), n=[3], new=["y"])
    table = read_table(store, "trials").table
    assert table.column_names == ["trial_id", "gone", "rate", "n", "new"]
    assert table.to_pylist() == [
        {"trial_id": "a", "gone": 1, "rate": 1.0, "n": 1, "new": None},
        {"trial_id": "b", "gone": None, "rate": 0.5, "n": 2**40, "new": "x"},
        {"trial_id": "c", "gone": None, "rate": None, "n": 3, "new": "y"},
    ]
    some = read_table(store, "trials", ["new", "rate", "never"]).table
    assert some.column_names == ["new", "rate", "never"]
    assert some["never"].to_pylist() == [None] * 3
    assert some["rate"].type == pa.float64()


def test_a_dotted_column_is_not_its_prefix(store: Store) -> None:
    write_rows(store, "trials/000000000000000a.parquet", SCHEMA, [{"objective": "plain", "objective.kind": "dotted"}])
    assert read_table(store, "trials", ["objective"]).table.to_pylist() == [{"objective": "plain"}]


@pytest.mark.parametrize("columns", [None, ["x"]])
def test_a_column_of_no_schema_is_of_the_kind_of_most_files(store: Store, columns: list[str] | None) -> None:
    put(store, "trials/0000000000000001.parquet", x=["one"])
    put(store, "trials/0000000000000002.parquet", x=[1])
    put(store, "trials/0000000000000003.parquet", x=[0.5])
    read = read_table(store, "trials", columns)
    assert read.table["x"].to_pylist() == [1.0, 0.5]
    assert read.left_out == ("trials/0000000000000001.parquet: column x is string, and double in other files",)
    with pytest.raises(StorageError) as caught:
        read.whole(store)
    assert str(caught.value) == f"{store.uri}/{read.left_out[0]}; delete it and submit the job again"


def damage(data: bytes, how: str) -> bytes:
    return {
        "empty": b"",
        "text": b"not parquet\n" * 50,
        "cut": data[: len(data) // 2],
        "no start": data[50:],
        "page": data[:8] + bytes(byte ^ 0xFF for byte in data[8:2000]) + data[2000:],
    }[how]


@pytest.mark.parametrize("how", ["empty", "text", "cut", "no start", "page"])
def test_a_damaged_file_is_left_out_and_named(store: Store, how: str) -> None:
    rows = [{"trial_id": f"{n * 7919 % 1000}", "step": n, "d_loss": math.sin(n)} for n in range(2000)]
    for name in "abc":
        write_rows(store, f"metrics/{name:0>16}.parquet", schema_of(METRICS), rows)
    store.write("metrics/000000000000000b.parquet", damage(store.read("metrics/000000000000000b.parquet"), how))
    read = read_table(store, "metrics")
    assert len(read.table) == 4000
    (line,) = read.left_out
    assert line.startswith("metrics/000000000000000b.parquet: not a whole Parquet file")
    assert line.isprintable()


def test_one_wrong_bit_is_found(store: Store) -> None:
    write_rows(store, "trials/000000000000000a.parquet", SCHEMA, [{"d_loss": 0.25, "error": "x" * 40}])
    data = store.read("trials/000000000000000a.parquet")
    place = data.index(struct.pack("<d", 0.25))
    store.write("trials/000000000000000a.parquet", data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    read = read_table(store, "trials")
    assert (len(read.table), len(read.left_out)) == (0, 1)
    assert "CRC" in read.left_out[0]


def test_many_small_files(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_rows(store, "trials/0000000000000000.parquet", SCHEMA, [ROW])
    data = store.read("trials/0000000000000000.parquet")
    for n in range(1, 2000):
        (tmp_path / "trials" / f"{n:016d}.parquet").write_bytes(data)
    assert read_table(store, "trials", ["step"]).table["step"].to_pylist() == [ROW["step"]] * 2000
