"""What the live page keeps of trials that have ended: a change costs the files that changed, and shows all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from orchestrator.server import draw
from orchestrator.server.kept import KeptBundles
from orchestrator.state import bundling
from orchestrator.store import tables
from orchestrator.store.local import LocalStore
from orchestrator.study import load_study

if TYPE_CHECKING:
    from tests.server.conftest import Storage


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of tables that are read, where two files are very many."""
    monkeypatch.setattr(bundling, "LEAST", 2)
    monkeypatch.setattr(tables, "LEAST", 2)
    draw._stores.cache_clear()
    keys: list[str] = []
    read = LocalStore.read

    def seen(store: LocalStore, key: str, limit: int | None = None) -> bytes:
        if key.endswith(".parquet"):
            keys.append(key)
        return read(store, key, limit)

    monkeypatch.setattr(LocalStore, "read", seen)
    return keys


def test_rows_of_trials_that_have_ended_are_read_once(storage: Storage, reads: list[str]) -> None:
    job = storage.job()
    one, other, third, last = job.trials
    store = storage.store(job)
    for trial in (one, other, third):
        storage.log(job, trial, 10, 20)
        storage.end(job, trial)
    storage.log(job, last, 10)

    def look() -> set[str]:
        reads.clear()
        study = load_study(draw._kept_store(storage.root.uri, "study"), unfinished="running")
        found = set(reads)
        expected = load_study(store, unfinished="running")
        pd.testing.assert_frame_equal(study.trials, expected.trials)
        pd.testing.assert_frame_equal(study.metrics, expected.metrics)
        return found

    ended = {f"{folder}/{trial.id}.parquet" for folder in ("trials", "metrics") for trial in (one, other, third)}
    assert look() == {*ended, f"metrics/{last.id}.parquet"}
    storage.log(job, last, 10, 20)
    assert look() == {f"metrics/{last.id}.parquet"}
    storage.log(job, one, 10, 20, 30)  # as after it was trained again
    storage.end(job, last, fid=3.0)
    again = {f"metrics/{one.id}.parquet", f"metrics/{last.id}.parquet", f"trials/{last.id}.parquet"}
    assert look() == again
    store.delete(f"trials/{other.id}.parquet")
    assert look() <= again
    assert not store.keys("bundles")


def test_bundles_are_all_that_is_written(storage: Storage) -> None:
    store = KeptBundles(storage.root)
    assert store.write("bundles/trials-1.parquet", b"kept", replace=False)
    assert not store.write("bundles/trials-1.parquet", b"other", replace=False)
    assert store.read("bundles/trials-1.parquet") == b"kept"
    assert store.keys("bundles") == ["bundles/trials-1.parquet"]
    with pytest.raises(AssertionError):
        store.write("trials/1.parquet", b"")
    assert storage.root.keys() == []
