"""A copy of a job is whole or says that it is not; wherever it was interrupted, the next try goes on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import StorageError, StorageUnavailable
from orchestrator.spec.job import Job, make_job
from orchestrator.state import copies
from orchestrator.state.copies import (
    Progress,
    check_target,
    copy_classifiers,
    copy_job,
    files_to_copy,
    refuse_unfinished,
    unfinished_copy,
)
from orchestrator.state.files import has_job, read_job, write_job
from orchestrator.state.ledger import Status, read_ledger, record
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.tables import write_rows
from tests.jobs import raw_job
from tests.state.breaking import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

FIGURE = "report/figures/curves.png"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_TOGETHER", 3)


def fill(store: MemoryStore) -> Job:
    """A job of two trials with every kind of file, and what a copy leaves out."""
    job = make_job(raw_job(grid={"training.seed": [0, 1]}), "job.yaml")
    write_job(store, job)
    for trial in job.trials:
        record(store, "study", trial, Status.FINISHED, {"step": 10}, {})
        write_rows(store, f"metrics/{trial.id}.parquet", schema_of(METRICS), [{"trial_id": trial.id, "step": 10}])
        store.write(f"checkpoints/{trial.id}.pt", trial.id.encode() * 9)
        store.write(f"samples/{trial.id}/epoch-0001.png", trial.id.encode())
        store.write(f"replaced/0123456789ab/trials/{trial.id}.parquet", b"earlier")
    for key in ("run.json", "run.log", "evaluated.json", "report/index.html", "report/figures.json", FIGURE):
        store.write(key, key.encode())
    for key in (
        "handover.json",
        "cancel.json",
        "lease/00000003.json",
        f"bundles/trials-{'0' * 32}.parquet",
        "notes.txt",
    ):
        store.write(key, b"not copied")
    return job


def contents(store: MemoryStore) -> dict[str, bytes]:
    return {key: store.read(key) for key in store.keys() if not key.startswith("lease/")}  # noqa: SIM118


def expected(source: MemoryStore) -> dict[str, bytes]:
    return {key: source.read(key) for key in files_to_copy(source, {FIGURE})}


def test_what_is_copied_and_in_which_order() -> None:
    source, target = MemoryStore(), MemoryStore()
    job = fill(source)
    said: list[Progress] = []
    copied = copy_job(source, target, {FIGURE}, said.append)
    assert contents(target) == expected(source)
    assert not {"handover.json", "cancel.json", "notes.txt", f"bundles/trials-{'0' * 32}.parquet"} & set(target.keys())
    files = files_to_copy(source, {FIGURE})
    assert copied == said[-1] == Progress(len(files), sum(files.values()))
    assert [one.files for one in said] == sorted({one.files for one in said})
    order = [key for key, (_, number) in sorted(target.shared.blobs.items(), key=lambda item: item[1][1])]
    rows = [f"trials/{trial.id}.parquet" for trial in job.trials]
    assert [key for key in order if key.startswith("trials/") or key == "job.yaml"] == [*sorted(rows), "job.yaml"]
    assert sorted(order[-3:-1]) == sorted(rows)
    assert read_ledger(target).keys() == {trial.id for trial in job.trials}


def test_a_copy_that_is_interrupted_at_any_call_is_not_whole_and_goes_on() -> None:
    number = 0
    for number in range(400):
        source, target = MemoryStore(), MemoryStore()
        fill(source)
        source.shared.left = math.inf
        target.shared.left = number
        try:
            copy_job(source, target, {FIGURE})
            broken = False
        except StorageUnavailable:
            broken = True
        target.shared.left = math.inf
        there = contents(target)
        whole = "copy.json" not in there and bool(there)
        if whole:
            assert there == expected(source)
        else:
            if there:
                with pytest.raises(StorageError, match="is an unfinished copy of memory:; the same 'orch copy'"):
                    refuse_unfinished(target)
            rest = [key for key in expected(source) if not key.startswith("trials/") and key != "job.yaml"]
            assert not [key for key in there if key.startswith("trials/")] or set(rest) <= set(there)
            assert not has_job(target) or set(expected(source)) <= set(there)
            writes = target.shared.writes
            copy_job(source, target, {FIGURE})
            assert contents(target) == expected(source)
            again = target.shared.writes - writes
            assert again <= len(expected(source)) - len(set(there) & set(expected(source))) + 12, "records of the state"
        if not broken:
            break
    assert 40 < number < 399


def test_source_that_breaks_at_any_call_goes_on_too() -> None:
    number = 0
    for number in range(400):
        source, target = MemoryStore(), MemoryStore()
        fill(source)
        source.shared.left = number
        try:
            copy_job(source, target, {FIGURE})
            broken = False
        except StorageUnavailable:
            broken = True
        source.shared.left = math.inf
        if broken:
            assert unfinished_copy(target) is not None or not contents(target)
            copy_job(source, target, {FIGURE})
        assert contents(target) == expected(source)
        if not broken:
            break
    assert 15 < number < 399


def test_a_file_that_reads_back_otherwise_is_an_error() -> None:
    class Rotten(MemoryStore):
        def read(self, key: str, limit: int | None = None) -> bytes:
            data = super().read(key, limit)
            return data[:-1] + b"?" if key.endswith(".pt") else data

    source, target = MemoryStore(), Rotten()
    fill(source)
    with pytest.raises(StorageError, match=r"checkpoints/\w+\.pt: reads back otherwise than it was written"):
        copy_job(source, target, {FIGURE})
    assert unfinished_copy(target) is not None


def changes(source: MemoryStore) -> Iterator[Any]:
    trial = read_job(source).trials[0].id
    yield lambda: source.write(f"checkpoints/{trial}.pt", b"newer")
    yield lambda: source.write("run.json", b"a run begins")
    yield lambda: source.delete(f"samples/{trial}/epoch-0001.png")
    yield lambda: source.write(f"samples/{trial}/epoch-0002.png", b"more")


@pytest.mark.parametrize("number", range(4))
def test_a_source_that_changes_meanwhile_is_not_taken_for_whole(number: int) -> None:
    source, target = MemoryStore(), MemoryStore()
    fill(source)
    change = list(changes(source))[number]
    changed = []

    def once(progress: Progress) -> None:
        if progress.files > 8 and not changed:
            changed.append(change())

    with pytest.raises(StorageError, match="was changed while it was copied; copy it again once no run is at work"):
        copy_job(source, target, {FIGURE}, once)
    assert unfinished_copy(target) is not None
    assert not [key for key in target.keys() if key.startswith("trials/")]  # noqa: SIM118 - a store is no mapping
    copy_job(source, target, {FIGURE})
    assert contents(target) == expected(source)


@pytest.mark.parametrize("key", ["job.yaml", "notes.txt", "run.json", f"checkpoints/{'a' * 16}.pt"])
def test_nothing_is_copied_onto_what_is_there(key: str) -> None:
    source, target = MemoryStore(), MemoryStore()
    fill(source)
    target.write(key, b"another's")
    with pytest.raises(StorageError, match="has a job of that name already, and none is copied onto another"):
        copy_job(source, target, {FIGURE})
    assert contents(target) == {key: b"another's"}


def test_a_copy_of_another_storage_is_not_gone_on_with() -> None:
    source, other, target = MemoryStore().child("a"), MemoryStore().child("b"), MemoryStore()
    fill(source)
    target.shared.left = 9
    with pytest.raises(StorageUnavailable):
        copy_job(source, target, {FIGURE})
    target.shared.left = math.inf
    with pytest.raises(StorageError, match="has an unfinished copy of memory://a; finish it, or remove it: orch rm"):
        check_target(other, target)


def test_classifiers_go_along_and_none_is_replaced() -> None:
    source, target = MemoryStore(), MemoryStore()
    for name in ("0" * 32 + ".pt", "1" * 32 + ".pt", "mine.pt"):
        source.write(f"_classifiers/{name}", b"ours")
    target.write(f"_classifiers/{'1' * 32}.pt", b"theirs")
    copy_classifiers(source, target)
    assert contents(target) == {f"_classifiers/{'0' * 32}.pt": b"ours", f"_classifiers/{'1' * 32}.pt": b"theirs"}
