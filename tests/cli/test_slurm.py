"""Jobs handed to a Slurm that is pretended: the script, what is said of the job, and mistakes in one line each."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestrator.runtime import slurm as module
from orchestrator.state.handovers import read_handover
from tests.cli.fake_slurm import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.local import LocalStore
    from tests.cli.fake_slurm import Fake


def options_of(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


def test_the_dry_run_is_the_script_and_writes_nothing(orch: Callable[..., Any], folder: Path, untouched: None) -> None:
    flags = ["--partition", "gpu", "--nodes", "4", "--gpus-per-node", "8", "--time", "8:00:00"]
    ran = orch("submit", "job.yaml", "--address", "slurm", "--dry-run", *flags, "--slurm", "exclude=n[1-3]")
    assert (ran.code, ran.err) == (0, "")
    assert options_of(ran.out) == [
        "--job-name=orch-study",
        *("--partition=gpu", "--nodes=4", "--gpus-per-node=8", "--time=8:00:00", "--exclude=n[1-3]"),
        *("--signal=B:USR1@120", "--cpus-per-task=8"),
        *("--ntasks-per-node=1", "--requeue", "--open-mode=append"),
        f'--output="{folder}/results/_slurm/%j.out"',
    ]
    assert subprocess.run(["bash", "-n"], input=ran.out, text=True, check=False).returncode == 0
    assert sys.executable in ran.out
    _, _, rest = ran.out.partition("<<'")
    end, _, rest = rest.partition("'\n")
    job = yaml.safe_load(rest.partition(f"{end}\n")[0])
    assert job["storage"] == f"{folder}/results"
    assert job["resources"]["slurm"]["partition"] == "gpu"


@pytest.mark.parametrize(
    ("resources", "cpus"),
    [
        ({}, 8),
        ({"cpus_per_worker": 2}, 16),
        ({"gpus_per_worker": 0.25}, 32),
        ({"gpus_per_worker": 0.0}, None),
        ({"slurm": {"exclusive": True}}, None),
        ({"slurm": {"cpus-per-gpu": 3}}, None),
    ],
)
def test_a_node_gets_processors_for_the_trials_that_its_gpus_hold(
    orch: Callable[..., Any], folder: Path, resources: dict[str, Any], cpus: int | None
) -> None:
    job = yaml.safe_load((folder / "job.yaml").read_text())
    (folder / "job.yaml").write_text(yaml.safe_dump({**job, "resources": resources}))
    ran = orch("submit", "job.yaml", "--address", "slurm", "--dry-run", "--gpus-per-node", "a100:8")
    asked = [line for line in options_of(ran.out) if line.startswith("--cpus-per-task")]
    assert asked == ([] if cpus is None else [f"--cpus-per-task={cpus}"])


def test_left_alone_it_prints_the_number_and_how_to_go_on(
    orch: Callable[..., Any], fake: Fake, store: LocalStore, folder: Path
) -> None:
    command = ["submit", "job.yaml", "--address", "slurm", "--retry-failed", "--partition", "gpu"]
    ran = orch(*command, "--detach")
    assert (ran.code, ran.out) == (0, "12\n")
    assert [line.split()[1] for line in ran.err.splitlines()] == ["status", "logs", "cancel", "logs"]
    handover = read_handover(store)
    assert handover is not None
    assert (handover.address, handover.submission_id) == ("slurm", "12")
    assert fake.asked("sbatch") == ["--parsable"]
    assert fake.script == orch(*command, "--dry-run").out
    assert (folder / "results" / "_slurm").is_dir()


@pytest.mark.parametrize(
    ("state", "code", "left", "error"),
    [
        ("COMPLETED", 0, 0, None),
        ("FAILED", 1, 1, None),
        ("FAILED", 2, 2, None),
        ("CANCELLED", 0, 130, None),
        ("TIMEOUT", 0, 2, "Slurm ended job 12: TIMEOUT, exit code 0"),
        ("FAILED", 127, 2, "Slurm ended job 12: FAILED, exit code 127"),
    ],
)
def test_followed_it_ends_as_the_study_does(
    orch: Callable[..., Any], fake: Fake, folder: Path, state: str, code: int, left: int, error: str | None
) -> None:
    queue = [shown(folder, "PENDING", reason=reason) for reason in ("None", "Priority", "Priority", "Resources")]
    again = [shown(folder, "RUNNING"), shown(folder, "PENDING", reason="BeginTime"), shown(folder, "RUNNING")]
    fake.answers("scontrol", *queue, *again, shown(folder, state, code=code))
    (folder / "results" / "_slurm").mkdir(parents=True)
    (folder / "results" / "_slurm" / "12.out").write_text("\x1f\x1funseen\na note\n\x1fresults  here\nthe rest")
    ran = orch("submit", "job.yaml", "--address", "slurm")
    assert (ran.code, ran.out) == (left, "results  here\n")
    handed, *said = ran.err.splitlines()
    assert handed == "12 is on slurm; Ctrl-C stops following, not the job"
    waits = [f"Slurm: job 12 is pending ({reason})" for reason in ("Priority", "Resources", "BeginTime")]
    assert said == ["a note", *waits, "the rest", *([f"error: {error}"] if error else [])]


def test_a_controller_that_is_gone_ends_the_following_alone(
    orch: Callable[..., Any], fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
    fake.answers("scontrol", error="Unable to contact slurm controller (connect failure)")
    ran = orch("submit", "job.yaml", "--address", "slurm")
    assert ran.code == 130
    assert "Unable to contact slurm controller (connect failure); 12 goes on without\n" in ran.err


def test_a_job_whose_nodes_cannot_write_is_told(orch: Callable[..., Any], fake: Fake, folder: Path) -> None:
    fake.answers("scontrol", shown(folder, "FAILED", code=1))
    ran = orch("submit", "job.yaml", "--address", "slurm")
    assert ran.code == 1
    assert f"job 12 has ended (FAILED) and wrote nothing to {folder}/results/_slurm/12.out" in ran.err


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "sbatch: error: invalid partition specified: gpux\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified",
            "sbatch: invalid partition specified: gpux; Batch job submission failed: Invalid partition name specified",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
            "sbatch: Batch job submission failed: Invalid account or account/partition combination specified",
        ),
    ],
)
def test_what_sbatch_refuses_is_its_own_line(
    orch: Callable[..., Any], fake: Fake, store: LocalStore, said: str, told: str
) -> None:
    fake.answers("sbatch", error=said)
    assert orch("submit", "job.yaml", "--address", "slurm").mistake == told
    assert read_handover(store) is None


def test_without_sbatch_it_says_where_to_go(
    orch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert orch("submit", "job.yaml", "--address", "slurm").mistake == (
        "--address slurm: sbatch is not on the PATH of this machine; give the command on a login node of the cluster"
    )


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        (["--nodes", "2"], "--nodes: has no effect without --address slurm"),
        (["--slurm", "qos=x", "--dry-run"], "--slurm: has no effect without --address slurm"),
        (["--address", "auto", "--time", "60"], "--time: has no effect without --address slurm"),
        (
            ["--address", "slurm", "--time", "1"],
            "--time: got '1', expected at least 180 s: 120 s of it are for storing",
        ),
        (
            ["--address", "slurm", "--dry-run", "--json"],
            "--json: has no effect with --address slurm; leave one of them out",
        ),
    ],
)
def test_options_that_cannot_be_take_one_line(
    orch: Callable[..., Any], untouched: None, arguments: list[str], mistake: str
) -> None:
    assert orch("submit", "job.yaml", *arguments).mistake == mistake


def test_a_plan_of_evaluations_is_made_on_this_machine(orch: Callable[..., Any], fake: Fake, store: LocalStore) -> None:
    store.write("trials/x", b"")  # evaluate wants results
    assert orch("evaluate", "job.yaml", "--kind", "quality", "--dry-run", "--address", "slurm").mistake == (
        "--address slurm: a plan does not wait in a queue; leave it out to plan on this machine"
    )
    assert fake.asked("sbatch") == []


def test_an_evaluation_asks_slurm_as_well(orch: Callable[..., Any], fake: Fake, store: LocalStore) -> None:
    store.write("trials/x", b"")
    ran = orch("evaluate", "job.yaml", "--kind", "quality", "--address", "slurm", "--detach", "--time", "1:00:00")
    assert (ran.code, ran.out) == (0, "12\n")
    assert 'evaluate "$folder/job.yaml" --address auto' in fake.script
    assert "--time=1:00:00" in options_of(fake.script)


def test_storage_that_a_script_cannot_name_is_refused(orch: Callable[..., Any], folder: Path) -> None:
    mistake = orch("submit", "job.yaml", "--address", "slurm", "--storage", f"{folder}/50%").mistake
    assert mistake.startswith(f"storage: got '{folder}/50%', of which Slurm's scripts cannot have any of ")
