"""What every storage promises, a folder and S3 alike."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING
from uuid import uuid4

import cloudpickle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import NotFoundError, StorageError
from orchestrator.store.local import LocalStore
from orchestrator.store.location import check_key

if TYPE_CHECKING:
    from orchestrator.store.location import Store

BAD_KEYS = [
    *("", ".", "..", "/", "/etc/passwd", "a/", "a//b", "a/../b", "../b", "a/.", "a\\b", "a\nb", "a\x00b", "\x7f"),
    *("a/.orch-tmp-1", ".orch-check", "\ud800", "x" * 256, "é" * 128, "/".join(["x" * 99] * 9)),
]
PARTS = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\", exclude_categories=["C", "Z"]), min_size=1, max_size=20
).filter(lambda part: part not in (".", ".."))
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@pytest.mark.parametrize("data", [b"", b"orch", bytes(range(256)) * 8192], ids=["empty", "small", "2 MiB"])
def test_reads_what_was_written(store: Store, data: bytes) -> None:
    assert store.write("trials/a.parquet", data) is True
    assert store.read("trials/a.parquet") == data


def test_replaces_unless_told_not_to(store: Store) -> None:
    assert store.write("a", b"1", replace=False) is True
    assert store.write("a", b"2", replace=False) is False
    assert store.read("a") == b"1"
    assert store.write("a", b"3") is True
    assert store.read("a") == b"3"


def test_a_missing_blob_is_named(store: Store) -> None:
    with pytest.raises(NotFoundError) as caught:
        store.read("trials/none.parquet")
    assert str(caught.value).startswith(f"{store.uri}/trials/none.parquet: ")


def test_a_folder_is_no_blob_and_a_blob_no_folder(store: Store) -> None:
    store.write("a/b", b"1")
    for key in ("a", "a/b/c"):
        with pytest.raises(NotFoundError):
            store.read(key)
        store.delete(key)
        assert not store.exists(key)
    assert store.exists("a/b")
    assert store.keys() == ["a/b"]
    assert store.keys("a/b") == []


def test_keys_are_sorted_and_complete(store: Store) -> None:
    names = ["b", "a/b", "a-b", "a.b", "aB", "a/b-c/d", "a/b.c", "Z", "é/ü", "日本", "_x", ".x", "a b/c+d%2F", "~"]
    for name in reversed(names):
        store.write(name, b"1")
    assert store.keys() == sorted(names)
    assert all(store.read(name) == b"1" for name in store.keys(""))


def test_a_prefix_is_a_folder_not_the_start_of_a_name(store: Store) -> None:
    for key in ("trials/x", "trials/sub/y", "trials2/z", "tri"):
        store.write(key, b"1")
    assert store.keys("trials") == ["trials/sub/y", "trials/x"]
    assert store.keys("tri") == []
    assert store.keys("nothing/here") == []


def test_sizes_are_of_the_same_keys(store: Store) -> None:
    contents = {"a": b"", "trials/x": b"1", "trials/sub/y": b"22", "trials2/z": bytes(4000)}
    for key, data in contents.items():
        store.write(key, data)
    assert store.sizes() == {key: len(data) for key, data in contents.items()}
    assert store.sizes("trials") == {"trials/x": 1, "trials/sub/y": 2}
    assert store.sizes("trials").keys() == store.stamps("trials").keys()
    assert store.sizes("nothing") == {}


def test_an_empty_storage_has_no_keys(store: Store) -> None:
    assert store.keys() == []


def test_folders_are_those_directly_below_the_root(store: Store) -> None:
    assert store.folders() == []
    for key in ("b/x/y", "b/z", "a/x", "ab", ".orch-tmp-1"[1:] + "/x"):
        store.write(key, b"1")
    assert store.folders() == ["a", "b", "orch-tmp-1"]
    assert store.child("b").folders() == ["x"]


def test_a_long_list_is_whole(store: Store) -> None:
    keys = [f"metrics/{n:05d}.parquet" for n in range(1001)]  # S3 lists 1,000 at a time
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.write(key, key.encode()), keys))
        assert store.keys("metrics") == keys
        assert list(pool.map(store.read, keys)) == [key.encode() for key in keys]


def test_delete_can_be_repeated(store: Store) -> None:
    store.write("a/b", b"1")
    store.delete("a/b")
    store.delete("a/b")
    assert store.keys() == []


def test_a_child_sees_its_folder_only(store: Store) -> None:
    child = store.child("jobs").child("one")
    child.write("x/y", b"1")
    store.write("z", b"2")
    assert store.read("jobs/one/x/y") == b"1"
    assert child.keys() == ["x/y"]
    assert child.uri == f"{store.uri}/jobs/one"


def test_check_leaves_nothing_behind(store: Store) -> None:
    store.check()
    store.write("a", b"1")
    store.check()
    assert store.keys() == ["a"]


@pytest.mark.parametrize("key", BAD_KEYS, ids=range(len(BAD_KEYS)))
def test_bad_keys_are_refused_in_one_line(store: Store, key: str) -> None:
    tries = [
        lambda: store.read(key),
        lambda: store.write(key, b"1"),
        lambda: store.delete(key),
        lambda: store.child(key),
        lambda: store.keys(key or ".."),
    ]
    for attempt in tries:
        with pytest.raises(StorageError) as caught:
            attempt()
        assert not isinstance(caught.value, NotFoundError)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300
    assert store.keys() == []


@FEW
@given(key=KEYS, data=st.binary(max_size=100))
def test_any_good_key_comes_back(store: Store, key: str, data: bytes) -> None:
    new = store.child(uuid4().hex)
    new.write(key, data)
    assert new.keys() == [key]
    assert new.read(key) == data
    new.delete(key)
    assert new.keys() == []


@given(st.text(max_size=30))
def test_no_key_leaves_the_root(key: str) -> None:
    try:
        check_key(key)
    except StorageError:
        return
    parts = key.split("/")
    assert ".." not in parts
    assert "." not in parts
    assert all(parts)
    assert key.isprintable()


def test_of_many_first_writers_one_wins(store: Store) -> None:
    if not isinstance(store, LocalStore):
        pytest.skip("the S3 server of the tests does not decide two puts at the same instant")
    writers = 16
    for turn in range(10):
        start = Barrier(writers)

        def claim(writer: int, turn: int = turn, start: Barrier = start) -> bool:
            start.wait()
            return store.write(f"claims/{turn}", b"%d" % writer * 5000, replace=False)

        with ThreadPoolExecutor(writers) as pool:
            won = list(pool.map(claim, range(writers)))
        assert won.count(True) == 1
        assert store.read(f"claims/{turn}") == b"%d" % won.index(True) * 5000
    assert len(store.keys()) == 10


def test_readers_never_see_half_a_blob(store: Store) -> None:
    blobs = [b"a" * 300_000, b"b" * 200_000]
    store.write("x", blobs[0])
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(store.write, "x", blobs[n % 2]) for n in range(60)]
        seen = {store.read("x") for _ in range(60)}
        assert all(write.result() for write in writes)
    assert seen <= set(blobs)


def test_works_in_another_process(store: Store) -> None:
    store.write("a", b"from the first")
    sent = cloudpickle.dumps(store)
    assert b"hush" not in sent
    program = (
        "import sys, pickle; store = pickle.load(sys.stdin.buffer); "
        "assert store.read('a') == b'from the first'; store.write('b', b'from the second')"
    )
    subprocess.run([sys.executable, "-c", program], input=sent, check=True, cwd="/")
    assert store.read("b") == b"from the second"
