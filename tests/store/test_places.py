"""A folder as storage in which others put links, pipes and drafts, and which they move: nothing outside is touched."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle
import pytest

from orchestrator.errors import NotFoundError, StorageError, StorageMovedError
from orchestrator.store import s3 as s3_module
from orchestrator.store.drafts import draft
from orchestrator.store.local import LocalStore
from tests.store.test_local import KILLED_WHILE_WRITING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANARY = b"canary"
KEYS = [
    "job.yaml",
    "lease/00000001.json",
    "trials/0123456789abcdef.parquet",
    "samples/0123456789abcdef/epoch-0001.png",
    "report/figures/curves.png",
]
LINKED = sorted({"/".join(["study", *key.split("/")[:depth]]) for key in KEYS for depth in range(4)})
"""Every folder and file of a job, its own folder included, below the root of a storage."""


def state_of(folder: Path) -> list[tuple[str, bytes | None, int, int, int]]:
    """All that can be told of a folder and what is in it."""
    found = []
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else None
        found.append((str(path), content, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder laid out as a job's, beside the storage; a test that changes anything in it fails."""
    for key in KEYS:
        path = tmp_path / "outside" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CANARY)
    before = state_of(tmp_path / "outside")
    yield tmp_path / "outside"
    assert state_of(tmp_path / "outside") == before


@pytest.fixture
def study(tmp_path: Path) -> LocalStore:
    """The root of a job in a storage."""
    store = LocalStore(tmp_path / "results").child("study")
    for key in KEYS:
        store.write(key, b"own")
    return store


def replace(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)


def every_call(store: LocalStore) -> Iterator[Callable[[], object]]:
    for key in (*KEYS, *(f"{key}.new" for key in KEYS)):
        above, name = key.rpartition("/")[::2]
        yield lambda key=key: store.read(key)
        yield lambda key=key: store.exists(key)
        yield lambda above=above: store.keys(above)
        yield lambda above=above: store.child(above).folders() if above else store.folders()
        yield lambda key=key: store.write(key, b"1", replace=False)
        yield lambda key=key: store.write(key, b"2")
        yield lambda key=key: store.delete(key)
        yield lambda above=above, name=name: store.child(above).delete(name) if above else None
    yield store.check
    yield store.check_place
    yield store.tidy
    yield lambda: store.sibling("_shared").write("a", b"1")


@pytest.mark.parametrize("to", ["what is there", "nothing", "itself"])
@pytest.mark.parametrize("linked", LINKED)
def test_no_link_below_the_root_is_followed(
    tmp_path: Path, study: LocalStore, outside: Path, linked: str, to: str
) -> None:
    inner = linked.removeprefix("study").removeprefix("/")
    place = tmp_path / "results" / linked
    replace(place, {"what is there": outside / inner, "nothing": outside / "none", "itself": place}[to])
    for call in every_call(study):
        with suppress(StorageError):
            assert call() != CANARY
    assert not (outside / "none").exists()


@pytest.mark.parametrize("linked", LINKED)
def test_a_link_in_the_way_is_named_with_the_remedy(
    tmp_path: Path, study: LocalStore, outside: Path, linked: str
) -> None:
    inner = linked.removeprefix("study").removeprefix("/")
    replace(tmp_path / "results" / linked, outside / inner)
    key = next(key for key in KEYS if key.startswith(inner))
    for call in (lambda: study.read(key), lambda: study.exists(key), lambda: study.write(key, b"1", replace=False)):
        with pytest.raises(StorageError) as caught:
            call()
        assert not isinstance(caught.value, NotFoundError)
        assert str(caught.value) == (
            f"{tmp_path}/results/{linked} is a link, and none is followed below a storage; put what it leads to in its "
            "place, or name the folder that holds that with --storage"
        )


def test_a_storage_that_the_user_reaches_by_links_works(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "disk")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    store = LocalStore(tmp_path / "b" / "results").child("study")
    store.check()
    store.write("trials/a", b"1")
    assert (tmp_path / "disk/results/study/trials/a").read_bytes() == b"1"
    assert store.uri == f"{tmp_path}/b/results/study"


