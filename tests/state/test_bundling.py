"""Rows of trials that are done are copied; those of others, which may yet change, are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.storage import fill
from orchestrator.spec.columns import declared
from orchestrator.state import bundling
from orchestrator.state.bundling import bundle_results
from orchestrator.state.ledger import Status, read_ledger
from orchestrator.store import tables
from orchestrator.store.bundles import read_bundled
from orchestrator.store.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store.location import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Twelve trials that are done."""
    monkeypatch.setattr(bundling, "LEAST", 4)
    monkeypatch.setattr(tables, "LEAST", 4)
    return fill(str(tmp_path / "results"), 12)[1]


def bundled(store: Store, folder: str) -> set[str]:
    rows = read_bundled(store, folder, tables.parquet_keys(store, folder), [], declared(folder))
    return {trial_id for table in rows for trial_id in table["trial_id"].to_pylist()}


def test_trials_that_are_done_and_no_others(store: Store) -> None:
    ids = sorted(read_ledger(store))
    for trial_id, status in zip(ids, (Status.FAILED, Status.STOPPED), strict=False):
        row = tables.read_table(store, f"trials/{trial_id}.parquet").table.to_pylist()[0]
        tables.write_rows(store, f"trials/{trial_id}.parquet", declared("trials"), [{**row, "status": str(status)}])
    before = {
        folder: tables.read_table(store, folder, schema=declared(folder)).table for folder in ("trials", "metrics")
    }
    bundle_results(store)
    for folder, rows in before.items():
        assert bundled(store, folder) == set(ids[2:])
        assert tables.read_table(store, folder, schema=declared(folder)).table.equals(rows)


def test_what_is_bundled_is_not_bundled_again(store: Store) -> None:
    bundle_results(store)
    first = store.stamps("bundles")
    assert len(first) == 2
    bundle_results(store)
    assert store.stamps("bundles") == first


def test_few_trials_are_left_as_they_are(tmp_path: Path) -> None:
    _, store = fill(str(tmp_path / "results"), 8)
    bundle_results(store)
    assert isinstance(store, LocalStore)
    assert store.keys("bundles") == []
