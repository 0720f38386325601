"""Arguments and options that several commands share, and their meaning."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.completion import complete_job
from orchestrator.cli.usage import refuse_without
from orchestrator.errors import NotFoundError, SettingsError

if TYPE_CHECKING:
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

_JOB = typer.Argument(
    metavar="JOB", help="A job's name, or its job file.", show_default=False, autocompletion=complete_job
)
JobName = Annotated[str, _JOB]
OptionalJob = Annotated[str | None, _JOB]
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
    typer.Option(
        "--address", metavar="URL", help="A Ray cluster: its dashboard's URL, or auto on a node of it; or slurm."
    ),
]
SlurmAddress = Annotated[
    str | None, typer.Option("--address", metavar="slurm", help="slurm: check the Slurm of this login node too.")
]
Detach = Annotated[bool, typer.Option("--detach", help="With --address: hand the job over and leave it.")]
TakeOver = Annotated[
    bool,
    typer.Option("--take-over", help="Take the place of a run of the job that is dead, on a machine that is not this."),
]
Partition = Annotated[
    str | None, typer.Option("--partition", metavar="NAME", help="With --address slurm: the partition to run in.")
]
Nodes = Annotated[str | None, typer.Option("--nodes", metavar="N", help="With --address slurm: nodes; 1 by default.")]
GpusPerNode = Annotated[
    str | None, typer.Option("--gpus-per-node", metavar="N", help="With --address slurm: GPUs of each node.")
]
TimeLimit = Annotated[
    str | None,
    typer.Option("--time", metavar="TIME", help="With --address slurm: the time limit, after which it goes on anew."),
]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm", metavar="KEY=VALUE", help="With --address slurm: any option of sbatch, as account=x; repeatable."
    ),
]
StorageName = Annotated[
    str, typer.Argument(metavar="STORAGE", help="Where results are: a folder or s3://bucket/prefix.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script to read.")]
DryRunAsJson = Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON for a script to read.")]

STORAGE = "results"
ON_THIS_MACHINE = (None, "auto")
"""Addresses that name no other machine."""
_SHOWN = 20


def reject_detach(detach: bool) -> None:
    """Raise SettingsError where --detach is given for a job that runs on this machine."""
    if detach:
        raise SettingsError("--detach", "", "needs --address with the URL of a cluster, to which the job is left")


@dataclass(frozen=True)
class NamedJob:
    """The job that the argument JOB names, in every command.

    A job file brings its own name, storage, trials and claims. A name is that of the job last submitted under it to a
    storage. ``root`` is the storage in which the job's results have a folder.
    """

    name: str
    root: Store
    overrides: tuple[str, ...] = ()
    from_file: Job | None = None

    @property
    def store(self) -> Store:
        """The root of the job's results."""
        return self.root.child(self.name)

    @property
    def storage(self) -> str:
        """The storage as a cluster gets it: a relative path stays relative, so that it can be refused."""
        return self.root.uri if self.from_file is None else self.from_file.header.storage

    def load(self) -> Job:
        """The job. Raises NotFoundError for a name that is not in the storage, SettingsError, StorageError."""
        if self.from_file is not None:
            return self.from_file
        from orchestrator.state.files import read_job

        try:
            return read_job(self.store, self.overrides)
        except NotFoundError as error:
            raise NotFoundError(f"{error}{self._hint()}") from error

    def load_to_run(self) -> Job:
        """The job, for a command that writes results to its storage. Raises StorageError where that can hold none."""
        from orchestrator.store.local import LocalStore

        job = self.load()
        if isinstance(self.store, LocalStore):
            self.store.check_place()
        return job

    def require(self) -> None:
        """Raise NotFoundError unless the storage has the job or results of it."""
        from orchestrator.state.files import NO_SUCH_JOB, has_job

        store = self.store
        if not has_job(store) and not store.keys():
            raise NotFoundError(f"{store.uri}: {NO_SUCH_JOB}{'' if self.from_file else self._hint()}")

    def _hint(self) -> str:
        """The end of an error about a name: a job file or another job of the storage that may have been meant."""
        from orchestrator.spec.messages import nearest
        from orchestrator.state.files import has_job

        for path in (f"{self.name}.yaml", f"jobs/{self.name}.yaml"):
            if Path(path).is_file():
                return f"; did you mean the file {path}?"
        folders = self.root.folders()
        near = nearest(self.name, folders)
        candidates = dict.fromkeys([*([near] if near else []), *folders])  # limited below: each takes a request
        names = [name for name in list(candidates)[:_SHOWN] if has_job(self.root.child(name))]
        hint = f"did you mean {near!r}? " if near in names else ""
        return f"; {hint}jobs there: {', '.join(sorted(names))}{', ...' * (len(candidates) > _SHOWN)}" if names else ""


