"""Figures of a report: those of earlier ones are removed, and what anyone else put there stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.errors import StorageError, StorageUnavailable
from orchestrator.report.figure_files import write_figures
from orchestrator.store.local import LocalStore

HASH_OF_1 = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "study")


def figures(store: LocalStore) -> dict[str, bytes]:
    return {key.removeprefix("report/figures/"): store.read(key) for key in store.keys("report/figures")}


def test_figures_of_an_earlier_report_are_removed_and_nothing_else(store: LocalStore) -> None:
    write_figures(store, {"a": b"1", "b": b"2", "c": b"3"})
    for key in ("report/figures/mine.png", "report/figures/notes.txt", "report/figures/sub/a.png", "report/mine.html"):
        store.write(key, b"mine")
    store.write("report/figures/c.png", b"changed")
    write_figures(store, {"b": b"22"})
    assert figures(store) == {
        "b.png": b"22",
        "c.png": b"changed",
        "mine.png": b"mine",
        "notes.txt": b"mine",
        "sub/a.png": b"mine",
    }
    assert store.exists("report/mine.html")


def test_figures_of_a_report_that_was_killed_are_removed_by_the_next(store: LocalStore) -> None:
    class Killed(LocalStore):
        def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
            if key.endswith("b.png"):
                raise StorageUnavailable("killed")
            return super().write(key, data, replace=replace)

    with pytest.raises(StorageUnavailable):
        write_figures(Killed(Path(store.uri)), {"a": b"1", "b": b"2"})
    assert figures(store) == {"a.png": b"1"}
    write_figures(store, {"c": b"3"})
    assert figures(store) == {"c.png": b"3"}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"[" * 100_000, b"\xff", b'{"a.png": 1}', b" " * 1_000_001),
        *(
            json.dumps({name: HASH_OF_1}).encode()
            for name in (
                "../../job.yaml",
                "sub/a.png",
                "../figures/a.png",
                "a.txt",
                "",
                "/etc/a.png",
                "a\x00.png",
                ".png\n",
            )
        ),
    ],
)
def test_a_list_that_is_damaged_or_hostile_removes_nothing(store: LocalStore, content: bytes) -> None:
    kept = ("job.yaml", "report/figures/a.png", "report/figures/a.txt", "report/figures/sub/a.png")
    for key in kept:
        store.write(key, b"1")
    store.write("report/figures.json", content)
    write_figures(store, {"new": b"2"})
    assert [key for key in kept if store.exists(key)] == list(kept)
    write_figures(store, {"newer": b"2"})
    assert "new.png" not in figures(store)


def test_links_are_no_figures_of_ours(store: LocalStore, tmp_path: Path) -> None:
    write_figures(store, {"a": b"1"})
    (tmp_path / "outside.png").write_bytes(b"1")
    for name in ("figures.json", "figures/a.png"):
        path = Path(store.uri, "report", name)
        (tmp_path / path.name).write_bytes(path.read_bytes())
        path.unlink()
        path.symlink_to(tmp_path / path.name)
        write_figures(store, {"b": b"2"})
        assert (tmp_path / path.name).is_file()
        write_figures(store, {"a": b"1"})
        assert not path.is_symlink()
    Path(store.uri, "report/figures").rename(tmp_path / "elsewhere")
    Path(store.uri, "report/figures").symlink_to(tmp_path / "elsewhere")
    before = sorted((tmp_path / "elsewhere").iterdir())
    with pytest.raises(StorageError, match="is a link"):
        write_figures(store, {"d": b"2"})
    assert sorted((tmp_path / "elsewhere").iterdir()) == before
