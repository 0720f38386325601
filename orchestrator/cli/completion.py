"""What a shell completes: jobs by their file or name, trials by their ids; what cannot be read completes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.errors import OrchError

if TYPE_CHECKING:
    from collections.abc import Iterable

_JOBS = Path("jobs")
_MOST = 1000


def complete_job(context: typer.Context, incomplete: str) -> list[str]:
    """Names of jobs in the storage, where that is a folder, and job files here and in ``jobs/``; or files of a path."""
    from orchestrator.cli.options import STORAGE
    from orchestrator.spec.job import is_name
    from orchestrator.spec.yaml_file import SUFFIXES

    if "/" in incomplete or incomplete.startswith("~"):
        start, _, _ = incomplete.rpartition("/")
        found = _entries(Path(f"{start}/").expanduser())
        return _beginning([_shown(start, path) for path in found if _may_be(path, SUFFIXES)], incomplete)
    storage = str(context.params.get("storage") or STORAGE)
    stored = [] if storage.startswith("s3:") else _entries(Path(storage).expanduser())
    names = [path.name for path in stored if is_name(path.name) and (path / "job.yaml").is_file()]
    files = [str(path) for place in (Path(), _JOBS) for path in _entries(place) if path.suffix in SUFFIXES]
    return _beginning([*names, *files], incomplete)


def complete_trial(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of the trials that the job has in its storage, where that is a folder."""
    from orchestrator.cli.options import name_job
    from orchestrator.store.bundles import trial_of
    from orchestrator.store.local import LocalStore
    from orchestrator.store.tables import parquet_keys

    # While the value of an option is typed, the words before it are not yet parsed.
    job = context.params.get("job") or next((word for word in context.args if not word.startswith("-")), "")
    try:
        store = name_job(job, context.params.get("storage")).store
        ids = {trial_of(key) for key in parquet_keys(store, "trials")} if isinstance(store, LocalStore) else set()
    except OrchError:
        return []
    return _beginning(ids, incomplete)


def trial_argument(words: str) -> Any:
    """The argument TRIAL with this help."""
    return typer.Argument(metavar="TRIAL", help=words, show_default=False, autocompletion=complete_trial)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _shown(start: str, path: Path) -> str:
    return f"{start}/{path.name}{'/' if path.is_dir() else ''}"


def _may_be(path: Path, suffixes: Iterable[str]) -> bool:
    return path.suffix in suffixes or path.is_dir()


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """The names that begin so, sorted; without those that a terminal would obey rather than show."""
    return sorted({name for name in names if name.startswith(incomplete) and name.isprintable()})[:_MOST]
