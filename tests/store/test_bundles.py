"""Copies of many files' rows: preferred where they are current, and never counted twice."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest

from orchestrator.store import tables
from orchestrator.store.bundles import read_bundled, write_bundles
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import read_table, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.location import Store

SCHEMA = pa.schema([("trial_id", pa.string()), ("step", pa.int64()), ("loss", pa.float64())])
IDS = [hashlib.sha256(bytes([number])).hexdigest()[:16] for number in range(12)]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen files count as many."""
    monkeypatch.setattr(tables, "LEAST", 2)


def write(store: Store, trial_id: str, loss: float, steps: int = 2) -> None:
    rows = [{"trial_id": trial_id, "step": step, "loss": loss} for step in range(steps)]
    write_rows(store, f"metrics/{trial_id}.parquet", SCHEMA, rows)


def bundle(store: Store, ids: list[str]) -> None:
    stamps = {key.rpartition("/")[2][:16]: stamp for key, stamp in store.stamps("metrics").items()}
    keys = [f"metrics/{trial_id}.parquet" for trial_id in ids]
    write_bundles(store, "metrics", tables.read_files(store, keys, schema=SCHEMA).table, stamps)


def read(store: Store) -> pa.Table:
    reading = read_table(store, "metrics", schema=SCHEMA)
    assert reading.left_out == ()
    return reading.table


@pytest.fixture
def many(store: Store) -> Store:
    """A dozen files of two rows each."""
    for number, trial_id in enumerate(IDS):
        write(store, trial_id, number)
    return store


def opened(store: Store, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[str]:
    """The keys that are read meanwhile."""
    seen: list[str] = []
    whole = type(store).read

    def note(self: Store, key: str, limit: int | None = None) -> bytes:
        seen.append(key)
        return whole(self, key, limit)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "read", note)
        act()
    return seen


def test_rows_are_the_same_and_come_from_few_files(many: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read(many)
    assert len(before) == 24
    bundle(many, IDS[3:9])
    bundle(many, IDS[5:])
    seen = opened(many, monkeypatch, lambda: read(many))
    assert read(many).equals(before)
    assert sorted(key for key in seen if key.startswith("metrics/")) == sorted(f"metrics/{i}.parquet" for i in IDS[:3])
    some = read_table(many, "metrics", ["loss"], SCHEMA).table
    assert some.equals(before.select(["loss"]))


def test_files_that_changed_since_are_read_and_those_that_went_do_not_count(many: Store) -> None:
    bundle(many, IDS)
    write(many, IDS[0], -1.0, steps=3)
    many.delete(f"metrics/{IDS[1]}.parquet")
    rows = read(many).to_pandas()
    assert rows[rows["trial_id"] == IDS[0]]["loss"].tolist() == [-1.0] * 3
    assert IDS[1] not in set(rows["trial_id"])
    assert len(rows) == 23


def test_a_second_writer_writes_the_same(many: Store) -> None:
    bundle(many, IDS)
    first = many.stamps("bundles")
    bundle(many, IDS)
    assert many.stamps("bundles") == first
    assert len(first) == 1


def test_a_large_bundle_is_cut_between_files(many: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read(many)
    monkeypatch.setattr("orchestrator.store.bundles._CELLS", 4 * 5)
    bundle(many, IDS)
    assert len(many.keys("bundles")) == 6
    assert read(many).equals(before)


@pytest.mark.parametrize("spoil", ["damaged", "truncated", "too large", "other columns", "rows apart"])
def test_what_a_spoiled_bundle_copies_is_read_from_its_files(
    many: Store, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    before = read(many)
    bundle(many, IDS)
    (key,) = many.keys("bundles")
    data = many.read(key)
    table = next(iter(read_bundled(many, "metrics", [f"metrics/{i}.parquet" for i in IDS], None, SCHEMA)))
    stamps = {name[8:24]: stamp for name, stamp in many.stamps("metrics").items()}
    many.delete(key)
    if spoil == "damaged":
        many.write(key, b"PAR1" + bytes(100) + b"PAR1")
    elif spoil == "truncated":
        many.write(key, data[: len(data) // 2])
    elif spoil == "too large":
        many.write(key, data)
        monkeypatch.setattr("orchestrator.store.bundles.FILE_BYTES", len(data) - 1)
    elif spoil == "other columns":
        write_rows(many, key, pa.schema([("x", pa.int64())]), [{"x": 1}])
    else:
        write_bundles(many, "metrics", pa.concat_tables([table, table]), stamps)
    assert read(many).equals(before)


def test_other_programs_read_each_row_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for number, trial_id in enumerate(IDS):
        write(store, trial_id, number)
    bundle(store, IDS)
    assert len(pd.read_parquet(tmp_path / "metrics")) == 24
