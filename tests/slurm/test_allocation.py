"""Studies on a real Slurm: side by side on a node, over two nodes, through the end of an allocation and lost nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.runtime import slurm as launcher
from orchestrator.runtime.slurm import Slurm as Launcher
from orchestrator.spec.job import load_job
from orchestrator.state.files import read_state
from orchestrator.state.marks import Kind
from tests.ray.checks import assert_exactly_once
from tests.slurm.conftest import PATIENCE_S, Study, processes_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.slurm.cluster import Slurm

LONG = {"epochs": 200, "batch_size": 8, "log_every": 3, "samples_every": 400, "checkpoint_every": 100}
ONE_CPU = {"resources": {"cpus_per_worker": 1}}


def test_two_studies_side_by_side_on_a_node_leave_nothing_behind(slurm: Slurm, study: Callable[..., Study]) -> None:
    studies = [study(name, grid={"training.seed": [0, 1]}, **ONE_CPU) for name in ("one", "two")]
    here = ["--address", "slurm", "--slurm", "nodelist=n1"]
    runs = [each.orch("submit", "job.yaml", *here) for each in studies]
    for each, run in zip(studies, runs, strict=True):
        out, err = run.communicate(timeout=2 * PATIENCE_S)
        assert run.returncode == 0, err
        assert "Traceback" not in err
        assert out.startswith("results  "), "stdout has the results only"
        assert_exactly_once(each.store, each.trials)
        number = err.split(" is on slurm", 1)[0]
        assert [path.name for path in (each.folder / "results" / "_slurm").iterdir()] == [f"{number}.out"]
        wait_until(lambda number=number: not processes_of(number), "end of all processes", 10)
        assert slurm.state(number)["ExitCode"] == "0:0"
    assert list(studies[0].scratch.iterdir()) == []


def test_preempted_and_with_its_node_lost_nothing_is(slurm: Slurm, study: Callable[..., Study]) -> None:
    one = study(training=LONG, grid={"training.seed": [0, 1]})
    number = one.submit("--partition", "low", "--slurm", "cpus-per-task=2", "--slurm", "nodelist=n1")
    wait_until(one.trains, "logged steps")
    slurm.ask("sbatch", "--partition=high", "--nodes=2", "--cpus-per-task=2", "--wrap=sleep 1", "--output=/dev/null")
    wait_until(lambda: slurm.state(number)["Restarts"] == "1", "preemption", 60)
    assert len(one.store.keys("checkpoints")) >= 1
    slurm.ask("scontrol", "update", f"JobId={number}", "StartTime=now", "ReqNodeList=")
    wait_until(one.trains, "second attempt")
    slurm.kill(slurm.state(number)["NodeList"])
    wait_until(lambda: slurm.state(number)["Restarts"] == "2", "requeue after a lost node", 90)
    slurm.ask("scontrol", "update", f"JobId={number}", "StartTime=now")
    wait_until(lambda: slurm.state(number)["JobState"] == "COMPLETED", "end", 2 * PATIENCE_S)
    assert_exactly_once(one.store, one.trials)


def test_cancelled_by_slurm_it_stores_and_is_not_requeued(slurm: Slurm, study: Callable[..., Study]) -> None:
    one = study(training=LONG, grid={"training.seed": [0, 1]})
    number = one.submit("--slurm", "cpus-per-task=2")
    wait_until(one.trains, "logged steps")
    slurm.ask("scancel", number)
    wait_until(lambda: slurm.state(number)["JobState"] == "CANCELLED", "end", 40)
    state = read_state(one.store)
    assert state is not None
    assert state.state == "interrupted"
    assert len(one.store.keys("checkpoints")) == len(one.store.keys("metrics"))
    assert "go on with: orch resume tiny --storage" in one.output(number)
    wait_until(lambda: not processes_of(number), "end of all processes", 10)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--partition", "gpux"], "--partition: got 'gpux', expected one of low, high, closed"),
        (["--gpus-per-node", "3", "--slurm", "cpus-per-task=1"], "--gpus-per-node: got '3', expected at most 2 GPUs"),
        (["--nodes", "9"], "--nodes: got 9, expected at most 2 in partition low"),
        (
            ["--partition", "closed"],
            "sbatch: Batch job submission failed: Invalid account or account/partition combination specified",
        ),
        (["--slurm", "colour=red"], "unrecognized option"),
    ],
)
def test_what_can_never_run_takes_one_line(study: Callable[..., Study], options: list[str], problem: str) -> None:
    one = study()
    run = one.orch("submit", "job.yaml", "--address", "slurm", *options)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert problem in err


def test_nodes_without_this_python_say_so(
    slurm: Slurm, study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = study()
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm.environment[name])
    monkeypatch.chdir(one.folder)
    monkeypatch.setattr(launcher.sys, "executable", "/nowhere/python")
    said: list[Any] = []
    handed = Launcher()
    number = handed.submit(load_job(one.folder / "job.yaml"), f"{one.folder}/results", ["submit"], said.append)
    lines = [line for line in handed.follow(number) if line.kind is Kind.NOTE]
    assert handed.result(number) == 2
    problem = "has no /nowhere/python: the nodes must see the Python of the login node"
    assert next(line.text for line in lines if line.text.startswith("error: ")).endswith(problem)
    assert said == []
