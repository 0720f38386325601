"""A job's folder as a run leaves it, and what a stranger may have put in place of each of its files."""

from __future__ import annotations

import io
import json
import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from PIL import Image

from orchestrator.evaluations.quality.settings import Quality
from orchestrator.spec.columns import evaluation_columns
from orchestrator.spec.job import make_job
from orchestrator.state.files import RunState, write_job, write_state
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.store.columns import METRICS, TRIALS, schema_of
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.spec.job import Job
    from orchestrator.store.local import LocalStore

JOB = {
    "name": "study",
    "description": "Does it hold?",
    "data": {"name": "digits"},
    "model": {"kind": "dcgan", "latent_dim": 8, "width": 4},
    "objective": {"kind": "non_saturating"},
    "training": {"epochs": 2, "batch_size": 100, "measure_every": 1},
    "grid": {"training.d_steps": [1, 3], "training.seed": [0]},
    "evaluate": [{"kind": "quality"}],
    "claims": [
        {
            "id": "steps",
            "says": "More steps of the discriminator cost quality.",
            "measure": "fid",
            "better": "lower",
            "group": {"training.d_steps": 1},
            "than": {"training.d_steps": 3},
        }
    ],
}
ESCAPE = "\x1b]0;owned\x07\x1b[31m"


def whole_job(store: LocalStore) -> Job:
    """Lay out a finished job of two trials, with everything that a run may leave beside them."""
    job = make_job(JOB, "job.yaml")
    write_job(store, job)
    evaluation = Quality(kind="quality")
    for trial in job.trials:
        measures = {"step": 30, "epoch": 2.0, "g_loss": 0.5, "d_loss": 0.1, "fid": 12.0}
        record(store, "study", trial, Status.FINISHED, measures, provenance())
        rows = [{"trial_id": trial.id, "step": step, "epoch": step / 15, "g_loss": step / 4} for step in (10, 20, 30)]
        write_rows(store, f"metrics/{trial.id}.parquet", schema_of(METRICS), rows)
        row = {"trial_id": trial.id, "evaluation_id": evaluation.id, "shard": 0}
        write_rows(store, evaluation.rows_key(trial.id, 0), schema_of(evaluation_columns(Quality)), [row])
        store.write(f"samples/{trial.id}/epoch-0002.png", picture(8, 8))
        store.write(f"checkpoints/{trial.id}.pt", b"no checkpoint")
    write_state(store, RunState("done", time.time() - 9, time.time() - 1, 2, ended=2, run_id="a" * 16))
    store.write(
        "run.log", b"# run of 2026-01-01T00:00:00.000+00:00, times are UTC\n2026-01-01 00:00:00  began\n# end\n"
    )
    return job


def picture(width: int, height: int) -> bytes:
    """A grey PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(buffer, format="png")
    return buffer.getvalue()


JUNK = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"",
            b"{}",
            b"[]",
            b"null",
            b"1e400",
            b"[" * 5000,
            b'{"a":' * 5000,
            b"PAR1" + b"\xff" * 60 + b"PAR1",
            b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
            b"&a [*a]",
            b"a: &a [x]\nb: [*a, *a]",
            f"name: {ESCAPE!r}".encode(),
            ESCAPE.encode() * 50,
            b"[red]\n[/]\n",
            b"- " * 3000,
        ]
    ),
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([1e308, -1.0, 0, 2**63, "", "running", "done", ESCAPE, "[red]", "=1+1", "../../etc/passwd"]),
    st.text(max_size=12),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)

_ARRAYS: list[Callable[[Any, int], pa.Array]] = [
    lambda draw, n: pa.array([draw(st.integers(-(2**63), 2**63 - 1) | st.none()) for _ in range(n)], pa.int64()),
    lambda draw, n: pa.array([draw(st.floats() | st.none()) for _ in range(n)], pa.float64()),
    lambda draw, n: pa.array([draw(st.floats(width=32)) for _ in range(n)], pa.float32()),
    lambda draw, n: pa.array([draw(st.text(max_size=8) | st.sampled_from([ESCAPE, "=1+1"])) for _ in range(n)]),
    lambda draw, n: pa.array([draw(st.binary(max_size=8)) for _ in range(n)], pa.binary()),
    lambda draw, n: pa.array([draw(st.booleans()) for _ in range(n)], pa.bool_()),
    lambda draw, n: pa.array([draw(st.integers(-(2**62), 2**62)) for _ in range(n)], pa.timestamp("ms", tz="UTC")),
    lambda draw, n: pa.array([draw(st.integers(-(2**30), 2**30)) for _ in range(n)], pa.date32()),
    lambda draw, n: pa.array([[draw(st.floats())] * 2 for _ in range(n)], pa.list_(pa.float64())),
    lambda draw, n: pa.array([{"a": draw(st.integers(0, 9))} for _ in range(n)]),
    lambda draw, n: pa.nulls(n),
    lambda draw, n: pa.array(["a"] * n).dictionary_encode(),
]


@st.composite
def tables(draw: Any, trial_id: str) -> bytes:
    """A Parquet file whose columns are called as ours, or not, and are of any type."""
    rows = draw(st.integers(0, 3))
    known = [column.name for column in (*TRIALS, *METRICS)]
    names = draw(
        st.lists(st.sampled_from([*known, "training.seed", "objective.kind", "data.name", ESCAPE, "", "x"]), max_size=8)
    )
    arrays = [draw(st.sampled_from(_ARRAYS))(draw, rows) for _ in names]
    if draw(st.booleans()):
        names, arrays = ["trial_id", *names], [pa.array([trial_id] * rows, pa.string()), *arrays]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names), buffer)
    data = buffer.getvalue()
    if draw(st.integers(0, 4)) == 0:
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + bytes([draw(st.integers(0, 255))]) + data[place + 1 :]
    return data


@st.composite
def contents(draw: Any, key: str, original: bytes) -> bytes:
    """What may stand in the file ``key`` in place of what a run wrote there."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(JUNK)
    if key.endswith(".parquet"):
        return draw(tables(key.rpartition("/")[2][:16]))
    if key.endswith(".json"):
        known = {**asdict(RunState("done", 0.0, 0.0, 1)), "released": False, "error": None, "handed_over_at": 0}
        fields = draw(st.dictionaries(st.sampled_from(sorted(known)), _VALUES, max_size=4))
        return json.dumps({**known, **fields}).encode()
    if key.endswith(".yaml"):
        fields = draw(st.dictionaries(st.sampled_from([*JOB, "search", "stop_when", "x"]), _VALUES, max_size=3))
        return json.dumps({**JOB, **fields}).encode("utf-8", "surrogatepass")
    cut = draw(st.integers(0, len(original)))
    return original[:cut] + draw(st.binary(max_size=20))


def place(path: Path, kind: str, data: bytes, outside: Path) -> None:
    """Put something of this kind where a file of the job was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "file":
        path.write_bytes(data)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(outside)
