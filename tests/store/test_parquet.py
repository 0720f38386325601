"""Parquet files of strangers: what unfolds to more than may be, or has other columns, is one line."""

from __future__ import annotations

import io
import resource
import struct
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.spec.columns import declared
from orchestrator.store import parquet
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.parquet import Reader, UnreadableError
from orchestrator.store.tables import left_out_notice, read_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.location import Store

ID = "0123456789abcdef"
KEY = f"metrics/{ID}.parquet"


def packed(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def constant(value: Any, dtype: pa.DataType, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value], dtype))


def in_parts(name: str, value: Any, dtype: pa.DataType, rows: int, parts: int) -> bytes:
    """Many rows of one value, written part by part so that the test needs no memory for them."""
    buffer = io.BytesIO()
    table = pa.table({name: constant(value, dtype, rows)})
    with pq.ParquetWriter(buffer, table.schema) as writer:
        for _ in range(parts):
            writer.write_table(table)
    return buffer.getvalue()


def deep(levels: int) -> bytes:
    """A file whose description nests a group in a group, so many times: thrift's compact protocol, by hand."""
    text = b"\x18\x01a"
    element = b"\x35\x02" + text + b"\x15\x02\x00"  # optional, called a, one child
    schema = b"\x48\x01a\x15\x02\x00" + element * (levels - 2) + b"\x15\x02\x25\x02" + text + b"\x00"
    size = bytes([0xFC]) + _varint(levels)
    footer = b"\x15\x02\x19" + size + schema + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


