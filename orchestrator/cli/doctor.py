"""doctor: what works here, what is missing, and how to get it."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from orchestrator.cli.console import err, out
from orchestrator.cli.options import Overrides, Storage
from orchestrator.errors import OrchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """What one check found: ``good`` or with its remedy."""

    good: bool
    text: str


def doctor(
    job_file: Annotated[
        str | None, typer.Argument(metavar="JOB.yaml", help="Also check this job's data and storage.")
    ] = None,
    overrides: Overrides = None,
    storage: Storage = None,
) -> None:
    """Check Python, torch, devices, Ray, storage and data; say what is missing and how to get it.

    Examples: `orch doctor` · `orch doctor jobs/saturation_sweep.yaml` · `orch doctor --storage s3://bucket/studies`
    """
    from pathlib import Path

    from orchestrator.cli.options import with_storage

    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        ("torch", _torch),
        ("devices", _devices),
        ("ray", _ray),
    ]
    if job_file is None:
        checks.append(("storage", lambda: _storage(storage or "results")))
    else:
        checks += _job_checks(Path(job_file), with_storage(overrides, storage))
    healthy = True
    for name, check in checks:
        finding = _run(name, check)
        healthy &= finding.good
        mark = Text("ok     ", style="green") if finding.good else Text("missing", style="bold red")
        out.print(mark, Text(f"{name:8} {finding.text}"), soft_wrap=True)
    if not healthy:
        raise typer.Exit(2)


def _run(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        if err.is_terminal:
            with err.status(f"checking {name}"):
                return check()
        return check()
    except OrchError as error:
        return Finding(False, str(error))
    except ImportError as error:
        return Finding(False, f"{error}; install with: pip install torch torchvision 'ray[default,train,tune]'")


def _job_checks(path: Path, overrides: list[str]) -> list[tuple[str, Callable[[], Finding]]]:
    from orchestrator.plan.placement import place, this_machine
    from orchestrator.spec.job import load_job

    job = load_job(path, overrides)

    def placing() -> Finding:
        sizes = sorted({trial.workers for trial in job.trials}, reverse=True)
        return Finding(True, "; then ".join(str(place(job.header.resources, size, this_machine())) for size in sizes))

    def data() -> Finding:
        sets = list(dict.fromkeys(trial.settings.data for trial in job.trials))
        found = [f"{one.name}: {len(one.load()):,} training images of {one.shape}" for one in sets]
        return Finding(True, "; ".join(found))

    return [
        ("job", lambda: Finding(True, f"{path}: {len(job.trials)} trials")),
        ("placing", placing),
        ("data", data),
        ("storage", lambda: _storage(job.header.storage)),
    ]


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(sys.version_info >= (3, 11), f"{version} (3.11 or newer is needed)")


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
        there = f"{len(visible)} NVIDIA GPUs are there ({', '.join(dict.fromkeys(gpu.name for gpu in visible))})"
        if torch.version.cuda is None:
            return Finding(False, f"{there}, but torch {torch.__version__} is no CUDA build; install one")
        needs = f"torch {torch.__version__} cannot use them; does the driver support CUDA {torch.version.cuda}?"
        return Finding(False, f"{there}, but {needs}")
    names = ", ".join(gpu.name for gpu in usable)
    hidden = len(present_gpus()) if not usable else 0
    none = f"CUDA_VISIBLE_DEVICES hides {hidden} NVIDIA GPUs" if hidden else "no NVIDIA GPU"
    return Finding(True, f"{machine.cpus} processors, {names or f'{none}: trials train on the CPU'}")


def _ray() -> Finding:
    from orchestrator.plan.placement import this_machine
    from orchestrator.runtime.local import local_ray, ray_version

    with local_ray(this_machine(), gangs=False):
        return Finding(True, f"{ray_version()} starts on this machine")


def _storage(uri: str) -> Finding:
    from orchestrator.store.open import open_store

    store = open_store(uri)
    store.check()
    return Finding(True, f"{store.uri} can be written, read and listed")