def test_links_among_jobs_are_no_jobs(tmp_path: Path, study: LocalStore, outside: Path) -> None:
    (tmp_path / "results" / "other").symlink_to(outside)
    assert LocalStore(tmp_path / "results").folders() == ["study"]


def test_a_row_that_is_a_link_does_not_seem_to_be_absent(tmp_path: Path, study: LocalStore, outside: Path) -> None:
    replace(tmp_path / "results/study/trials/0123456789abcdef.parquet", outside / "job.yaml")
    assert study.keys("trials") == ["trials/0123456789abcdef.parquet"]


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_is_no_file_is_neither_waited_for_nor_read(tmp_path: Path, study: LocalStore, kind: str) -> None:
    place = tmp_path / "results/study/trials/odd"
    if kind == "pipe":
        os.mkfifo(place)
        act = study
    else:
        with pytest.MonkeyPatch.context() as patch, socket.socket(socket.AF_UNIX) as bound:
            patch.chdir(place.parent)  # a socket's path must be short
            bound.bind("odd")
        act = study
    with pytest.raises(StorageError) as caught:
        act.read("trials/odd")
    assert str(caught.value) == f"{place} is no regular file, so that it is not read; move it elsewhere"
    assert not act.exists("trials/odd")


def test_no_folder_that_is_swapped_for_a_link_is_followed(tmp_path: Path, study: LocalStore, outside: Path) -> None:
    """The folder is a link for half of the time, and changes some thousand times a second."""
    folder = tmp_path / "results/study/trials"
    over = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        while not over.is_set():
            swaps += 1
            aside = folder.with_name(f"aside-{swaps}")
            folder.rename(aside)
            with suppress(FileExistsError):  # it was made anew by a write
                folder.symlink_to(outside / "trials")
            while aside.exists():
                if folder.is_symlink():
                    folder.unlink()
                with suppress(OSError):  # it is not empty
                    aside.rename(folder)
                if aside.exists():
                    swaps += 1
                    folder.rename(folder.with_name(f"anew-{swaps}"))

    thread = threading.Thread(target=swap)
    thread.start()
    name = "0123456789abcdef.parquet"
    give_up = time.monotonic() + 0.5
    refused = 0
    try:
        while time.monotonic() < give_up:
            for call in (
                lambda: study.read(f"trials/{name}"),
                lambda: study.keys("trials"),
                lambda: study.write("trials/new", b"1"),
                lambda: study.write("trials/newer", b"1", replace=False),
                lambda: study.delete(f"trials/{name}"),
                lambda: study.keys(),
                study.tidy,
            ):
                try:
                    assert call() != CANARY
                except StorageError:
                    refused += 1
    finally:
        over.set()
        thread.join()
    assert swaps > 10
    assert refused > 10


CALLS: dict[str, Callable[[LocalStore], object]] = {
    "read": lambda store: store.read("job.yaml"),
    "exists": lambda store: store.exists("job.yaml"),
    "write": lambda store: store.write("trials/a", b"1"),
    "write new": lambda store: store.write("trials/a", b"1", replace=False),
    "keys": lambda store: store.keys(),
    "folders": lambda store: store.folders(),
    "delete": lambda store: store.delete("job.yaml"),
    "check": lambda store: store.check(),
    "tidy": lambda store: store.tidy(),
}


@pytest.mark.parametrize("sent", [False, True], ids=["here", "in another process"])
@pytest.mark.parametrize("moved", ["results", "results/study"])
@pytest.mark.parametrize("call", CALLS)
def test_a_folder_that_was_moved_away_is_noticed_and_not_made_again(
    tmp_path: Path, study: LocalStore, call: str, moved: str, sent: bool
) -> None:
    store = cloudpickle.loads(cloudpickle.dumps(study)) if sent else study
    (tmp_path / moved).rename(tmp_path / "away")
    with pytest.raises(StorageMovedError) as caught:
        CALLS[call](store)
    assert str(caught.value) == f"{tmp_path}/results/study: was moved away or removed while in use; put it back"
    assert not (tmp_path / moved).exists()
    (tmp_path / "away").rename(tmp_path / moved)
    CALLS[call](store)


