"""Arguments and options that several commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

JobFile = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job file.", show_default=False)]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="A job's name, or its job file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a setting, such as training.epochs=5; repeatable."),
]
Storage = Annotated[
    str | None,
    typer.Option("--storage", metavar="URI", help="Where results are: a folder or s3://bucket/prefix."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="URL", help="A Ray cluster: its dashboard's URL, or auto on a node of it."),
]
Detach = Annotated[bool, typer.Option("--detach", help="With --address: hand the job over and leave it.")]
TakeOver = Annotated[
    bool,
    typer.Option("--take-over", help="Take the place of a run of the job that is dead, on a machine that is not this."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script to read.")]

ON_THIS_MACHINE = (None, "auto")
"""Addresses that name no other machine."""


def reject_detach(detach: bool) -> None:
    """Raise BadParameter where a job is to be left that runs here."""
    if detach:
        raise typer.BadParameter("--detach needs --address with the URL of a cluster, to which the job is left")


def reject_take_over(take_over: bool) -> None:
    """Raise BadParameter where nothing is run that could take another run's place."""
    if take_over:
        raise typer.BadParameter("--take-over has no effect with --dry-run, which runs nothing")


def with_storage(overrides: list[str] | None, storage: str | None) -> list[str]:
    """The overrides, with the option --storage as one of them, quoted: a folder's name need not be YAML."""
    quoted = [f"storage={json.dumps(storage, ensure_ascii=False)}"] if storage is not None else []
    return [*(overrides or []), *quoted]


def find_job(job: str, storage: str | None) -> Store:
    """The root of a submitted job's results, from its name or from its job file. Raises OrchError."""
    from pydantic import TypeAdapter, ValidationError

    from orchestrator.errors import SettingsError
    from orchestrator.spec.job import Name, load_job
    from orchestrator.store.open import open_store

    if Path(job).suffix in (".yaml", ".yml"):
        header = load_job(Path(job), with_storage(None, storage)).header
        return open_store(header.storage).child(header.name)
    try:
        TypeAdapter(Name).validate_python(job)
    except ValidationError as error:
        raise SettingsError("JOB", "", f"got {job!r}, expected a job's name or its job file") from error
    return open_store(storage or "results").child(job)


def asked_job(job: str, store: Store, storage: str | None) -> Job:
    """What a job's name stands for in its storage, or what its job file says. Raises OrchError."""
    from orchestrator.plan.files import read_job
    from orchestrator.spec.job import load_job

    if Path(job).suffix in (".yaml", ".yml"):
        return load_job(Path(job), with_storage(None, storage))
    return read_job(store)
