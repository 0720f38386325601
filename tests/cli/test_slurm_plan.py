"""What a pretended Slurm can give: the allocation of a plan, what is refused, and what doctor finds."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli import doctor
from orchestrator.cli.findings import Finding
from orchestrator.runtime.slurm_partitions import Allocation

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.store.local import LocalStore
    from tests.cli.fake_slurm import Fake

A100, BIG = "gpu:a100:8(S:0-1),nvme:1", "gpu:h100:4"
SINFO = f"""\
gpu|gpu|n1|64|512000|{A100}|1-00:00:00|4:00:00|1-3|NO
gpu|gpu|n2|64|512000|{A100}|1-00:00:00|4:00:00|1-3|NO
gpu|gpu|n3|96|1024000|{BIG}|1-00:00:00|4:00:00|1-3|NO
gpu|gpu|n4|64|512000|{A100}|1-00:00:00|4:00:00|1-3|NO
cpu|cpu*|c1|32|128000|(null)|infinite|n/a|1-infinite|EXCLUSIVE
cpu|cpu*|c2|16|64000|(null)|infinite|n/a|1-infinite|EXCLUSIVE
"""
STARTS = "sbatch: Job 7 to start at 2026-11-30T18:55:09 using 8 processors on nodes n[1-2] in partition gpu\n"


@pytest.fixture(autouse=True)
def site(fake: Fake) -> None:
    fake.answers("sinfo", SINFO)
    fake.answers("sbatch", "12\n", does=f"printf %s '{STARTS}' >&2")
    fake.answers("scontrol", "DefMemPerNode=UNLIMITED\n", "DefMemPerCPU = 4096\n")


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        (["--partition", "gpu", "--nodes", "2", "--gpus-per-node", "8", "--time", "8:00:00"],
         ("gpu", 2, 8, 8, 32768, 28800, 120, True)),
        (["--partition", "cpu,gpu", "--gpus-per-node", "h100:4", "--slurm", "mem=200G"],
         ("gpu", 1, 4, 4, 204800, 14400, 120, False)),
        (["--partition", "gpu", "--slurm", "gres=gpu:a100:2", "--slurm", "cpus-per-task=12",
          "--slurm", "mem-per-cpu=1000"],
         ("gpu", 1, 12, 2, 12000, 14400, 120, False)),
        (["--partition", "gpu", "--slurm", "gpus=6", "--nodes", "3", "--slurm", "cpus-per-gpu=4"],
         ("gpu", 3, 8, 2, 32768, 14400, 120, False)),
        (["--partition", "gpu", "--gpus-per-node", "a100:1", "--slurm", "exclusive=true", "--slurm", "mem=0"],
         ("gpu", 1, 64, 8, 512000, 14400, 120, False)),
        (["--slurm", "signal=B:USR1@300"], ("cpu", 1, 16, 0, 64000, None, 300, False)),
        (["--slurm", "cpus-per-task=20"], ("cpu", 1, 32, 0, 128000, None, 120, False)),
    ],
)  # fmt: skip
def test_a_plan_knows_what_the_allocation_holds(
    orch: Callable[..., Any], untouched: None, options: list[str], holds: tuple[Any, ...]
) -> None:
    plan = json.loads(orch("plan", "job.yaml", "--address", "slurm", "--json", *options).out)
    names = ("partition", "nodes", "cpus", "gpus", "memory_mb", "time_s", "storing_s", "given")
    assert plan["allocation"] == {
        **dict(zip(names, holds, strict=True)),
        "requeues": 0,
        "start": "2026-11-30 18:55:09 on n[1-2]",
    }
    (placement,) = plan["placements"]
    _, nodes, cpus, gpus, *_ = holds
    assert placement["device"] == ("cuda" if gpus else "cpu")
    assert placement["concurrent"] == nodes * (gpus or cpus)


def test_a_plan_says_whether_its_time_suffices(orch: Callable[..., Any], fake: Fake) -> None:
    command = ["plan", "job.yaml", "--address", "slurm", "--partition", "gpu", "--gpus-per-node", "1"]
    ran = orch(*command, "--time", "8:00:00")
    assert (ran.code, ran.err) == (0, "")
    slurm, time, start = ran.out.splitlines()[-3:]
    assert slurm == "slurm    1 node of partition gpu, 1 CPU, 1 GPU, 4 GiB each"
    assert time.startswith("time     needs ")
    assert time.endswith(" s, 8 h 00 min asked")
    assert start == "start    2026-11-30 18:55:09 on n[1-2]"
    long = orch(*command, "--time", "3:00", "--set", "training.epochs=20000")
    (time,) = (line for line in long.out.splitlines() if line.startswith("time "))
    assert ", 3 min 00 s asked: it will requeue " in time
    assert fake.asked("sbatch") == ["--test-only"] * 2


@pytest.mark.parametrize(
    ("time_s", "needs_s", "times"),
    [
        (None, 1e9, 0),
        (28_800, 28_680, 0),
        (28_800, 50_400, 1),  # 14 h of work, 8 h asked
        (28_800, 28_680 + 28_669, 1),
        (28_800, 28_680 + 28_670, 2),
        (180, 60, 0),
        (131, 60, math.inf),
    ],
)
def test_each_attempt_takes_its_start_and_its_storing(time_s: int | None, needs_s: float, times: float) -> None:
    allocation = Allocation("gpu", 1, 1, 0, None, time_s, 120, given=True)
    assert allocation.requeues(needs_s, 11.0) == times


@pytest.mark.parametrize("verb", ["plan", "submit"])
@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        (["--partition", "gpux"], "--partition: got 'gpux', expected one of cpu, gpu"),
        (["--partition", "gpu", "--gpus-per-node", "9"],
         "--gpus-per-node: got '9', expected at most 8 GPUs of a node in partition gpu"),
        (["--gpus-per-node", "1"], "--gpus-per-node: got '1', expected at most 0 GPUs of a node in partition cpu"),
        (["--partition", "gpu", "--gpus-per-node", "v100:1"],
         "--gpus-per-node: got 'v100:1', expected at most 0 v100 GPUs of a node in partition gpu; "
         "there are a100, h100"),
        (["--partition", "gpu", "--slurm", "gres=gpu:h100:5"],
         "--slurm: gres: got 'gpu:h100:5', expected at most 4 h100 GPUs of a node in partition gpu; "
         "there are a100, h100"),
        (["--partition", "gpu", "--nodes", "4"], "--nodes: got 4, expected at most 3 in partition gpu"),
        (["--partition", "gpu", "--nodes", "2", "--gpus-per-node", "h100:4"],
         "--nodes: got 2, expected at most 1 in partition gpu: others lack 4 GPUs and 4 processors"),
        (["--nodes", "3"], "--nodes: got 3, expected at most 2 in partition cpu"),
        (["--slurm", "cpus-per-task=33"],
         "--slurm: cpus-per-task: got 33, expected at most 32 processors of a node in partition cpu"),
        (["--slurm", "mem=126G"], "--slurm: mem: got '126G', expected at most 128000 MB of a node in partition cpu"),
        (["--partition", "gpu", "--time", "1-00:00:01"],
         "--time: got '1-00:00:01', expected at most 1 d 0 h in partition gpu"),
    ],
)  # fmt: skip
def test_what_a_partition_can_never_give_is_refused(
    orch: Callable[..., Any], fake: Fake, untouched: None, verb: str, options: list[str], mistake: str
) -> None:
    assert orch(verb, "job.yaml", "--address", "slurm", *options).mistake == mistake
    assert fake.asked("sbatch") == []


def test_without_a_default_partition_one_must_be_named(orch: Callable[..., Any], fake: Fake) -> None:
    fake.answers("sinfo", SINFO.replace("*", ""))
    assert orch("plan", "job.yaml", "--address", "slurm").mistake == (
        "--partition: is missing, expected one of cpu, gpu: this Slurm has none by default"
    )


def test_what_only_slurm_can_refuse_is_its_own_line(orch: Callable[..., Any], fake: Fake) -> None:
    fake.answers("sbatch", error="allocation failure: Invalid account or account/partition combination specified")
    assert orch("plan", "job.yaml", "--address", "slurm", "--slurm", "account=x").mistake == (
        "sbatch: allocation failure: Invalid account or account/partition combination specified"
    )


def test_a_slurm_that_does_not_tell_its_partitions_still_gets_the_job(orch: Callable[..., Any], fake: Fake) -> None:
    fake.answers("sinfo", error="access denied")
    assert orch("submit", "job.yaml", "--address", "slurm", "--detach").out == "12\n"


@pytest.fixture
def findings(orch: Callable[..., Any], fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    for name in ("_torch", "_devices", "_ray"):
        monkeypatch.setattr(doctor, name, lambda: Finding(True, "left out"))
    fake.answers("sbatch", "slurm 22.05.8\n")
    fake.answers("scontrol", "Slurmctld(primary) at head is UP\n")
    for name in ("srun", "squeue", "scancel"):
        fake.answers(name, "")

    def findings(*options: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(orch("doctor", "--address", "slurm", "--json", *options).out)
        return {name: found[name] for name in ("sbatch", "controller", "partition", "gres", "nodes")}

    return findings


def test_doctor_finds_a_slurm_that_works(
    findings: Callable[..., dict[str, Any]], fake: Fake, store: LocalStore
) -> None:
    found = findings("--partition", "gpu", "--gpus-per-node", "2", "--slurm", "account=vision")
    root = store.uri.removesuffix("/study")
    assert {name: finding["text"] for name, finding in found.items()} == {
        "sbatch": "slurm 22.05.8",
        "controller": "Slurmctld(primary) at head is UP",
        "partition": "gpu: 4 nodes can hold what is asked for; there are cpu too",
        "gres": "up to 8 GPUs a node (a100, h100)",
        "nodes": f"a node runs {sys.executable}, imports orch, and sees {root}",
    }
    assert all(finding["good"] for finding in found.values())
    asked = " ".join(fake.asked("srun"))
    assert "--immediate=20 --partition=gpu --account=vision /bin/sh -c" in asked
    assert not any(path.name.startswith(".doctor") for path in Path(root).iterdir()), "the mark is removed"


@pytest.mark.parametrize(
    ("command", "error", "name", "text"),
    [
        ("scontrol", "Slurmctld(primary) at head is DOWN", "controller", "Slurmctld(primary) at head is DOWN"),
        ("srun", "n7 has no such Python\nsrun: error: n7: task 0: Exited with exit code 2", "nodes",
         f"n7 has no such Python, {sys.executable}; install orch where the nodes see it, as in your home"),
        ("srun", "/here/results is another folder there than here", "nodes",
         "/here/results is another folder there than here; take --storage on a file system that the nodes share, "
         "or s3://bucket/prefix"),
        ("srun", "ModuleNotFoundError: no orchestrator", "nodes",
         "ModuleNotFoundError: no orchestrator; the nodes must see this Python and this storage"),
    ],
)  # fmt: skip
def test_doctor_tells_what_is_missing_and_the_remedy(
    findings: Callable[..., dict[str, Any]], fake: Fake, command: str, error: str, name: str, text: str
) -> None:
    fake.answers(command, error=error)
    found = findings()[name]
    assert (found["good"], found["extra"]) == (False, False)
    assert text in found["text"]


def test_doctor_says_what_was_not_tried(findings: Callable[..., dict[str, Any]], fake: Fake) -> None:
    fake.answers("srun", error="srun: error: Unable to allocate resources: Requested nodes are busy")
    assert findings()["nodes"] == {
        "good": False,
        "text": "not tried on a node: Unable to allocate resources: Requested nodes are busy",
        "extra": True,
    }
    assert findings()["gres"]["text"] == "no GPUs in partition cpu; --partition gpu has some"


def test_doctor_takes_slurm_alone(orch: Callable[..., Any]) -> None:
    assert orch("doctor", "--address", "http://head:8265").mistake == (
        "--address: got 'http://head:8265', expected slurm"
    )
    assert orch("doctor", "--partition", "gpu").mistake == "--partition: has no effect without --address slurm"