LIMIT = 10_000_000
TEXT = "x" * 100_000
BOMBS: dict[str, Callable[[], bytes]] = {
    "rows of one number": lambda: in_parts("step", 1, pa.int64(), LIMIT // 40, 10),
    "a long text in each row": lambda: packed(pa.table({"health": constant(TEXT, pa.string(), 100_000)})),
    "a text that is packed": lambda: packed(pa.table({"health": ["x" * 2 * LIMIT]}), compression="zstd"),
    "text by its prefix": lambda: packed(
        pa.table({"health": [TEXT] * 200}), use_dictionary=False, column_encoding={"health": "DELTA_BYTE_ARRAY"}
    ),
    "lists": lambda: packed(
        pa.table({"latent_cdf": pa.ListArray.from_arrays([0, LIMIT // 4], pa.array(np.zeros(LIMIT // 4)))}),
    ),
    "lists of text": lambda: packed(
        pa.table({"tags": pa.ListArray.from_arrays([0, 100_000], constant(TEXT, pa.string(), 100_000))})
    ),
    "many columns": lambda: packed(pa.table({f"c{n}": [1.0] for n in range(2001)})),
    "much said of itself": lambda: packed(pa.table({"step": [1]}).replace_schema_metadata({"a": "x" * 1_000_000})),
    "nested deeply": lambda: deep(100_000),
    "nested": lambda: deep(500),
}


@pytest.mark.parametrize("what", BOMBS)
def test_what_unfolds_to_much_is_refused_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(parquet, "DECODED_BYTES", LIMIT)
    store = LocalStore(tmp_path)
    store.write(KEY, BOMBS[what]())
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    (line,) = read_table(store, "metrics").left_out
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB
    assert line.startswith(f"{KEY}: ")
    assert line.isprintable()
    assert len(line) < 400


def test_large_files_of_trials_are_read(store: Store) -> None:
    """100,000 logged steps of every signal, with text that repeats."""
    rows = 100_000
    noise = np.random.default_rng(0).normal(size=rows)
    columns = {
        column.name: pa.array(noise) if column.dtype == pa.float64() else pa.array(np.arange(rows))
        for column in METRICS
        if column.dtype in (pa.float64(), pa.int64())
    }
    columns |= {"trial_id": pa.array([ID] * rows), "health": pa.array(["healthy"] * rows)}
    store.write(KEY, packed(pa.table(columns), compression="zstd"))
    read = read_table(store, "metrics", schema=schema_of(METRICS))
    assert read.left_out == ()
    assert len(read.table) == rows
    assert read.table["health"].type == pa.string()


TIME = datetime(2026, 1, 1, tzinfo=UTC)
ODD: list[tuple[str, dict[str, Any], str]] = [
    ("text", {"g_loss": ["high"]}, "column g_loss is string, expected double"),
    ("bool", {"g_loss": [True]}, "column g_loss is bool, expected double"),
    ("list", {"g_loss": [[1.0]]}, "column g_loss is list<element: double>, expected double"),
    ("struct", {"g_loss": [{"a": 1}]}, "column g_loss is struct<a: int64>, expected double"),
    ("decimal", {"g_loss": pa.array([1], pa.decimal128(5, 1))}, "column g_loss is decimal128(5, 1), expected double"),
    ("number", {"health": [3]}, "column health is int64, expected string"),
    ("bytes", {"health": [b"x"]}, "column health is binary, expected string"),
    ("fraction", {"step": [0.5]}, "column step is double, expected int64 (Float value 0.5"),
    ("huge", {"step": pa.array([2**63], pa.uint64())}, "column step is uint64, expected int64 ("),
    ("unknown struct", {"new": [{"a": 1}]}, "column new is struct<a: int64>, expected numbers, text, times or lists"),
    ("lists of lists", {"new": [[[1]]]}, "column new is list<element: list<element: int64>>, expected numbers"),
    ("other", {"trial_id": ["f" * 16]}, "has rows of another trial than its name says"),
    ("null", {"trial_id": pa.nulls(1, pa.string())}, "has rows of another trial than its name says"),
    ("calendar", {"at": pa.array([2**62], pa.timestamp("us"))}, "column at has a time in no calendar"),
    ("not UTF-8", {"health": pa.array([b"\xff\xfe"]).view(pa.string())}, "has text that is not UTF-8"),
    ("escape", {"\x1b[31m": [{"a": 1}]}, r"column \x1b[31m is struct<a: int64>"),
]


@pytest.mark.parametrize(("columns", "problem"), [case[1:] for case in ODD], ids=[case[0] for case in ODD])
def test_an_odd_column_of_one_file_is_named_and_the_others_are_read(
    tmp_path: Path, store: Store, columns: dict[str, Any], problem: str
) -> None:
    good = "a" * 16
    store.write(f"metrics/{good}.parquet", packed(pa.table({"trial_id": [good], "g_loss": [1]})))
    store.write(KEY, packed(pa.table({"trial_id": [ID], **columns})))
    read = read_table(store, "metrics", schema=declared("metrics"))
    assert read.table["g_loss"].to_pylist() == [1.0]
    (line,) = read.left_out
    assert line.startswith(f"{KEY}: {problem}")
    assert line.isprintable()
    assert left_out_notice(read.left_out) == f"1 file left out: {line}"


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ({"g_loss": pa.array([1], pa.int8())}, {"g_loss": 1.0}),
        ({"g_loss": pa.array([0.5], pa.float32())}, {"g_loss": 0.5}),
        ({"g_loss": pa.nulls(1)}, {"g_loss": None}),
        ({"step": [3.0]}, {"step": 3}),
        ({"health": pa.array(["healthy"]).dictionary_encode()}, {"health": "healthy"}),
        ({"health": pa.array(["healthy"], pa.large_string())}, {"health": "healthy"}),
        ({"latent_cdf": [[1, 2]]}, {"latent_cdf": [1.0, 2.0]}),
        ({"new": [1], "other.new": [[0.5]]}, {"new": 1, "other.new": [0.5]}),
    ],
)
def test_columns_that_hold_the_same_are_read(columns: dict[str, Any], values: dict[str, Any]) -> None:
    table = Reader(declared("metrics")).read(packed(pa.table({"trial_id": [ID], **columns})))
    assert table.to_pylist() == [{"trial_id": ID, **values}]


def test_a_table_without_ids() -> None:
    with pytest.raises(UnreadableError, match="has no column trial_id"):
        Reader(declared("metrics")).read(packed(pa.table({"step": [1]})))


def test_two_columns_of_one_name() -> None:
    data = packed(pa.table([pa.array([ID]), pa.array([1]), pa.array([2])], ["trial_id", "step", "step"]))
    with pytest.raises(UnreadableError, match="two columns are called step"):
        Reader(declared("metrics")).read(data)


def test_a_trial_has_one_row(store: Store) -> None:
    store.write(f"trials/{ID}.parquet", packed(pa.table({"trial_id": [ID, ID]})))
    (line,) = read_table(store, "trials", schema=declared("trials")).left_out
    assert line == f"trials/{ID}.parquet: has 2 rows, expected the one of its trial"
