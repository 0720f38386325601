"""job.yaml and run.json beside a job's results."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import yaml

from orchestrator.errors import NotFoundError, SettingsError, StorageError
from orchestrator.spec import yaml_file
from orchestrator.state import files
from orchestrator.state.files import (
    Nodes,
    RunState,
    ask_to_cancel,
    asked_to_cancel,
    forget_cancel,
    has_job,
    read_job,
    read_state,
    to_json,
    write_job,
    write_state,
)
from orchestrator.state.handovers import read_handover
from orchestrator.state.held_out import read_held_out
from orchestrator.state.lease import last_entry
from orchestrator.state.log import read_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.job import Job
    from orchestrator.store.local import LocalStore


def test_a_job_is_read_back_as_it_was_submitted(store: LocalStore, make: Callable[..., Job]) -> None:
    job = make({"training.seed": [0, 1], "rates": [{"training.g_optimizer.lr": 0.1}]}, name="2e4", description="é: a\n")
    write_job(store, job)
    again = read_job(store)
    assert (again.header, again.trials) == (job.header, job.trials)


def test_the_last_submission_takes_the_place_of_those_before(store: LocalStore, make: Callable[..., Job]) -> None:
    write_job(store, make({"training.seed": [0, 1]}))
    write_job(store, make({"training.seed": [2]}))
    assert len(read_job(store).trials) == 1


def test_the_file_tells_what_ran_it_to_any_reader_of_yaml(store: LocalStore, make: Callable[..., Job]) -> None:
    write_job(store, make())
    raw = yaml.safe_load(store.read("job.yaml"))
    assert set(raw["provenance"]) == {"spec_version", "orch_version", "torch_version", "git_commit", "git_dirty"}
    assert raw["training"]["epochs"] == 2


def test_a_job_that_could_not_be_read_back_is_not_written(
    store: LocalStore, make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_job(store, make())
    before = store.read("job.yaml")
    with monkeypatch.context() as patch:
        patch.setattr(files, "JOB_BYTES", 100)
        with pytest.raises(SettingsError, match=r"job\.yaml: would be too large, expected at most 100 bytes"):
            write_job(store, make({"training.seed": [1]}))
        patch.undo()
        patch.setattr(yaml_file, "MAX_NODES", 50)
        with pytest.raises(SettingsError, match=r"job\.yaml: holds more than 50 values"):
            write_job(store, make({"training.seed": [1]}))
    assert store.read("job.yaml") == before


READERS: dict[str, Callable[[LocalStore], object]] = {
    "job.yaml": read_job,
    "run.json": read_state,
    "cancel.json": lambda store: asked_to_cancel(store, RunState("running", 1.0, 2.0, 1)),
    "handover.json": read_handover,
    "evaluated.json": read_held_out,
    "run.log": read_log,
    "lease/00000001.json": last_entry,
}


@pytest.mark.parametrize("key", READERS)
def test_no_reader_takes_in_a_huge_file(store: LocalStore, key: str) -> None:
    """The file has holes only, but whoever read it whole would fill memory."""
    store.write(key, b"")
    os.truncate(f"{store.uri}/{key}", 1 << 40)
    with pytest.raises(StorageError) as caught:
        READERS[key](store)
    assert str(caught.value).startswith(f"{store.uri}/{key}: larger than the ")
    assert str(caught.value).endswith(" bytes that such a file may have; move it elsewhere")


def test_whether_there_is_a_job_is_known_without_reading_it(store: LocalStore) -> None:
    assert not has_job(store)
    store.write("job.yaml", b"")
    os.truncate(f"{store.uri}/job.yaml", 1 << 40)
    assert has_job(store)


def test_no_job(store: LocalStore) -> None:
    with pytest.raises(NotFoundError) as caught:
        read_job(store)
    assert str(caught.value) == (f"{store.uri}: no such job; 'orch submit' makes one, --storage looks elsewhere")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", StorageError, "damaged; submit the job file again"),
        (b"- a\n", StorageError, "damaged; submit the job file again"),
        (
            b"name: [",
            SettingsError,
            "line 1, column 8: not valid YAML: expected the node content, but found '<stream end>'",
        ),
        (b"\x00\x01\xff", SettingsError, r"line 1: not valid YAML: character '\x00'"),
        (
            b"name: study\n",
            SettingsError,
            "data: is missing, expected name: celeba | digits | fashion_mnist | image_folder | mnist | procedural_fish",
        ),
        (b"colour: []\n", SettingsError, "colour: unknown key; allowed: name, "),
    ],
)
def test_a_damaged_job_is_one_line(store: LocalStore, content: bytes, error: type[Exception], message: str) -> None:
    store.write("job.yaml", content)
    with pytest.raises(error) as caught:
        read_job(store)
    assert str(caught.value).startswith(f"{store.uri}/job.yaml: {message}")
    assert str(caught.value).isprintable()


def test_a_run_s_state_is_read_back(store: LocalStore) -> None:
    state = RunState("running", 1.0, 2.5, 10, ended=3, failed=1, running={"ab12": (5, 30)})
    write_state(store, state)
    assert read_state(store) == state


def test_a_run_on_a_cluster_tells_where(store: LocalStore) -> None:
    state = RunState("running", 1.0, 2.5, 10, address="http://a:1", submission_id="orch-a-1", nodes=Nodes(3, 2, 1))
    write_state(store, state)
    assert read_state(store) == state


def test_the_state_of_an_older_version_is_read(store: LocalStore) -> None:
    store.write("run.json", b'{"state": "done", "started_at": 1.0, "updated_at": 2.5, "to_run": 3, "gone": 1}')
    assert read_state(store) == RunState("done", 1.0, 2.5, 3)


def test_word_to_stop_is_for_one_run_only(store: LocalStore) -> None:
    one, other = RunState("running", 1.0, 2.0, 1, run_id="a1"), RunState("running", 1.0, 2.0, 1, run_id="b2")
    assert not asked_to_cancel(store, one)
    ask_to_cancel(store, one)
    assert asked_to_cancel(store, one)
    assert not asked_to_cancel(store, other)
    forget_cancel(store)
    forget_cancel(store)
    assert not asked_to_cancel(store, one)


NESTED = b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
"""More levels than Python's own JSON reader can go down."""


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"run": "now"}', NESTED])
def test_a_damaged_word_is_none(store: LocalStore, content: bytes) -> None:
    store.write("cancel.json", content)
    assert not asked_to_cancel(store, RunState("running", 1.0, 2.0, 1))