def slurm_flags(
    address: str | None,
    partition: str | None,
    nodes: str | None,
    gpus_per_node: str | None,
    time: str | None,
    pairs: list[str] | None,
) -> dict[str, str | int | bool] | None:
    """What the command asks of sbatch; None without ``--address slurm``. Raises SettingsError."""
    from orchestrator.runtime.launchers import SLURM
    from orchestrator.spec.slurm import read_flags

    options = {"partition": partition, "nodes": nodes, "gpus-per-node": gpus_per_node, "time": time}
    given = [*((f"--{name}", value) for name, value in options.items()), ("--slurm", pairs)]
    refuse_without((f"--address {SLURM}", address == SLURM), *given)
    return read_flags(options, pairs or []) if address == SLURM else None


def asking_slurm(job: Job, flags: dict[str, str | int | bool] | None) -> Job:
    """The job with what the command asks of Slurm in its resources, where ``orch resume`` finds it again."""
    if flags is None:
        return job
    resources = job.header.resources
    asked = {**(resources.slurm or {}), **flags}
    resources = resources.model_copy(update={"slurm": asked or None})
    return replace(job, header=job.header.model_copy(update={"resources": resources}))


def open_storage(uri: str) -> Store:
    """The storage, which is there. Raises StorageError, SettingsError where it is a job's own folder."""
    from orchestrator.state.files import has_job
    from orchestrator.store.local import LocalStore
    from orchestrator.store.open import open_store

    root = open_store(uri)
    if isinstance(root, LocalStore) and not Path(root.uri).is_dir():
        raise NotFoundError(f"{root.uri}: no such folder; orch submit makes it, or name another storage")
    if has_job(root):
        parent = root.uri.rpartition("/")[0]
        raise SettingsError("STORAGE", "", f"{root.uri} is a job's own folder, expected the one above it: {parent}")
    root.folders()
    return root


def name_job(job: str, storage: str | None, overrides: list[str] | None = None) -> NamedJob:
    """The job that JOB names, without a request to the storage. Raises SettingsError, StorageError."""
    from orchestrator.spec.job import load_job
    from orchestrator.store.open import open_store

    if (path := _job_file(job)) is not None:
        loaded = load_job(path, overrides or [])
        if storage is not None:
            loaded = replace(loaded, header=loaded.header.model_copy(update={"storage": storage}))
        return NamedJob(loaded.header.name, open_store(loaded.header.storage), from_file=loaded)
    for setting in (override.partition("=")[0].strip() for override in overrides or []):
        if setting in ("name", "storage"):
            problem = "cannot be set of a job that is in storage; name its job file instead"
            raise SettingsError("--set", setting, problem)
    return NamedJob(job, open_store(STORAGE if storage is None else storage), tuple(overrides or ()))


def _job_file(job: str) -> Path | None:
    """The file that JOB names, None where JOB is a job's name: a file ends in .yaml or .yml, or holds a slash.

    Raises SettingsError where it is neither.
    """
    from pydantic import TypeAdapter, ValidationError

    from orchestrator.spec.job import Name
    from orchestrator.spec.yaml_file import SUFFIXES

    path = Path(job)
    if job.startswith("~"):
        with contextlib.suppress(RuntimeError):  # no such user: then it is a file of that name
            path = path.expanduser()
    if path.suffix in SUFFIXES or ("/" in job and path.exists() and not path.is_dir()):
        return path
    problem = f"got {job!r}, expected a job's name or its job file"
    if "/" in job and (path / "job.yaml").is_file():
        problem += f"; for the job in that folder write: {path.name} --storage {path.parent}"
    try:
        TypeAdapter(Name).validate_python(job)
    except ValidationError as error:
        raise SettingsError("JOB", "", problem) from error
    return None
