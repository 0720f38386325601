"""A folder as storage: what a full, read-only or odd disk and a killed writer do to it."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pandas as pd
import pyarrow as pa
import pytest

from orchestrator.errors import StorageError, StorageUnavailable
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA = pa.schema([("trial_id", pa.string()), ("step", pa.int64())])
KILLED_WHILE_WRITING = """
import os, signal, stat, sys
from pathlib import Path
from orchestrator.store.local import LocalStore
os.fsync = lambda file: stat.S_ISREG(os.fstat(file).st_mode) and os.kill(os.getpid(), signal.SIGKILL)
LocalStore(Path(sys.argv[1])).write("trials/a.parquet", b"half" * 100_000)
"""


def one_line(error: BaseException, *words: str) -> None:
    text = str(error)
    assert text.isprintable()
    for word in words:
        assert word in text, text


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_killed_writer_leaves_nothing_visible(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_rows(store, "trials/b.parquet", SCHEMA, [{"trial_id": "b", "step": 1}])
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2, "the writer was not killed in the middle"
    assert store.keys() == ["trials/b.parquet"]
    assert pd.read_parquet(tmp_path / "trials")["trial_id"].tolist() == ["b"]
    write_rows(store, "trials/a.parquet", SCHEMA, [{"trial_id": "a"}], replace=False)
    assert store.keys() == ["trials/a.parquet", "trials/b.parquet"]


def test_a_killed_writer_leaves_the_old_blob(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write("trials/a.parquet", b"old")
    subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path)], check=False)
    assert store.read("trials/a.parquet") == b"old"


def test_a_relative_root_means_the_folder_it_was_opened_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = LocalStore(Path("results"))
    monkeypatch.chdir("/")
    store.write("a", b"1")
    assert (tmp_path / "results" / "a").read_bytes() == b"1"
    assert store.uri == str(tmp_path / "results")


def test_a_root_that_is_a_link_works(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    store = LocalStore(tmp_path / "root")
    store.check()
    store.write("a/b", b"1")
    assert store.keys() == ["a/b"]
    assert names(tmp_path / "disk") == ["a/b"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        LocalStore(tmp_path).write("a", b"1")
        LocalStore(tmp_path).write("b", b"1", replace=False)
    finally:
        os.umask(before)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in "ab"} == {0o640}


def test_names_that_are_no_keys_are_not_listed(tmp_path: Path) -> None:
    for name in ("good", "new\nline", "back\\slash", ".orch-tmp-12"):
        (tmp_path / name).touch()
    assert LocalStore(tmp_path).keys() == ["good"]


@pytest.mark.parametrize("act", [lambda s: s.write("job/a", b"1"), lambda s: s.check()])
def test_a_file_where_a_folder_is_needed(tmp_path: Path, act: Callable[[LocalStore], object]) -> None:
    blocker = tmp_path / "results"
    blocker.write_bytes(b"precious")
    with pytest.raises(StorageError) as caught:
        act(LocalStore(blocker))
    one_line(caught.value, f"{blocker} is not a folder", "or choose another storage")
    assert blocker.read_bytes() == b"precious"


@pytest.mark.parametrize("replace", [True, False])
def test_a_folder_where_a_file_is_needed(tmp_path: Path, replace: bool) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(StorageError) as caught:
        LocalStore(tmp_path).write("a", b"1", replace=replace)
    one_line(caught.value, f"{tmp_path}/a: cannot write: there is a folder of that name")
    assert names(tmp_path) == []


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        LocalStore(tmp_path.joinpath(*["x" * 200] * 30)).write("a", b"1")
    one_line(caught.value, "the path is too long")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "orch-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    store = LocalStore(small_disk)
    store.write("a", b"old" * 1000)
    for replace, key in ((True, "a"), (False, "b")):
        with pytest.raises(StorageError) as caught:
            store.write(key, b"new" * 1_000_000, replace=replace)
        one_line(caught.value, f"{small_disk}/{key}: cannot write: the disk is full; free some space")
    assert store.read("a") == b"old" * 1000
    assert names(small_disk) == ["a"], "what could not be finished still takes room"
    assert store.write("c", b"new")


def test_a_read_only_disk(small_disk: Path) -> None:
    store = LocalStore(small_disk)
    store.write("a", b"1")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for act in (lambda: store.write("b", b"2"), lambda: store.delete("a"), store.check):
        with pytest.raises(StorageError) as caught:
            act()
        one_line(caught.value, str(small_disk), "the file system is read-only; mount it for writing")
    assert store.read("a") == b"1"
    assert store.keys() == ["a"]


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError) as caught:
            LocalStore(tmp_path).write("a", b"1" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    one_line(caught.value, "larger than allowed", "ulimit -f")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.ENOSPC, StorageError, "the disk is full; free some space"),
        (errno.EDQUOT, StorageError, "quota"),
        (errno.EROFS, StorageError, "read-only"),
        (errno.EACCES, StorageError, "permission denied; give this user"),
        (errno.EIO, StorageError, "check the disk"),
        (errno.EMFILE, StorageError, "ulimit -n"),
        (errno.EBADMSG, StorageError, os.strerror(errno.EBADMSG)),
        (errno.ESTALE, StorageUnavailable, "check the mount"),
    ],
)
@pytest.mark.parametrize("call", ["write", "read", "keys", "delete", "check"])
def test_what_the_system_refuses_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    code: int,
    kind: type[StorageError],
    words: str,
) -> None:
    store = LocalStore(tmp_path / "root")
    store.write("a", b"1")

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    calls: dict[str, tuple[str, Callable[[], object]]] = {
        "write": ("fsync", lambda: store.write("a", b"2")),
        "read": ("open", lambda: store.read("a")),
        "keys": ("scandir", lambda: store.keys()),
        "delete": ("unlink", lambda: store.delete("a")),
        "check": ("fsync", store.check),
    }
    name, act = calls[call]
    with monkeypatch.context() as patch:
        patch.setattr(os, name, refuse)
        with pytest.raises(kind) as caught:
            act()
    assert type(caught.value) is kind
    one_line(caught.value, str(tmp_path / "root"), words)
    assert store.read("a") == b"1"
    assert names(tmp_path) == ["root/a"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
def test_a_disk_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    store = LocalStore(tmp_path)
    assert store.write("a", b"1", replace=False)
    assert not store.write("a", b"2", replace=False)
    assert store.read("a") == b"1"
    assert names(tmp_path) == ["a"]