def test_a_run_begins_with_nothing_done() -> None:
    state = RunState("running", 1.0, 1.0, 10)
    assert (state.ended, state.failed, state.running) == (0, 0, {})


def test_no_run(store: LocalStore) -> None:
    assert read_state(store) is None


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b'{"state": "running"}', b"\xff", b'{"state": 1, "to_run": "x"}', NESTED),
        b'{"state": "running", "started_at": 1, "updated_at": Infinity, "to_run": 1}',
        b'{"state": "running", "started_at": 1, "updated_at": -1e300, "to_run": 1}',
        b'{"state": "running", "started_at": 1e300, "updated_at": 1, "to_run": 1}',
        b'{"state": "running", "started_at": 1, "updated_at": 1, "to_run": 1, "process": {"host": "a", "pid": 0}}',
    ],
)
def test_a_damaged_state_is_one_line(store: LocalStore, content: bytes) -> None:
    store.write("run.json", content)
    with pytest.raises(StorageError) as caught:
        read_state(store)
    assert str(caught.value) == f"{store.uri}/run.json: damaged; delete it"


def test_json_keeps_the_order_of_its_keys() -> None:
    assert to_json({"b": 1, "a": [None, True]}) == '{\n  "b": 1,\n  "a": [\n    null,\n    true\n  ]\n}'
