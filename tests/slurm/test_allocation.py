"""Studies on a real Slurm: side by side on a node, over two nodes, through the end of an allocation and lost nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.runtime import slurm as launcher
from orchestrator.runtime.slurm import Slurm as Launcher
from orchestrator.spec.job import load_job
from orchestrator.state.marks import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.slurm.cluster import Slurm
    from tests.slurm.conftest import Study

LONG = {"epochs": 400, "batch_size": 8, "log_every": 3, "samples_every": 400, "checkpoint_every": 100}
ONE_CPU = {"resources": {"cpus_per_worker": 1}}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--partition", "gpux"], "invalid partition specified: gpux"),
        (["--gpus-per-node", "3", "--slurm", "cpus-per-task=1"], "Requested node configuration is not available"),
        (["--nodes", "9"], "More processors requested than permitted"),
        (["--partition", "closed"], "Invalid account or account/partition combination specified"),
        (["--slurm", "colour=red"], "unrecognized option"),
    ],
)
def test_what_can_never_run_takes_one_line(study: Callable[..., Study], options: list[str], problem: str) -> None:
    one = study()
    run = one.orch("submit", "job.yaml", "--address", "slurm", *options)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: sbatch: ")
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
