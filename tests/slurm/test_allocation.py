"""Studies on a real Slurm: side by side on a node, over two nodes, through the end of an allocation and lost nodes."""

from __future__ import annotations

import contextlib
import os
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
    from pathlib import Path

    from tests.slurm.cluster import Slurm
    from tests.slurm.conftest import User

LONG = {"epochs": 300, "batch_size": 8, "log_every": 4, "samples_every": 300, "checkpoint_every": 10}
TWO_SEEDS = {"grid": {"training.seed": [0, 1]}, "resources": {"cpus_per_worker": 1}}


def modes(*paths: Path) -> list[str]:
    """Who may do what with files and folders, in octal numbers."""
    return [f"{path.stat().st_mode & 0o777:o}" for path in paths]


def test_two_users_side_by_side_on_a_node_keep_to_themselves_and_leave_nothing_behind(
    slurm: Slurm, study: Callable[..., Study], stranger: User | None, s3_bucket: str
) -> None:
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    studies = [study(**TWO_SEEDS), study("2", user=stranger, storage=f"s3://{s3_bucket}/two", **TWO_SEEDS)]
    runs = [each.orch("submit", "job.yaml", "--address", "slurm", "--slurm", "nodelist=n1") for each in studies]
    numbers = [each.number() for each in studies]
    looked_at: dict[str, list[str]] = {}
    refusals: list[str] = []

    def look() -> bool:
        """Look at what each has on the node as soon as its Ray is up: the other may be done by then."""
        for each, number in zip(studies, numbers, strict=True):
            inside = each.shared / f"{number}.0"
            with contextlib.suppress(FileNotFoundError):  # a folder of a driver's own comes and goes
                if number not in looked_at and (inside / "address").exists():
                    looked_at[number] = [*modes(inside, inside / "token"), *set(modes(*each.scratch.iterdir()))]
                    if stranger is not None and each is studies[0]:
                        refusals.append(stranger.run(["cat", str(inside / "token")]).communicate()[1])
        return len(looked_at) == len(studies)

    wait_until(look, "Ray of both on the node")
    assert list(looked_at.values()) == [["700", "600", "700"]] * 2
    assert all("Permission denied" in refusal for refusal in refusals)
    for number in numbers:
        assert secret not in slurm.ask("scontrol", "write", "batch_script", number, "-")
    for each, run, number in zip(studies, runs, numbers, strict=True):
        out, err = run.communicate(timeout=2 * PATIENCE_S)
        assert run.returncode == 0, err
        assert "Traceback" not in err
        assert secret not in err + each.output(number)
        assert out.startswith("results  "), "stdout has the results only"
        assert_exactly_once(each.store, each.trials)
        assert [path.name for path in each.shared.iterdir()] == [f"{number}.out"]
        wait_until(lambda number=number: not processes_of(number), "end of all processes")
        assert list(each.scratch.iterdir()) == []
        assert slurm.state(number)["ExitCode"] == "0:0"
    if stranger is None:
        pytest.skip("one user alone: no other can read the checkout and a Python of this version")


def test_a_worker_group_over_two_nodes_goes_on_after_its_time_limit_and_the_loss_of_the_far_node(
    slurm: Slurm, study: Callable[..., Study]
) -> None:
    one = study(training=LONG | {"epochs": 120}, resources={"workers": 2, "cpus_per_worker": 1})
    run = one.orch("submit", "job.yaml", "--address", "slurm", "--nodes", "2")
    number = one.number()
    one.await_more_than(0)
    held = slurm.state(number)
    assert (held["NumNodes"], held["NumCPUs"]) == ("2", "2"), "a node has one processor, which one worker takes"
    slurm.ask("scancel", "--batch", "--signal=USR1", number)
    rows = requeued(one, number, 1)
    state = read_state(one.store)
    assert state is not None
    assert (state.state, state.address, state.submission_id) == ("interrupted", "slurm", number)
    one.await_more_than(rows)
    (far,) = set(slurm.nodes) - {slurm.state(number)["BatchHost"]}
    slurm.kill(far)
    wait_until(lambda: slurm.state(number)["Restarts"] == "2", "requeue after a lost node")
    slurm.bring_back(far)
    requeued(one, number, 2)
    _, err = run.communicate(timeout=3 * PATIENCE_S)
    assert run.returncode == 0, err
    assert f"Slurm: job {number} is requeued and goes on from the trials' last states" in err
    assert_exactly_once(one.store, one.trials)


def test_preempted_without_its_node_and_cancelled_a_study_goes_on(slurm: Slurm, study: Callable[..., Study]) -> None:
    one = study(training=LONG, **TWO_SEEDS)
    number = one.submit("--partition", "low", "--slurm", "cpus-per-task=2")
    one.await_more_than(0)
    slurm.ask("sbatch", "--partition=high", "--nodes=2", "--cpus-per-task=2", "--wrap=sleep 1", "--output=/dev/null")
    rows = requeued(one, number, 1)
    one.await_more_than(rows)
    node = slurm.state(number)["NodeList"]
    slurm.kill(node)
    rows = requeued(one, number, 2)
    one.await_more_than(rows)
    slurm.ask("scancel", number)
    wait_until(lambda: slurm.state(number)["JobState"] == "CANCELLED", "end")
    state = read_state(one.store)
    assert state is not None
    assert state.state == "interrupted"
    assert one.rows() > rows
    assert "go on with: orch resume tiny --storage" in one.output(number)
    wait_until(lambda: not processes_of(number), "end of all processes")
    run = one.orch("resume", "tiny", "--storage", one.storage, "--address", "slurm")
    _, err = run.communicate(timeout=2 * PATIENCE_S)
    assert run.returncode == 0, err
    assert slurm.state(err.partition(" ")[0])["NumCPUs"] == "2", "what the last submission asked for"
    assert_exactly_once(one.store, one.trials)


def requeued(study: Study, number: str, times: int) -> int:
    """Wait until a job is in the queue again, and have Slurm start it soon; returns the rows stored by then."""

    def again() -> bool:
        facts = study.slurm.state(number)  # COMPLETING, as long as the last attempt has processes
        return facts["Restarts"] == str(times) and facts["JobState"] in ("PENDING", "RUNNING")

    wait_until(again, "requeue")
    rows = study.rows()
    assert rows > 0
    study.slurm.hurry(number)
    return rows


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--partition", "gpux"], "--partition: got 'gpux', expected one of closed, high, low"),
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
    out, err = run.communicate(timeout=PATIENCE_S)
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
