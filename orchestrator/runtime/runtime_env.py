"""What travels to a cluster: the job, its data where it has no other way there, and this package."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ClusterError, DataError, StorageError
from orchestrator.runtime.copying import LinkedError, copy_files, measure
from orchestrator.spec.yaml_file import dump_yaml
from orchestrator.state.ledger import COMMIT_VARIABLE, provenance
from orchestrator.store.local import LocalStore
from orchestrator.store.open import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.data import Dataset
    from orchestrator.spec.job import Job

MAX_BYTES = 200_000_000
"""More than that does not go through the head node of a cluster."""

PACKAGE_DATA = ("py.typed", "report/*.html", "report/page.css", "report/page.js", "runtime/launch.sh")
"""What belongs to the package beside its modules, as pyproject.toml says."""

_OF_DRIVER = ("preflight.py", "launch.sh")
"""Files of this folder that the driver starts with."""


@dataclass(frozen=True)
class Upload:
    """A job and what of this machine travels with it; nothing else does."""

    name: str
    """the job's"""
    storage: str
    """where its results go"""
    job: bytes
    """job.yaml"""
    driver: Mapping[str, int]
    """bytes of each file that the driver starts with, by its name"""
    package: Mapping[str, int]
    """bytes of each file of the package, by its path in it"""
    data: Mapping[str, Mapping[str, int]]
    """of each folder that data sets lie in the files that they read and no folder before has: bytes by path"""
    missing: Mapping[str, str]
    """folders of which nothing travels since what data sets need is not there, and what that is"""

    @property
    def parts(self) -> list[tuple[str, int, int]]:
        """All that travels: what it is, the number of files and their bytes."""
        job = [len(self.job), *self.driver.values()]
        sizes = [("the job", job), ("the package", [*self.package.values()])]
        sizes += [(root, [*sizes.values()]) for root, sizes in self.data.items()]
        return [(what, len(each), sum(each)) for what, each in sizes]

    @property
    def size(self) -> int:
        """Bytes of all that travels."""
        return sum(size for _, _, size in self.parts)


def check_storage_is_shared(uri: str) -> None:
    """Raise StorageError for a storage that would be another one on each machine."""
    if isinstance(open_store(uri), LocalStore) and not uri.startswith(("/", "file:")):
        raise StorageError(
            f"storage: got {uri!r}, which a cluster's nodes do not share; expected s3://bucket/prefix or the absolute "
            "path of a folder that all of them mount"
        )


def pack(job: Job, storage: str) -> Upload:
    """Find what travels with a job whose results go to ``storage``; nothing is copied yet.

    Data in the current folder or below it goes along: the files that the data sets read. The rest must be where the
    cluster sees it. Raises StorageError, and DataError for what cannot travel: links, and more than 200 MB.
    """
    check_storage_is_shared(storage)
    upload = Upload(
        job.header.name,
        storage,
        dump_yaml({**job.resolved(), "storage": storage}).encode(),
        measure(Path(__file__).parent, _OF_DRIVER),
        _package_files(),
        *_data_files(job),
    )
    if upload.size > MAX_BYTES:
        what, _, size = max(upload.parts, key=lambda part: part[2])
        raise DataError(
            f"data.root: {what} has {size:,} bytes, and all that is sent along may have {MAX_BYTES:,}; put data where "
            "all nodes see it and give its absolute path"
        )
    return upload


@contextlib.contextmanager
def staged(upload: Upload) -> Iterator[tuple[Path, Path]]:
    """What ``stage`` gives, in a folder that only this user can enter and that is removed afterwards.

    Raises DataError where a file is no longer what it was, ClusterError where there is no room.
    """
    with _room_for(upload.size):
        folder = tempfile.TemporaryDirectory(prefix="orch-submit-")
    with folder as path:
        yield stage(upload, Path(path))


