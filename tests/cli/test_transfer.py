"""copy: a job goes to another storage whole, and what cannot be copied is refused in a line."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.spec.job import Job, load_job
from orchestrator.state.files import RunState, write_job, write_state
from orchestrator.state.lease import last_entry, new_holder, take
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.store.local import LocalStore
from orchestrator.store.s3 import S3Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.location import Store
    from tests.s3 import Proxy


pytestmark = pytest.mark.usefixtures("soon")


@pytest.fixture
def job(folder: Path, store: LocalStore) -> Job:
    """Four trials, of which two are done, with checkpoints; a stranger's file beside them."""
    job = load_job(folder / "job.yaml")
    write_job(store, job)
    for trial in job.trials[:2]:
        record(store, "study", trial, Status.FINISHED, {"step": 30, "fid": 1.0}, provenance())
        store.write(f"checkpoints/{trial.id}.pt", bytes(100_000))
    write_state(store, RunState("done", time.time() - 9, time.time() - 1, 2, ended=2, run_id="a" * 16))
    store.write("notes.txt", b"a stranger's")
    store.sibling("_classifiers").write(f"{'0' * 32}.pt", b"a classifier")
    return job


def whole(store: Store, copy: Store) -> bool:
    kept = {key for key in store.keys() if not key.startswith("lease/")} - {"notes.txt"}  # noqa: SIM118
    there = {key for key in copy.keys() if not key.startswith("lease/")}  # noqa: SIM118
    return kept == there and all(store.read(key) == copy.read(key) for key in kept)


def test_between_folders(orch: Callable[..., Any], job: Job, store: LocalStore, folder: Path) -> None:
    before = store.stamps()
    ran = orch("copy", "study", "results", "elsewhere")
    assert (ran.code, ran.err) == (0, "left out: 1 file that orch has not written, such as notes.txt\n")
    assert ran.out.startswith(f"copied study to {folder}/elsewhere/study: 6 files, 2")
    copy = LocalStore(folder / "elsewhere").child("study")
    assert whole(store, copy)
    assert store.stamps() == before, "nothing is written where it is copied from"
    assert copy.sibling("_classifiers").read(f"{'0' * 32}.pt") == b"a classifier"
    assert last_entry(copy).holder.released  # type: ignore[union-attr]
    for storage in ("results", "elsewhere"):
        planned = json.loads(orch("plan", "study", "--storage", storage, "--json").out)
        assert (planned["cached"], planned["new"]) == (2, 2)
    assert "has a job of that name already" in orch("copy", "study", "results", "elsewhere").mistake


def test_a_copy_that_is_not_whole_is_no_job(
    orch: Callable[..., Any], job: Job, store: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = LocalStore.write

    def full(self: LocalStore, key: str, data: bytes, *, replace: bool = True) -> bool:
        if key.startswith("trials/"):
            raise KeyboardInterrupt
        return write(self, key, data, replace=replace)

    monkeypatch.setattr(LocalStore, "write", full)
    ran = orch("copy", "study", "results", "elsewhere")
    assert ran.code == 130
    assert "the copy is not whole; the same command goes on with it\n" in ran.err
    monkeypatch.setattr(LocalStore, "write", write)
    line = f"{folder}/elsewhere/study: is an unfinished copy of {store.uri}; the same 'orch copy' goes on with it, "
    for command in ("plan", "submit"):
        assert orch(command, "job.yaml", "--storage", "elsewhere").mistake.startswith(line)
    assert orch("copy", "study", "elsewhere", "third").mistake.startswith(line)
    (listed,) = json.loads(orch("list", "elsewhere", "--json").out)
    assert (listed["job"], listed["state"]) == ("study", "unfinished copy")
    shutil.copytree(folder / "elsewhere", folder / "spare")
    assert orch("rm", "study", "--storage", "spare", "--yes").code == 0
    assert not (folder / "spare" / "study").exists()
    ran = orch("copy", "study", "results", "elsewhere")
    assert ran.code == 0
    assert ran.err.startswith("going on: 3 files are there already\n")
    assert whole(store, LocalStore(folder / "elsewhere").child("study"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("study", "results", "results"), "TO: {}/results is the same storage as FROM, expected another one"),
        (("study", "results", "link"), "TO: {}/link is the same storage as FROM, expected another one"),
        (("study", "results", "results/study"), "TO: {}/results/study is a job's own folder, expected a storage, "),
        (
            ("study", "results", "job.yaml"),
            "{}/job.yaml/study: cannot write: {}/job.yaml is not a folder; move it away",
        ),
        (("study", "results", "gs://x"), "storage: gs:// is not supported, expected a folder such as results or "),
        (("study", "nowhere", "there"), "{}/nowhere/study: no such job; "),
        (("other", "results", "there"), "{}/results/other: no such job; "),
    ],
)
@pytest.mark.usefixtures("job")
def test_mistakes(orch: Callable[..., Any], folder: Path, arguments: tuple[str, ...], line: str) -> None:
    (folder / "link").symlink_to(folder / "results")
    assert orch("copy", *arguments).mistake.startswith(line.replace("{}", str(folder)))
    assert not (folder / "there").exists()


@pytest.mark.parametrize("where", ["results", "elsewhere"])
def test_a_run_at_work_is_left_alone(
    orch: Callable[..., Any], job: Job, store: LocalStore, folder: Path, where: str
) -> None:
    at_work = LocalStore(folder / where).child("study")
    lease = take(at_work, None, new_holder("orch submit"))
    mistake = orch("copy", "study", "results", "elsewhere").mistake
    assert mistake.startswith(f"{folder}/{where}/study: another run of this job is at work on ")
    lease.release()
    assert orch("copy", "study", "results", "elsewhere").code == 0


@pytest.mark.slow
def test_to_a_bucket_to_another_and_back(
    orch: Callable[..., Any], job: Job, store: LocalStore, s3_proxy: Proxy, s3_bucket: str, folder: Path
) -> None:
    """The bucket goes down in the middle; the same command goes on, and writes nothing twice."""
    bucket = f"s3://{s3_bucket}"

    def down(method: str, path: str, _: Any) -> tuple[int, str] | None:
        return (403, "AccessDenied") if method == "PUT" and "/trials/" in path else None

    s3_proxy.answer = down
    ran = orch("copy", "study", "results", f"{bucket}/one")
    assert ran.code == 2
    assert "the copy is not whole" in ran.err
    s3_proxy.answer = lambda *_: None
    s3_proxy.seen.clear()
    assert orch("copy", "study", "results", f"{bucket}/one").code == 0
    puts = [path for method, path, _ in s3_proxy.seen if method == "PUT"]
    assert not [path for path in puts if "/checkpoints/" in path]
    assert whole(store, S3Store(s3_bucket, "one/study"))
    assert orch("copy", "study", f"{bucket}/one", f"{bucket}/two").code == 0
    assert orch("copy", "study", f"{bucket}/two", "back").code == 0
    assert whole(store, LocalStore(folder / "back").child("study"))
    assert orch("rm", "study", "--storage", f"{bucket}/one", "--yes").code == 0
    assert S3Store(s3_bucket, "one/study").keys() == []
