"""Whatever lies in a job's folder, commands that read it end in order, and no terminal gets what it would obey."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.spec.columns import declared
from orchestrator.spec.job import Job, load_job
from orchestrator.state.files import RunState, write_job, write_state
from orchestrator.state.ledger import Status, provenance, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.local import LocalStore

ESCAPE = "\x1b[31m\x1b]0;owned\x07\x9b2J\u202e[red][link=http://x]"
TAMED = r"\x1b[31m\x1b]0;owned\x07\x9b2J\u202e[red][link=http://x]"


@pytest.fixture
def job(folder: Path, store: LocalStore) -> Job:
    job = load_job(folder / "job.yaml")
    write_job(store, job)
    return job


def put(store: LocalStore, key: str, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    store.write(key, buffer.getvalue())


PLACES: dict[str, tuple[str, ...]] = {
    "column": ("results", "study", "--sql", f'select 1 as "{ESCAPE}"'),
    "value": ("results", "study", "--sql", f"select '{ESCAPE}' as x"),
    "error of SQL": ("results", "study", "--sql", f"select error('{ESCAPE}')"),
    "unknown column": ("results", "study", "--sql", f'from trials select "{ESCAPE}"'),
    "error of a trial": ("status", "study"),
    "column of a file": ("results", "study"),
    "its value": ("results", "study", "--sql", "from trials select new"),
    "error in a table": ("results", "study"),
    "cluster": ("status", "study"),
    "log": ("logs", "study"),
    "evaluation": ("results", "study", "--evaluation", ESCAPE),
}


@pytest.mark.parametrize("place", PLACES)
def test_escapes_are_printed_as_text(orch: Callable[..., Any], store: LocalStore, job: Job, place: str) -> None:
    done, odd, *_ = job.trials
    record(store, "study", done, Status.FAILED, {"error": ESCAPE, "error_kind": "program"}, provenance())
    put(store, f"trials/{odd.id}.parquet", pa.table({"trial_id": [odd.id], "status": ["stopped"], "new": [ESCAPE]}))
    put(store, f"metrics/{odd.id}.parquet", pa.table({"trial_id": [odd.id], ESCAPE: [{"a": 1}]}))
    if place == "column of a file":
        put(store, f"trials/{odd.id}.parquet", pa.table({"trial_id": [odd.id], ESCAPE: [{"a": 1}]}))
    write_state(store, RunState("done", 0.0, 0.0, 3, address=f"http://{ESCAPE}", submission_id=ESCAPE))
    store.write("run.log", f"{ESCAPE}\nsecond line {ESCAPE}\n".encode())
    ran = orch(*PLACES[place])
    text = ran.out + ran.err
    assert ran.code in (0, 2)
    assert text.replace("\n", "").isprintable()
    assert TAMED in text


KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats()),
    (pa.string(), st.text(max_size=20) | st.just(ESCAPE) | st.just("x" * 100_000) | st.sampled_from(list(Status))),
    (pa.bool_(), st.booleans()),
    (pa.binary(), st.binary(max_size=5)),
    (pa.timestamp("us", tz="UTC"), st.integers(-(2**63), 2**63 - 1)),
    (pa.timestamp("ns"), st.integers(-(2**63), 2**63 - 1)),
    (pa.date32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.duration("s"), st.integers(-(2**40), 2**40)),
    (pa.list_(pa.float64()), st.lists(st.floats(), max_size=2)),
    (pa.struct([("a", pa.int64())]), st.fixed_dictionaries({"a": st.integers(0, 5)})),
    (pa.null(), st.none()),
]


@st.composite
def columns(draw: st.DrawFn, folder: str, owner: str) -> pa.Table:
    """A table with some columns that a folder's files have, of dtypes and values that they may not have."""
    names = [*declared(folder).names, "new", "model.kind.x", "a.b.c", ESCAPE]
    chosen = draw(st.lists(st.sampled_from(names), max_size=8, unique=True))
    rows = draw(st.integers(0, 2)) if draw(st.integers(0, 9)) == 0 else 1
    found = {"trial_id": pa.array([owner] * rows, pa.string())} if draw(st.integers(0, 4)) else {}
    for name in chosen:
        index = declared(folder).get_field_index(name)
        own = [kind for kind in KINDS if index >= 0 and kind[0] == declared(folder).field(index).type]
        dtype, values = draw(st.sampled_from(own * len(KINDS) + KINDS))
        if name not in found:
            found[name] = pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), dtype)
    return pa.table(found)


COMMANDS = (
    ("status", "study"),
    ("results", "study"),
    ("results", "study", "--sql", "select * from trials"),
    ("results", "study", "--sql", "select health, max(step) from metrics group by all"),
    ("results", "study", "--csv", "-"),
    ("results", "study", "--json"),
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_files_hold_commands_end_in_order(
    orch: Callable[..., Any], store: LocalStore, job: Job, data: st.DataObject
) -> None:
    for folder in ("trials", "metrics"):
        shutil.rmtree(f"{store.uri}/{folder}", ignore_errors=True)
    for trial in job.trials[:3]:
        for folder in ("trials", "metrics"):
            put(store, f"{folder}/{trial.id}.parquet", data.draw(columns(folder, trial.id)))
    key = f"trials/{job.trials[0].id}.parquet"
    content = bytearray(store.read(key))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] ^= data.draw(st.integers(1, 255))
    store.write(key, bytes(content))
    for command in COMMANDS:
        ran = orch(*command)
        assert ran.code in (0, 2), (command, ran)
        assert "Traceback" not in ran.err, (command, ran)
        if command[-1] not in ("-", "--json"):
            assert ran.out.replace("\n", "").isprintable(), command
        assert ran.err.replace("\n", "").isprintable(), command
