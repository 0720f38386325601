"""Trials in experiment trackers, read back by the trackers' own readers."""

from __future__ import annotations

import re
import shutil
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.errors import ExportError, NotFoundError
from orchestrator.evaluations.sharpness.settings import Sharpness
from orchestrator.export.records import records
from orchestrator.export.trackers import NAMES, Name, open_tracker
from orchestrator.export.tracking import EVERY_S, Export
from orchestrator.spec.columns import declared, evaluation_settings
from orchestrator.state.files import RunState, write_state
from orchestrator.state.process import this_process
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows
from orchestrator.study import load_study
from tests.export.readers import READERS
from tests.trained import small_job, train

if TYPE_CHECKING:
    from orchestrator.export.records import Record

pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow's, of SQLAlchemy
]

SECRET = "hush-hush" * 5


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection leaves this machine, and nothing may be written of a secret in its environment."""
    for variable in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "WANDB_API_KEY"):
        monkeypatch.setenv(variable, SECRET)
    connect = socket.socket.connect

    def local(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1", "localhost"), address
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """Two trials of four rows and two sheets of samples each, one of them with two evaluations."""
    job = small_job(grid={"training.seed": [0, 1]}, training={"log_every": 1})
    store = train(tmp_path_factory.mktemp("trained"), job)
    for samples, sharpness in ((1000, 0.5), (50, 0.25)):
        evaluation = Sharpness.model_validate({"samples": samples})
        row = {
            "trial_id": job.trials[0].id, "evaluation_id": evaluation.id, "shard": 0, **evaluation_settings(evaluation),
            "samples": samples, "sharpness": sharpness,
        }  # fmt: skip
        write_rows(store, evaluation.rows_key(job.trials[0].id, 0), declared("evaluations/sharpness"), [row])
    return store


@pytest.fixture
def store(trained: LocalStore, tmp_path: Path) -> LocalStore:
    shutil.copytree(trained.uri, tmp_path / "study")
    return LocalStore(tmp_path / "study")


def all_of(store: LocalStore) -> dict[str, Record]:
    return {record.trial_id: record for record in records(load_study(store))}


def check(name: Name, out: Path, expected: dict[str, Record]) -> None:
    """The tracker has these trials, each row, picture and last value once."""
    runs = READERS[name](out)
    assert runs.keys() == expected.keys()
    for trial_id, record in expected.items():
        run = runs[trial_id]
        assert run.succeeded is (True if record.ended else None)
        assert run.settings.keys() == record.settings.keys()
        assert float(run.settings["training.g_optimizer.lr"]) == 0.0002
        assert run.settings["model.kind"] == "dcgan"
        for column in ("d_loss", "elapsed_s", "epoch"):
            rows = [(step, row[column]) for step, row in record.rows]
            assert [step for step, _ in run.values[column]] == [step for step, _ in rows]
            np.testing.assert_allclose([value for _, value in run.values[column]], [value for _, value in rows], 1e-6)
        assert run.pictures == {"samples": [picture.step for picture in record.pictures]}
        for column, value in record.summary.items():
            assert run.last[column] == pytest.approx(value, rel=1e-6)


def test_last_values_of_evaluations_are_named_by_what_is_not_as_by_default(trained: LocalStore) -> None:
    first, second = all_of(trained).values()
    assert {name: value for name, value in first.summary.items() if "/" in name} == {
        "sharpness/samples-50/sharpness": 0.25,
        "sharpness/sharpness": 0.5,
    }
    assert not any("/" in name for name in second.summary)
    assert first.summary["train_s"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_later_is_added_and_twice_changes_nothing(name: Name, store: LocalStore, tmp_path: Path) -> None:
    """Rows, pictures and the end of a trial that was training, and an evaluation of one that had ended."""
    whole = all_of(store)
    assert [len(one.rows) for one in whole.values()] == [4, 4]
    assert [[picture.step for picture in one.pictures] for one in whole.values()] == [[2, 4], [2, 4]]
    (evaluated, growing), later = whole, tmp_path / "later"
    evaluation = next(key for key in store.keys("evaluations") if evaluated in key)
    keys = [f"trials/{growing}.parquet", f"metrics/{growing}.parquet", f"samples/{growing}/epoch-0002.png", evaluation]
    for key in keys:
        (later / key).parent.mkdir(parents=True, exist_ok=True)
        (later / key).write_bytes(store.read(key))
        store.delete(key)
    rows = pq.read_table(later / keys[1]).slice(0, 2)
    write_rows(store, keys[1], declared("metrics"), rows.to_pylist())

    out, export = tmp_path / "out", Export(store, open_tracker(name, str(tmp_path / "out"), "study"))
    partial = {record.trial_id: record for record in records(load_study(store, unfinished="running"))}
    assert [len(record.rows) for record in partial.values()] == [4, 2]
    if name == "wandb":  # which writes a trial once it has ended
        del partial[growing]
    assert export.once() == (2, len(partial))
    check(name, out, partial)
    assert export.once() == (2, 0)
    for key in keys:
        store.write(key, (later / key).read_bytes())
    assert export.once() == (2, 2)
    check(name, out, whole)
    files = {path: path.stat().st_size for path in out.rglob("*")}
    assert Export(store, open_tracker(name, str(out), "study")).once() == (2, 0)
    assert {path: path.stat().st_size for path in out.rglob("*")} == files
    check(name, out, whole)
    for path in filter(Path.is_file, out.rglob("*")):
        content = path.read_bytes()
        assert SECRET.encode() not in content
        assert path.name == "mlflow.db" or str(Path(__file__).parents[2]).encode() not in content


def test_it_goes_on_while_the_run_is_at_work_and_sees_all_that_it_leaves(store: LocalStore, tmp_path: Path) -> None:
    whole, kept = all_of(store), store.sibling("kept")
    results = [key for folder in ("trials", "metrics", "evaluations", "samples") for key in store.keys(folder)]
    for key in results:
        kept.write(key, store.read(key))
        store.delete(key)
    now = time.time()
    state = RunState("running", now, now, 2, run_id="r", process=this_process())
    write_state(store, state)
    said: list[str] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        """The first trial ends during the first pause, everything else and the run during the second."""
        pauses.append(seconds)
        first = next(iter(whole))
        for key in results:
            if len(pauses) == 2 or first in key:
                store.write(key, kept.read(key))
        if len(pauses) == 2:
            write_state(store, replace(state, state="done"))

    tracker = open_tracker("tensorboard", str(tmp_path / "out"), "study")
    assert Export(store, tracker).follow(said.append, pause) == 2
    assert pauses == [EVERY_S, EVERY_S]
    assert said == ["1 of 1 trials have something new", "1 of 2 trials have something new"]
    check("tensorboard", tmp_path / "out", whole)
    with pytest.raises(NotFoundError, match="no results yet"):
        Export(store.sibling("none"), tracker).follow(said.append, pause)


@pytest.mark.parametrize("name", NAMES)
def test_a_tracker_that_is_not_installed_is_one_line(
    name: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExportError) as raised:
        open_tracker(name, str(tmp_path / "out"), "study")
    assert str(raised.value) == f"--to {name}: needs {name}: pip install 'gan-orch[{name}]'"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_cannot_be_written_is_one_line(name: Name, store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=re.escape(f"{tmp_path}/file")):
        Export(store, open_tracker(name, str(tmp_path / "file" / "out"), "study")).once()
