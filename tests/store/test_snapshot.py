"""A command that reads asks for the names of each folder once, however many of its parts need them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from benchmarks.storage import fill
from orchestrator.cli import inspect
from orchestrator.cli.options import NamedJob
from orchestrator.state.bundling import bundle_results
from orchestrator.store.local import LocalStore
from orchestrator.store.snapshot import Snapshot
from orchestrator.store.wrapped import WrappedStore
from orchestrator.study import load_study

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.location import Store


class Counting(WrappedStore):
    """Counts how often the names in each folder are asked for, here and below."""

    def __init__(self, store: Store, lists: Counter[str]) -> None:
        super().__init__(store)
        self.lists = lists

    def keys(self, prefix: str = "") -> list[str]:
        self.lists[prefix] += 1
        return self._store.keys(prefix)

    def stamps(self, folder: str) -> dict[str, str]:
        self.lists[folder] += 1
        return self._store.stamps(folder)

    def _wrap(self, store: Store) -> Counting:
        return Counting(store, self.lists)


def test_names_are_those_of_the_store(store: Store) -> None:
    for key in ("trials/a", "trials-2/b", "trials/deep/c", "other/d"):
        store.write(key, b"1")
    listed = Snapshot(store)
    for folder in ("trials", "trials/deep", "trials/de", "trials-2", "nothing"):
        assert listed.keys(folder) == store.keys(folder)
        assert listed.stamps(folder) == store.stamps(folder)
    assert listed.keys() == store.keys()
    assert listed.child("trials").keys("deep") == ["deep/c"]


def test_names_stay_those_of_the_first_list(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root")
    listed = Snapshot(store)
    assert listed.keys("trials") == []
    store.write("trials/a", b"1")
    assert listed.keys("trials") == []
    assert listed.read("trials/a") == b"1"


@pytest.mark.parametrize("bundled", [False, True])
@pytest.mark.parametrize(
    "look",
    [
        lambda name: inspect.status(name, "counted"),
        lambda name: inspect.status(name, "counted", as_json=True),
        lambda name: inspect.results(name, storage="counted"),
        lambda name: inspect.results(name, sql="select count(*) from metrics", storage="counted"),
        lambda name: load_study(NamedJob(name, inspect.name_job(name, "counted").root).store),
    ],
    ids=["status", "status --json", "results", "results --sql", "report"],
)
def test_each_folder_is_listed_once(
    look: Callable[[str], object], bundled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("orchestrator.store.tables", "orchestrator.state.bundling"):
        monkeypatch.setattr(f"{module}.LEAST", 4)
    job, store = fill(str(tmp_path / "results"), 8)
    if bundled:
        bundle_results(store)
    lists: Counter[str] = Counter()
    root = Counting(LocalStore(tmp_path / "results"), lists)
    monkeypatch.setattr(inspect, "name_job", lambda name, _storage: NamedJob(name, root))
    look(job.header.name)
    assert lists
    assert set(lists.values()) == {1}, lists
