"""What travels to a cluster: the job, its data where it has no other way there, and this package."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import DataError, StorageError
from orchestrator.plan.ledger import COMMIT_VARIABLE, provenance
from orchestrator.runtime import preflight
from orchestrator.spec.yaml_file import dump_yaml
from orchestrator.store.local import LocalStore
from orchestrator.store.open import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.spec.job import Job

MAX_DATA_BYTES = 200_000_000
"""More data than that does not go through the head node of a cluster."""

_LAUNCH = Path(__file__).with_name("launch.sh")

_SKIPPED = shutil.ignore_patterns("__pycache__", ".gitignore", ".rayignore")
"""Ray leaves out what files of the last two names list, which is for other purposes."""


def check_storage_is_shared(uri: str) -> None:
    """Raise StorageError for a storage that would be another one on each machine."""
    if isinstance(open_store(uri), LocalStore) and not uri.startswith(("/", "file:")):
        raise StorageError(
            f"storage: got {uri!r}, which a cluster's nodes do not share; expected s3://bucket/prefix or the absolute "
            "path of a folder that all of them mount"
        )


def stage(job: Job, storage: str, folder: Path) -> tuple[Path, Path]:
    """Lay out what travels below ``folder``: the working directory of the driver, and the package.

    Data below the current folder goes along; the rest must be where the cluster sees it. Raises DataError.
    """
    import orchestrator

    working, package = folder / "job", folder / "package" / "orchestrator"
    working.mkdir()
    shutil.copy(preflight.__file__, working / "preflight.py")
    shutil.copy(_LAUNCH, working / _LAUNCH.name)
    (working / "job.yaml").write_text(dump_yaml({**job.resolved(), "storage": storage}))
    total = 0
    for root in sorted(set(_relative_roots(job))):
        if ".." in Path(root).parts:
            raise DataError(f"data.root: got {root!r}, expected a folder below the current one, or an absolute path")
        if Path(root).is_dir():
            total += _size(Path(root))
            if total > MAX_DATA_BYTES:
                raise DataError(
                    f"data.root: {root} holds over {MAX_DATA_BYTES // 1_000_000} MB, too much to send along; put it "
                    "where all nodes see it and give its absolute path"
                )
            shutil.copytree(root, working / root, ignore=_SKIPPED, dirs_exist_ok=True)
    shutil.copytree(Path(orchestrator.__path__[0]), package, ignore=_SKIPPED)
    return working, package


def _relative_roots(job: Job) -> Iterator[str]:
    for data in {trial.settings.data for trial in job.trials}:
        root = getattr(data, "root", None)
        if root is not None and not Path(root).expanduser().is_absolute():
            yield str(root)


def _size(folder: Path) -> int:
    """Bytes of the files below a folder, counted no further than what is too much."""
    total = 0
    for path in folder.rglob("*"):
        total += path.stat().st_size if path.is_file() else 0
        if total > MAX_DATA_BYTES:
            break
    return total


def entrypoint(ray_version: str, arguments: Sequence[str]) -> str:
    """The shell's line that runs ``orch`` with these arguments on the cluster, once a Python is found fit to."""
    return shlex.join(["exec", "sh", _LAUNCH.name, ray_version, *arguments])


def environment(submission_id: str, address: str) -> dict[str, Any]:
    """What the driver is told of where it and its code are from; nothing of this machine's environment goes along."""
    code = provenance()
    commit = f"{code['git_commit']}{'-dirty' if code['git_dirty'] else ''}" if code["git_commit"] else ""
    return {
        COMMIT_VARIABLE: commit,
        "ORCH_SUBMISSION_ID": submission_id,
        "ORCH_ADDRESS": address,
        # Ray kills a driver that it stopped after three seconds; trials take longer to store their last states.
        "RAY_JOB_STOP_WAIT_TIME_S": "120",
    }