def stage(upload: Upload, folder: Path) -> tuple[Path, Path]:
    """Lay out what travels below ``folder``: the working directory of the driver, and the package.

    Raises DataError, ClusterError.
    """
    working = folder / "job"
    with _room_for(upload.size):
        working.mkdir()
        (working / "job.yaml").write_bytes(upload.job)
        copy_files(Path(__file__).parent, upload.driver, working)
        for sizes in upload.data.values():
            copy_files(Path(), sizes, working)
    return working, stage_package(folder, upload.package)


def stage_package(folder: Path, sizes: Mapping[str, int] | None = None) -> Path:
    """Copy the package's own files below ``folder``. Raises DataError, ClusterError."""
    sizes, package = _package_files() if sizes is None else sizes, folder / "package" / "orchestrator"
    with _room_for(sum(sizes.values())):
        copy_files(_package(), sizes, package)
    return package


@contextlib.contextmanager
def _room_for(size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ClusterError(
            f"what travels ({size:,} bytes) finds no place in a temporary folder ({error.strerror or error}); "
            "set TMPDIR to one that has room"
        ) from error


def _package() -> Path:
    import orchestrator

    return Path(orchestrator.__path__[0]).resolve()


def _package_files() -> dict[str, int]:
    """Modules and PACKAGE_DATA: nothing else that lies beside them, such as hidden files and an editor's copies."""
    package = _package()
    found = []
    for folder, folders, names in os.walk(package):
        below = Path(folder).relative_to(package)
        folders[:] = [name for name in folders if name.isidentifier() and name != "__pycache__"]
        for name in names:
            path = (below / name).as_posix()
            is_module = name.endswith(".py") and name[:-3].isidentifier()
            if is_module or any(fnmatch.fnmatchcase(path, pattern) for pattern in PACKAGE_DATA):
                found.append(path)
    try:
        return measure(package, found)
    except LinkedError as error:
        raise DataError(
            f"{package / error.paths[0]}: is a link, which is not sent; put the file itself there"
        ) from error


def _data_files(job: Job) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
    """The files that data sets below the current folder read, by the folders they lie in; and what is missing."""
    wanted: dict[str, set[str]] = {}
    missing: dict[str, str] = {}
    for root, data in _with_relative_roots(job):
        if ".." in Path(root).parts:
            raise DataError(f"data.root: got {root!r}, expected a folder below the current one, or an absolute path")
        try:
            files = data.files()
        except DataError as error:  # the cluster's plan says so where it matters: results may be there already
            missing[root] = str(error)
            continue
        wanted.setdefault(root, set()).update((Path(root) / file).as_posix() for file in files)
    found: dict[str, dict[str, int]] = {}
    for root in sorted(wanted):
        before = {path for sizes in found.values() for path in sizes}
        found[root] = _sizes(root, wanted[root] - before)
    return {root: sizes for root, sizes in found.items() if sizes}, missing


def _sizes(root: str, files: set[str]) -> dict[str, int]:
    try:
        sizes = measure(Path(), files)
    except LinkedError as error:
        raise DataError(
            f"data.root: links are not sent: {len(error.paths):,} of the {len(files):,} files of {root} are, or are "
            f"reached through one, such as {error.paths[0]}; copy the files there, or give an absolute path that all "
            "nodes see"
        ) from error
    for path in sizes:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise DataError(f"{path}: its name is not UTF-8, in which names travel; rename it") from None
    return sizes


def _with_relative_roots(job: Job) -> Iterator[tuple[str, Dataset]]:
    """The data sets that training and evaluations look at, where their roots depend on the current folder."""
    sets = [trial.settings.data for trial in job.trials]
    sets += [other for evaluation in job.header.evaluate for other in evaluation.others]
    for data in dict.fromkeys(sets):
        root = getattr(data, "root", None)
        if root is not None and not Path(root).is_absolute() and not str(Path(root)).startswith("~"):
            yield Path(root).as_posix(), data


def entrypoint(ray_version: str, arguments: Sequence[str]) -> str:
    """The shell's line that runs ``orch`` with these arguments on the cluster, once a Python is found fit to."""
    return shlex.join(["exec", "sh", _OF_DRIVER[1], ray_version, *arguments])


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
