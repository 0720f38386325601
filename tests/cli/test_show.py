"""show, diff and open: one trial, two trials or two jobs, and the report in a browser."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.spec.job import Job, load_job
from orchestrator.state.files import write_job
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.s3 import S3Store
from orchestrator.store.tables import write_rows
from orchestrator.study import load_study
from orchestrator.study.compare import settings_in, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.store.local import LocalStore

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.fixture
def job(folder: Path, store: LocalStore) -> Job:
    """Four trials: one finished with all its files, one failed, one interrupted, one that waits."""
    job = load_job(folder / "job.yaml")
    write_job(store, job)
    done, failed, begun, _ = job.trials
    measures = {"step": 30, "train_s": 65.0, "fid": 12.5, "d_loss": 0.1}
    record(store, "study", done, Status.FINISHED, measures, provenance())
    why = {"error": "boom [red]\x1b[31m", "error_kind": "program", "step": 7, "fid": 40.0}
    record(store, "study", failed, Status.FAILED, why, provenance())
    for trial, fids in ((done, (30.0, 11.0, 12.5)), (begun, (50.0,))):
        rows = [{"trial_id": trial.id, "step": 10 * n, "g_loss": n / 4, "fid": fid} for n, fid in enumerate(fids, 1)]
        write_rows(store, f"metrics/{trial.id}.parquet", schema_of(METRICS), rows)
    for key in ("checkpoints/{}.pt", "checkpoints/{}.best.pt", "samples/{}/epoch-0002.png"):
        store.write(key.format(done.id), bytes(1234))
    store.write(f"checkpoints/{done.id}.pt.bak", b"a stranger's")
    return job


def test_a_trial(orch: Callable[..., Any], job: Job) -> None:
    done = job.trials[0].id
    told = json.loads(orch("show", "study", done[:6], "--json").out)
    assert (told["trial_id"], told["state"], told["seconds"]) == (done, "finished", 65.0)
    assert told["varying"] == {"training.d_steps": 1, "training.seed": 0}
    assert told["settings"]["training.g_optimizer.betas"] == "[0.5, 0.999]"
    assert told["measures"]["fid"] == {"label": "FID", "last": 12.5, "best": 11.0, "best_step": 20}
    assert told["measures"]["g_loss"] == {"label": "G loss", "last": 0.75, "best": None, "best_step": None}
    assert told["files"][f"checkpoints/{done}.pt"] == 1234
    assert len(told["files"]) == 5
    assert (told["checkpoint"], told["best_checkpoint"]) == (f"checkpoints/{done}.pt", f"checkpoints/{done}.best.pt")
    text = orch("show", "job.yaml", done).out
    assert text.startswith(f"study/{done}: finished, trained for 1 min 05 s\n")
    assert text.index("training.d_steps") < text.index("training.epochs")
    assert "1.23 kB" in text
    assert f"orch sample study {done[:8]} --out samples\n" in text


def test_trials_that_have_less(orch: Callable[..., Any], job: Job, store: LocalStore) -> None:
    _, failed, begun, waits = (trial.id for trial in job.trials)
    text = orch("show", "study", failed).out
    assert f"study/{failed}: failed\n" in text
    assert r"error boom [red]\x1b[31m" in text
    assert (
        f"no checkpoint is stored: its networks are gone; orch rm study --trials {failed[:8]} and orch submit" in text
    )
    assert f"study/{begun}: interrupted\n" in orch("show", "study", begun).out
    text = orch("show", "study", waits).out
    assert text.startswith(f"study/{waits}: waiting\n")
    assert text.endswith("go on     orch resume study\n")
    store.delete("job.yaml")
    assert f"study/{failed}: failed\n" in orch("show", "study", failed).out
    assert "with which no trial's id begins" in orch("show", "study", waits).mistake


@pytest.mark.usefixtures("job")
def test_a_name_of_several_trials_or_none(orch: Callable[..., Any]) -> None:
    assert "got 'x', with which no trial's id begins; trials there: " in orch("show", "study", "x").mistake
    assert orch("show", "study", "").mistake.startswith("TRIAL: got '', with which 4 ids begin (")


def test_two_trials(orch: Callable[..., Any], job: Job) -> None:
    done, failed, _, waits = (trial.id for trial in job.trials)
    told = json.loads(orch("diff", f"study/{done}", failed[:8], "--json").out)
    assert told["names"] == [f"study/{done}", f"study/{failed}"]
    assert told["settings"] == {"training.seed": [0, 1]}
    assert told["measures"]["fid"] == [12.5, 40.0]
    assert told["measures"]["status"] == ["finished", "failed"]
    assert json.loads(orch("diff", f"study/{done}", f"study/{waits}", "--json").out)["settings"] == {
        "training.d_steps": [1, 3],
        "training.seed": [0, 1],
    }
    same = orch("diff", f"study/{done}", done).out
    assert same.startswith(f"study/{done} and study/{done} have the same settings\n")


def test_two_jobs(orch: Callable[..., Any], job: Job, folder: Path) -> None:
    wider = (folder / "job.yaml").read_text().replace("[0, 1]", "[2, 1, 0]").replace("epochs: 2", "epochs: 3")
    (folder / "wider.yaml").write_text(wider + "note: more\n")
    for first in ("study", "results/study", "job.yaml"):
        told = json.loads(orch("diff", first, "wider.yaml", "--json").out)
        assert told["settings"] == {
            "note": [None, ["more"]],
            "training.epochs": [[2], [3]],
            "training.seed": [[0, 1], [0, 1, 2]],
        }
        assert told["trials"] == {"both": 0, "only": [4, 6]}
    text = orch("diff", "study", "wider.yaml").out
    assert ["training.seed", "0,", "1", "0,", "1,", "2"] in [line.split() for line in text.splitlines()]
    assert "have the same settings" in orch("diff", "study", "job.yaml").out
    mistake = orch("diff", "study", f"study/{job.trials[0].id}").mistake
    assert mistake.endswith(" for a comparison with 'study', expected two trials or two jobs")


def test_a_trial_s_settings_are_the_same_by_its_row_and_by_its_job(store: LocalStore) -> None:
    """Of every job file that comes with the program: comparisons of trials with rows and without would differ else."""
    trials = {trial.id: trial for path in sorted(JOBS.glob("*.yaml")) for trial in load_job(path).trials[:1]}
    for trial in trials.values():
        record(store, "study", trial, Status.FINISHED, {"step": 1}, {})
    study = load_study(store)
    assert {one: settings_of(store, study, one) for one in trials} == {
        one: settings_in(trial) for one, trial in trials.items()
    }


def test_the_report_is_opened(
    orch: Callable[..., Any], job: Job, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)))
    ran = orch("open", "study")
    page = Path(store.uri) / "report" / "index.html"
    assert (ran.code, ran.out) == (0, f"{page}\n")
    assert ran.err == "no browser was found here; open the file above\n"
    assert opened == [page.as_uri()]
    page.write_text("as it was")
    monkeypatch.setattr(webbrowser, "open", lambda _: True)
    assert orch("open", "study").err == ""
    assert page.read_text() == "as it was"


@pytest.mark.slow
def test_the_report_of_a_bucket_is_opened(
    orch: Callable[..., Any], s3_bucket: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = S3Store(s3_bucket, "studies/study")
    write_job(store, load_job(folder / "job.yaml"))
    store.write("report/index.html", b"a page")
    ran = orch("open", "study", "--storage", f"s3://{s3_bucket}/studies")
    assert Path(ran.out.strip()).read_bytes() == b"a page"
