"""Whole commands on the Ray that is here, and as a user types them, on one of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.spec.job import make_job
from orchestrator.store.open import open_store
from tests.ray.checks import assert_exactly_once
from tests.ray.drivers import orch as typed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.ray.conftest import Ran


def test_submit_evaluate_submit_wider_and_again(
    tmp_path: Path, job_file: Callable[..., Path], orch: Callable[..., Ran], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job_file(data={"name": "digits", "max_images": 160}, grid={"training.d_steps": [1, 2]})
    monkeypatch.setenv("ORCH_NOTIFY", f"sh -c 'cat > {tmp_path}/told.json'")
    first = orch("submit", path.name, "--set", "grid.training.d_steps=[1]")
    assert first.code == 0, first.err
    told = json.loads((tmp_path / "told.json").read_text())
    assert (told["job"], told["state"]) == ("tiny", "done")
    assert told["counts"] == {"to_run": 1, "ended": 1, "failed": 0}
    assert (tmp_path / "results/tiny/report/index.html").is_file()
    assert "1 new, 0 cached" in first.err
    resolved = yaml.safe_load((tmp_path / "results/tiny/job.yaml").read_text())
    assert resolved["provenance"]["torch_version"]

    more = ("--kind", "quality", "--set", "samples=200")
    done = orch("evaluate", path.name, *more)  # of the file's two trials one is there
    assert done.code == 0, done.err
    assert "evaluations: 1 new, 0 cached" in done.err
    assert "1/1 evaluations" in done.err
    rows = json.loads(orch("results", "tiny", "--evaluation", "quality", "--json").out)
    assert [(row["training.d_steps"], row["evaluation.samples"]) for row in rows] == [(1, 200)]
    assert yaml.safe_load((tmp_path / "results/tiny/job.yaml").read_text())["evaluate"][0]["samples"] == 200
    assert "evaluations: 0 new, 1 cached" in orch("evaluate", "tiny").err
    assert "Quality of samples" in (tmp_path / "results/tiny/report/index.html").read_text()

    wider = orch("submit", path.name)
    assert wider.code == 0
    assert "1 new, 1 cached" in wider.err
    again = orch("submit", path.name)
    assert again.code == 0
    assert "0 new, 2 cached" in again.err
    status = json.loads(orch("status", "tiny", "--json").out)
    assert status["counts"] == {"finished": 2}
    assert status["running"] is False
    rows = json.loads(orch("results", "tiny", "--json").out)
    assert sorted(row["training.d_steps"] for row in rows) == [1, 2]


def test_failed_trial_gives_exit_code_1_and_the_report_is_written(
    tmp_path: Path, job_file: Callable[..., Path], orch: Callable[..., Ran]
) -> None:
    training = {
        "epochs": 2,
        "batch_size": 8,
        "g_optimizer": {"lr": 1.0, "betas": [0.0, 0.0], "eps": 1e-300},
    }
    path = job_file(training=training, model={"kind": "dcgan", "latent_dim": 2, "width": 1})
    done = orch("submit", path.name)
    assert done.code == 1
    assert "1 trial failed; why: orch status tiny --storage " in done.err
    assert "loss is not finite at step" in orch("status", "tiny").out
    assert (tmp_path / "results/tiny/report/index.html").is_file()


def test_placement_is_refused_before_anything_is_written(
    tmp_path: Path, job_file: Callable[..., Path], orch: Callable[..., Ran]
) -> None:
    path = job_file(resources={"cpus_per_worker": 1000})
    done = orch("submit", path.name)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "resources.cpus_per_worker: got 1000, but there are" in done.err
    assert not list((tmp_path / "results" / "tiny").rglob("*.*"))


def test_everything_works_on_s3_servers_that_refuse_chunked_uploads(
    tmp_path: Path, job_file: Callable[..., Path], s3_proxy: Any, s3_bucket: str
) -> None:
    def refuse(method: str, path: str, headers: Any) -> tuple[int, str] | None:
        chunked = "chunked" in headers.get("Transfer-Encoding", "") + headers.get("Content-Encoding", "")
        lengthless = method in ("PUT", "POST") and headers.get("Content-Length") is None
        return (411, "MissingContentLength") if chunked or lengthless else None

    s3_proxy.answer = refuse
    path = job_file(storage=f"s3://{s3_bucket}/studies")
    done = typed(tmp_path, "submit", path.name)
    assert done.returncode == 0, done.stderr
    job = make_job(yaml.safe_load(path.read_text()), path.name)
    store = open_store(f"s3://{s3_bucket}/studies").child("tiny")
    assert_exactly_once(store, job.trials)
    folders = {key.partition("/")[0] for key in store.keys("")}
    assert folders >= {"job.yaml", "trials", "metrics", "samples", "checkpoints", "report", "run.json"}
    assert not (tmp_path / "results").exists()
    again = typed(tmp_path, "submit", path.name)
    assert "0 new, 1 cached" in again.stderr


def test_doctor_finds_this_machine_fit_for_a_job(tmp_path: Path, job_file: Callable[..., Path]) -> None:
    done = typed(tmp_path, "doctor", job_file().name)
    assert done.returncode == 0, done.stdout
    for check in ("python", "torch", "devices", "ray", "job", "placing", "data", "storage"):
        assert f"ok      {check} " in done.stdout
    assert "64 training images of 28x28x1" in done.stdout


def test_missing_data_is_said_by_the_plan_and_stops_a_submission_before_it_begins(
    tmp_path: Path, job_file: Callable[..., Path], orch: Callable[..., Ran]
) -> None:
    path = job_file(data={"name": "mnist", "root": "nowhere"})
    plan = orch("plan", path.name)
    assert plan.code == 2
    assert "1 new, 0 cached, 0 failed" in plan.out
    assert plan.err.count("\n") == 1
    assert "data.download=true" in plan.err
    submitted = orch("submit", path.name)
    assert (submitted.code, submitted.err) == (2, plan.err)
    assert not (tmp_path / "results").exists()
