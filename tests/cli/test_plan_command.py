"""validate, plan and submit --dry-run."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.plan.estimate import START_S
from orchestrator.plan.placement import Cluster, Machine
from orchestrator.spec.job import Job, load_job
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.store.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.plan.placement.this_machine", lambda: Cluster((Machine(cpus=2, gpus=0),)))


@pytest.fixture
def job(folder: Path) -> Job:
    """Four trials: finished, failed by its own doing, with a checkpoint, and untouched."""
    job = load_job(folder / "job.yaml")
    store = LocalStore(folder / "results" / "study")
    done, failed, begun, _ = job.trials
    seconds = {"step": 30, "train_s": 7.5, "device": "cpu", "started_at": datetime.now(UTC) - timedelta(seconds=9)}
    record(store, "study", done, Status.FINISHED, seconds, provenance())
    why = {"error": "loss is not finite at step 7 [red]", "error_kind": "non_finite"}
    record(store, "study", failed, Status.FAILED, why, provenance())
    store.write(f"checkpoints/{begun.id}.pt", b"")
    return job


@pytest.mark.usefixtures("untouched")
def test_validate(orch: Callable[..., Any]) -> None:
    ran = orch("validate", "job.yaml")
    assert (ran.code, ran.out, ran.err) == (0, "job.yaml: study is valid and makes 4 trials\n", "")
    one = orch("validate", "job.yaml", "--set", "training.seed=0", "--set", "training.d_steps=1")
    assert one.out == "job.yaml: study is valid and makes 1 trial\n"


@pytest.mark.usefixtures("untouched")
def test_validate_needs_no_data_that_will_be_fetched_and_no_devices(orch: Callable[..., Any]) -> None:
    assert orch("validate", "job.yaml", "--set", "data={name: mnist, root: nowhere, download: true}").code == 0
    assert orch("validate", "job.yaml", "--set", "resources.cpus_per_worker=1000").code == 0
    told = {"job": "study", "trials": 4, "left_out": [], "notes": []}
    assert json.loads(orch("validate", "job.yaml", "--json").out) == told


def test_a_file_name_is_no_markup(orch: Callable[..., Any], folder: Path) -> None:
    path = folder / "x[" / "nothing][red]:warning:.yaml"
    path.parent.mkdir()
    path.write_text((folder / "job.yaml").read_text())
    assert orch("validate", "x[/nothing][red]:warning:.yaml").out.startswith("x[/nothing][red]:warning:.yaml: study is")


@pytest.mark.parametrize("command", [("plan", "job.yaml"), ("submit", "job.yaml", "--dry-run")])
def test_the_plan_as_json(orch: Callable[..., Any], folder: Path, job: Job, command: tuple[str, ...]) -> None:
    before = sorted(folder.rglob("*"))
    ran = orch(*command, "--json")
    assert (ran.code, ran.err) == (0, "")
    plan = json.loads(ran.out)
    done, failed, begun, untouched = plan.pop("trials")
    one, three = done["device_s"], begun["device_s"]  # as measured, and the turn to the next
    assert failed["device_s"] == one == pytest.approx(9, abs=1)
    assert one < three == untouched["device_s"] < 3 * one
    assert plan == {
        "job": "study",
        "output": f"{folder}/results/study",
        "new": 2,
        "to_propose": 0,
        "cached": 1,
        "failed": 1,
        "placements": [{"device": "cpu", "workers": 1, "cpus": 1, "gpus": 0.0, "concurrent": 2}],
        "device_hours": pytest.approx(2 * three / 3600),
        "wall_s": pytest.approx(START_S + three),
        "problem": None,
        "notes": [],
        "evaluations": [],
        "claims": [],
    }
    assert done == {
        "trial_id": job.trials[0].id,
        "state": "cached",
        "workers": 1,
        "resumes": False,
        "device_s": one,
        "error": None,
        "changes": {"training.d_steps": 1, "training.seed": 0},
    }
    assert (failed["state"], failed["error"]) == ("failed", "loss is not finite at step 7 [red]")
    assert (begun["state"], begun["resumes"]) == ("new", True)
    assert (untouched["state"], untouched["resumes"]) == ("new", False)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("command", [("plan", "job.yaml"), ("submit", "job.yaml", "--dry-run")])
def test_the_plan_as_a_table(orch: Callable[..., Any], folder: Path, job: Job, command: tuple[str, ...]) -> None:
    ran = orch(*command)
    assert (ran.code, ran.err) == (0, "")
    heading, *rows, _, total, devices, estimate, results = ran.out.splitlines()
    assert heading.split() == ["trial", "state", "training.d_steps", "training.seed", "estimate", "note"]
    ids = [trial.id for trial in job.trials]
    assert [row.split()[:4] for row in rows] == [
        [ids[0], "cached", "1", "0"],
        [ids[1], "failed", "1", "1"],
        [ids[2], "new", "3", "0"],
        [ids[3], "new", "3", "1"],
    ]
    assert rows[0].split()[4:] == []  # what is done needs no estimate
    assert re.fullmatch(r"\d+ (s|min \d\d s)", " ".join(rows[3].split()[4:]))
    assert rows[1].rstrip().endswith("loss is not finite at step 7 [red]")
    assert rows[2].rstrip().endswith("goes on from its checkpoint")
    assert total.startswith("study: 4 trials: 2 new, 1 cached, 1 failed; about ")
    assert total.endswith(", 2 at once, 1 CPU each")
    assert devices == "devices  cpu: 2 at once, 1 CPU each"
    assert estimate.startswith("estimate 0.01 device-hours, ")
    assert results == f"results  {folder}/results/study"


def test_a_run_that_ends_before_its_trials_do(orch: Callable[..., Any]) -> None:
    long = ("plan", "job.yaml", "--set", "training.epochs=100000")
    cut = "; a run ends after 1 h 30 min (resources.max_hours), and orch resume goes on\n"
    assert cut in orch(*long, "--set", "resources.max_hours=1.5").out
    assert "a run ends" not in orch(*long, "--set", "resources.max_hours=90000").out + orch(*long).out


def test_a_trial_is_estimated_at_no_more_than_its_minutes(orch: Callable[..., Any]) -> None:
    long = ("plan", "job.yaml", "--json", "--set", "training.epochs=1000", "--set", "training.measure_every=0")
    capped, free = (json.loads(orch(*long, *more).out) for more in (("--set", "training.max_minutes=0.1"), ()))
    assert capped["trials"][0]["device_s"] < free["trials"][0]["device_s"]


def test_retry_failed(orch: Callable[..., Any], job: Job) -> None:
    for command in (("plan", "job.yaml"), ("submit", "job.yaml", "--dry-run")):
        plan = json.loads(orch(*command, "--json", "--retry-failed").out)
        assert (plan["new"], plan["cached"], plan["failed"]) == (3, 1, 0)


@pytest.mark.usefixtures("job")
def test_a_wider_grid_adds_new_trials_only(orch: Callable[..., Any]) -> None:
    plan = json.loads(orch("plan", "job.yaml", "--json", "--set", "grid.training.d_steps=[1, 3, 5]").out)
    assert (plan["new"], plan["cached"], plan["failed"]) == (4, 1, 1)


def test_nothing_left_to_do(orch: Callable[..., Any], folder: Path, job: Job) -> None:
    store = LocalStore(folder / "results" / "study")
    for trial in job.trials:
        record(store, "study", trial, Status.FINISHED, {}, provenance())
    ran = orch("plan", "job.yaml")
    assert "study: 4 trials: 0 new, 4 cached, 0 failed\n" in ran.out
    assert "estimate nothing to train\n" in ran.out


def test_what_is_done_needs_its_data_no_more(orch: Callable[..., Any], folder: Path) -> None:
    elsewhere = "data={name: mnist, root: nowhere}"
    store = LocalStore(folder / "results" / "study")
    first, *rest = load_job(folder / "job.yaml", [elsewhere]).trials
    for trial in rest:
        record(store, "study", trial, Status.FINISHED, {}, provenance())
    assert orch("plan", "job.yaml", "--set", elsewhere).err.startswith("error: mnist: neither ")
    record(store, "study", first, Status.FINISHED, {}, provenance())
    assert (orch("plan", "job.yaml", "--set", elsewhere).code, len(rest)) == (0, 3)


def test_only_a_screenful_is_shown_but_json_has_it_all(orch: Callable[..., Any]) -> None:
    wide = ("--set", f"grid.training.seed={list(range(50))}")
    assert "more" not in orch("plan", "job.yaml", "--set", f"grid.training.seed={list(range(30))}").out
    lines = orch("plan", "job.yaml", *wide).out.splitlines()
    assert "... and 40 more (--json lists them all)" in lines
    assert len(lines) == 1 + 60 + 1 + 5
    assert len(json.loads(orch("plan", "job.yaml", "--json", *wide).out)["trials"]) == 100


@pytest.mark.parametrize("name", ["5", "true", "a # b", "~", "{x}", "a: b", "é", "🙂", "[red]", "'", '"', "*x", "a=b"])
def test_a_storage_s_name_need_not_be_yaml(orch: Callable[..., Any], folder: Path, name: str) -> None:
    output = json.loads(orch("plan", "job.yaml", "--json", "--storage", name).out)["output"]
    place = f"{folder.home()}/study" if name == "~" else f"{folder}/{name}/study"
    assert output == place
    assert f"results  {place}\n" in orch("plan", "job.yaml", "--storage", name).out


def test_storage_of_the_file_counts_unless_the_option_is_there(orch: Callable[..., Any], folder: Path) -> None:
    def output(*arguments: str) -> str:
        return str(json.loads(orch("plan", "job.yaml", "--json", *arguments).out)["output"])

    assert output("--set", "storage=there") == f"{folder}/there/study"
    assert output("--set", "storage=there", "--storage", "here") == f"{folder}/here/study"


def test_linked_and_missing_values_have_their_columns(orch: Callable[..., Any]) -> None:
    rates = (
        "grid={rates: [{training.g_optimizer.lr: 1e-4, training.d_optimizer.betas: [0.1, 0.2]}, {training.seed: 7}]}"
    )
    heading, first, second, *_ = orch("plan", "job.yaml", "--set", rates).out.splitlines()
    paths = ["training.g_optimizer.lr", "training.d_optimizer.betas", "training.seed"]
    assert heading.split() == ["trial", "state", *paths, "estimate", "note"]
    at = [heading.index(path) for path in paths]
    assert [first[at[0] : at[1]].strip(), first[at[1] : at[2]].strip()] == ["0.0001", "[0.1, 0.2]"]
    assert second[at[0] : at[2]].strip() == ""
    assert second[at[2] :].split()[0] == "7"


CLAIMS = """
claims:
  - {id: A, says: s, measure: d_loss, better: lower, group: {training.d_steps: 3}, than: {training.d_steps: 1}}
  - {id: B, says: s, measure: saturated, better: lower, group: {training.d_steps: 3}, than_value: 0.9}
  - {id: C, says: s, measure: d_loss, within: 1, group: {training.seed: 0}, than: {training.seed: 1}}
  - {id: D, says: s, measure: g_loss, better: lower, group: {training.d_steps: 1}, than: {training.d_steps: 3}}
"""


@pytest.mark.usefixtures("job")
def test_what_the_seeds_of_each_claim_can_show(orch: Callable[..., Any], folder: Path) -> None:
    (folder / "job.yaml").write_text((folder / "job.yaml").read_text() + CLAIMS)
    assert [line for line in orch("plan", "job.yaml").out.splitlines() if line.startswith("claim")] == [
        "claims A and D: 2 and 2 seeds show a difference of 5.7 standard deviations between seeds (80 % power)",
        "claim B: 2 seeds show a difference of 0.79 of the seeds (80 % power)",
        "claim C: 1 and 1 seeds decide nothing; two on each side are the least",
    ]
    first, second, third, _ = json.loads(orch("submit", "job.yaml", "--dry-run", "--json").out)["claims"]
    assert (first["claim"], first["design"], first["smallest_in_sd"]) == (
        "A",
        "independent",
        pytest.approx(5.653, abs=1e-3),
    )
    assert (second["than_seeds"], second["smallest"]) == (None, pytest.approx(0.9 - (1 - 0.8**0.5), abs=1e-4))
    assert (third["group_seeds"], third["smallest_in_sd"]) == (1, None)
