"""Opens a study by the name of a folder, a URL or a job file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.api.study import Study
from orchestrator.errors import NotFoundError, SettingsError
from orchestrator.spec.job import load_job
from orchestrator.spec.messages import show
from orchestrator.spec.yaml_file import SUFFIXES
from orchestrator.state.files import has_job
from orchestrator.store.local import LocalStore
from orchestrator.store.open import open_store
from orchestrator.study import load_study

if TYPE_CHECKING:
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

_STORAGE = "results"
_NAMED = 5


def open_study(where: str | os.PathLike[str]) -> Study:
    """The results of a job, in its folder, at its URL, or where its job file says.

    That is ``results/quickstart``, ``s3://bucket/studies/quickstart`` or ``jobs/quickstart.yaml``. Of a job file the
    description, grid and claims are the file's own, as in the commands. Everything but networks and pictures is read
    at once. Raises NotFoundError where there are no results, SettingsError, StorageError.
    """
    name = os.fspath(where) if isinstance(where, str | os.PathLike) else None
    if not isinstance(name, str):
        raise SettingsError("open", "", f"got {show(where)}, expected a job's folder, its s3:// URL, or a job file")
    if Path(name).suffix in SUFFIXES and "://" not in name:
        job = load_job(Path(name).expanduser())
        return read_study(open_store(job.header.storage).child(job.header.name), job)
    store = open_store(name)
    if isinstance(store, LocalStore) and not Path(store.uri).is_dir():
        elsewhere = Path(_STORAGE) / name
        hint = f"did you mean {elsewhere}?" if elsewhere.is_dir() else "'orch list' shows the jobs of a storage"
        raise NotFoundError(f"{store.uri}: there is no such folder; {hint}")
    return read_study(store)


def read_study(store: Store, job: Job | None = None) -> Study:
    """The study whose results lie below ``store``. Raises NotFoundError, which names the jobs of a whole storage."""
    try:
        return Study(load_study(store, job), store, job)
    except NotFoundError as error:
        names = [] if has_job(store) else [one for one in store.folders() if has_job(store.child(one))]
        if not names:
            raise
        there = ", ".join(names[:_NAMED])
        raise NotFoundError(f"{store.uri}: is no job but a storage of jobs; open one of them, as {there}") from error
