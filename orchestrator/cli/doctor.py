"""doctor: checks what works on this machine, what is missing, and how to get it."""

from __future__ import annotations

import importlib
import json
import platform
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from orchestrator.cli.console import out, spinner
from orchestrator.cli.findings import Finding
from orchestrator.cli.options import (
    AsJson,
    GpusPerNode,
    NamedJob,
    Nodes,
    OptionalJob,
    Overrides,
    Partition,
    SlurmAddress,
    SlurmOption,
    Storage,
    TimeLimit,
    asking_slurm,
    name_job,
    slurm_flags,
)
from orchestrator.cli.slurm_checks import slurm_checks
from orchestrator.cli.usage import refuse_without
from orchestrator.errors import DataError, OrchError, SettingsError
from orchestrator.runtime.launchers import SLURM
from orchestrator.spec.messages import show
from orchestrator.spec.slurm import merged, read_site
from orchestrator.store.open import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.store.location import Store


def doctor(
    job: OptionalJob = None,
    overrides: Overrides = None,
    storage: Storage = None,
    address: SlurmAddress = None,
    partition: Partition = None,
    nodes: Nodes = None,
    gpus_per_node: GpusPerNode = None,
    time: TimeLimit = None,
    slurm: SlurmOption = None,
    as_json: AsJson = False,
) -> None:
    """Check Python, torch, devices, Ray, storage and data; say what is missing and how to get it.

    With a job its data and its storage are checked too; without one, which published data sets lie in `data/`. With
    `--address slurm` Slurm's commands, controller, partition and GPUs are checked, and a node for some seconds.

    Examples: `orch doctor` · `orch doctor jobs/saturation_sweep.yaml` · `orch doctor --storage s3://bucket/studies` ·
    `orch doctor my.yaml --address slurm --partition gpu`
    """
    refuse_without(("JOB", job), ("--set", overrides))
    if address not in (None, SLURM):
        raise SettingsError("--address", "", f"got {show(address)}, expected {SLURM}")
    named = None if job is None else name_job(job, storage, overrides)
    asked = _asked_of_slurm(named, slurm_flags(address, partition, nodes, gpus_per_node, time, slurm))
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        ("torch", _torch),
        ("devices", _devices),
        ("ray", _ray),
    ]
    if job is None or named is None:
        checks.append(("storage", lambda: _storage(open_store("results" if storage is None else storage))))
        checks += _published_sets()
    else:
        checks += _job_checks(job, named)
    if asked is not None:
        root = named.root if named else open_store("results" if storage is None else storage)
        checks += slurm_checks(asked, root)
    findings = {}
    for name, check in checks:
        finding = findings[name] = _run(name, check)
        if not as_json:
            out.print(_mark(finding), Text(f"{name:13} {finding.text}"), soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({name: asdict(finding) for name, finding in findings.items()}, indent=2))
    if not all(finding.good or finding.extra for finding in findings.values()):
        raise typer.Exit(2)


def _asked_of_slurm(
    named: NamedJob | None, flags: dict[str, str | int | bool] | None
) -> dict[str, str | int | bool] | None:
    """What command, job and site ask of sbatch; None where the command does not ask Slurm. Raises SettingsError."""
    if flags is None:
        return None
    if named is not None:
        from orchestrator.runtime.slurm import options_for

        return options_for(asking_slurm(named.load(), flags))
    return merged(read_site(), flags)


def _mark(finding: Finding) -> Text:
    if finding.good:
        return Text("ok     ", style="green")
    return Text("absent ", style="yellow") if finding.extra else Text("missing", style="bold red")


def _run(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        with spinner(f"checking {name}"):
            return check()
    except OrchError as error:
        return Finding(False, str(error))
    except ImportError as error:
        return Finding(False, f"{error}; install with: pip install torch torchvision 'ray[default,train,tune]'")


def _job_checks(argument: str, named: NamedJob) -> list[tuple[str, Callable[[], Finding]]]:
    from orchestrator.plan.checks import find_problem
    from orchestrator.plan.placement import place, this_machine
    from orchestrator.spec.schema_file import named_schema, schema_notes

    job = named.load()

    def placing() -> Finding:
        sizes = sorted({trial.workers for trial in job.examples}, reverse=True)
        return Finding(True, "; then ".join(str(place(job.header.resources, size, this_machine())) for size in sizes))

    def data() -> Finding:
        if problem := find_problem(job.examples, job.header.evaluate):
            return Finding(False, problem)
        sets = list(dict.fromkeys(trial.settings.data for trial in job.examples))
        lines = [f"{data_set.name}: {len(data_set.load()):,} training images of {data_set.shape}" for data_set in sets]
        return Finding(True, "; ".join(lines))

    def schema() -> Finding:
        note = next(schema_notes(Path(job.source)), None)
        return Finding(note is None, note or "the job file names that of this version", extra=True)

    names_schema = named.from_file is not None and named_schema(Path(job.source)) is not None
    return [
        ("job", lambda: Finding(True, f"{argument}: {len(job.trials) + job.to_propose} trials")),
        *([("schema", schema)] if names_schema else []),
        ("placing", placing),
        ("data", data),
        ("storage", lambda: _storage(named.root)),
    ]


def _published_sets() -> list[tuple[str, Callable[[], Finding]]]:
    """Checks of the data sets that are not part of any package: each is there, or says how it is to be had."""
    from orchestrator.data.celeba import Celeba
    from orchestrator.data.mnist import FashionMnist, Mnist

    def check(data_set: Mnist | FashionMnist | Celeba) -> Finding:
        try:
            return Finding(True, f"{data_set.count_images():,} training images in {data_set.root_folder}")
        except DataError as error:
            reason = str(error).removeprefix(f"{data_set.name}: ")
            return Finding(False, reason, extra=True)

    return [(one.name, partial(check, one)) for one in (Mnist(), FashionMnist(), Celeba())]


def _python() -> Finding:
    return Finding(sys.version_info >= (3, 11), f"{platform.python_version()} (3.11 or newer is needed)")


def _torch() -> Finding:
    torch = importlib.import_module("torch")
    importlib.import_module("torchvision")
    return Finding(True, f"{torch.__version__}, {torch.get_num_threads()} threads")


def _devices() -> Finding:
    import torch

    from orchestrator.plan.gpus import present_gpus, usable_gpus, visible_gpus
    from orchestrator.plan.placement import this_machine

    (machine,) = this_machine().nodes
    visible, usable = visible_gpus(), usable_gpus()
    if visible and not usable:
        gpus = f"{len(visible)} NVIDIA GPUs are there ({', '.join(dict.fromkeys(gpu.name for gpu in visible))})"
        if torch.version.cuda is None:
            return Finding(False, f"{gpus}, but torch {torch.__version__} is no CUDA build; install one")
        problem = f"torch {torch.__version__} cannot use them; does the driver support CUDA {torch.version.cuda}?"
        return Finding(False, f"{gpus}, but {problem}")
    names = ", ".join(gpu.name for gpu in usable)
    hidden = len(present_gpus()) if not usable else 0
    none = f"CUDA_VISIBLE_DEVICES hides {hidden} NVIDIA GPUs" if hidden else "no NVIDIA GPU"
    return Finding(True, f"{machine.cpus} processors, {names or f'{none}: trials train on the CPU'}")


def _ray() -> Finding:
    from orchestrator.plan.placement import this_machine
    from orchestrator.runtime.local import local_ray, ray_version

    with local_ray(this_machine()):
        return Finding(True, f"{ray_version()} starts on this machine")


def _storage(store: Store) -> Finding:
    store.check()
    return Finding(True, f"{store.uri} can be written, read and listed")