def test_a_storage_that_another_takes_the_place_of_is_noticed(tmp_path: Path, study: LocalStore) -> None:
    (tmp_path / "results").rename(tmp_path / "away")
    (tmp_path / "results").mkdir()
    with pytest.raises(StorageMovedError):
        study.write("trials/a", b"1")
    assert list((tmp_path / "results").iterdir()) == []


def names(store: LocalStore, folder: str) -> list[str]:
    return sorted(path.name for path in Path(store.uri, folder).iterdir())


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(names(store, "trials")) == 1
    store.tidy()
    assert names(store, "trials") == []


def test_nothing_else_is_removed(tmp_path: Path, study: LocalStore, outside: Path) -> None:
    root = tmp_path / "results" / "study"
    kept = [f".orch-tmp-{'0' * 15}", f".orch-tmp-{'0' * 16}.png", ".orch-notes", f"orch-tmp-{'0' * 16}", ".hidden"]
    for name in kept:
        (root / name).touch()
    (root / f".orch-tmp-{'1' * 16}").symlink_to(outside / "job.yaml")
    (root / f".orch-tmp-{'2' * 16}").mkdir()
    os.mkfifo(root / f".orch-tmp-{'3' * 16}")
    for number, kind in ((4, "tmp"), (5, "check")):
        (root / "trials" / f".orch-{kind}-{str(number) * 16}").touch()
    before = set(names(study, ""))
    study.tidy()
    assert set(names(study, "")) == before
    assert names(study, "trials") == ["0123456789abcdef.parquet"]


def test_the_draft_of_a_writer_that_lives_is_kept(tmp_path: Path, study: LocalStore) -> None:
    folder = os.open(f"{study.uri}/trials", os.O_RDONLY)
    with draft(folder, "tmp") as (_, name):
        study.tidy()
        assert name in names(study, "trials")
    assert name not in names(study, "trials")
    os.close(folder)


def test_of_writers_and_tidiers_none_loses_what_it_wrote(study: LocalStore) -> None:
    over = threading.Event()

    def tidy() -> None:
        while not over.is_set():
            study.tidy()

    thread = threading.Thread(target=tidy)
    thread.start()
    try:
        for number in range(50):
            study.write(f"trials/{number}", b"1")
            study.check()
    finally:
        over.set()
        thread.join()
    assert len(study.keys("trials")) == 51


def test_what_was_written_is_there_after_a_loss_of_power(study: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is synced after a file got its name in it, and after a folder was made in it."""
    done: list[tuple[str, str]] = []

    def name_of(handle: int) -> str:
        return str(Path(f"/proc/self/fd/{handle}").readlink()).removeprefix(study.uri)

    def wrap(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: object, **named: object) -> object:
            handle = named.get("dst_dir_fd", named.get("dir_fd", arguments[0]))
            assert isinstance(handle, int)
            done.append((name, name_of(handle)))
            return real(*arguments, **named)

        monkeypatch.setattr(os, name, call)

    if not Path("/proc/self/fd").exists():
        pytest.skip("only Linux tells the names of handles")
    for name in ("fsync", "mkdir", "replace", "link"):
        wrap(name)
    study.write("new/a", b"1")
    study.write("new/b", b"1", replace=False)
    file, folder = ("fsync", "/new/.orch-tmp"), ("fsync", "/new")
    seen = [(name, place[: len("/new/.orch-tmp")]) for name, place in done]
    assert seen == [
        *(("mkdir", ""), ("fsync", "")),
        *(file, ("replace", "/new"), folder),
        *(file, ("link", "/new"), folder),
    ]


@pytest.mark.slow
def test_probes_that_a_killed_check_left_in_a_bucket(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = s3_module.S3Store(s3_bucket, "lab/study")
    store.write("a", b"1")
    for number in range(2):
        store._put(f"lab/study/.orch-check-{str(number) * 16}", b"orch")
    store._put("lab/study/.orch-check-notes", b"orch")

    def there() -> list[str]:
        page = store._client().list_objects_v2(Bucket=s3_bucket)
        return [item["Key"].removeprefix("lab/study/") for item in page["Contents"]]

    store.tidy()
    assert len(there()) == 4, "another's check may be at work"
    monkeypatch.setattr(s3_module, "_AT_WORK", -s3_module.timedelta(minutes=1))
    store.tidy()
    assert there() == [".orch-check-notes", "a"]
