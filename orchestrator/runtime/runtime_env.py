"""The upload to a cluster: the job, its data where the cluster cannot read it otherwise, and this package."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from orchestrator.errors import ClusterError, DataError, StorageError, one_line
from orchestrator.runtime.copying import LinkedError, copy_files, measure
from orchestrator.spec.yaml_file import dump_yaml
from orchestrator.state.ledger import COMMIT_VARIABLE, commit_to_send
from orchestrator.store.local import LocalStore
from orchestrator.store.open import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.data import Dataset
    from orchestrator.spec.job import Job

MAX_BYTES = 200_000_000
"""The most that is sent through the head node of a cluster."""

PACKAGE_DATA = (
    "py.typed",
    *(f"{folder}/web/*.{ending}" for folder in ("report", "server") for ending in ("html", "css", "js", "txt")),
    "runtime/launch.sh",
)
"""Files of the package beside its modules, the same as in pyproject.toml."""

_DRIVER_FILES = ("preflight.py", "launch.sh")
"""Files of this folder that start the driver."""


@dataclass(frozen=True)
class Upload:
    """A job and all files of this machine that are sent with it."""

    name: str
    """name of the job"""
    storage: str
    """storage of its results"""
    job: bytes
    """content of job.yaml"""
    driver: Mapping[str, int]
    """bytes of each file that starts the driver, by file name"""
    package: Mapping[str, int]
    """bytes of each file of the package, by its path in the package"""
    data: Mapping[str, Mapping[str, int]]
    """for each folder of data sets, the files that they read: bytes by path; a file is listed in one folder only"""
    missing: Mapping[str, str]
    """folders that are not sent since a data set lacks files there, with the reason"""

    @property
    def parts(self) -> list[tuple[str, int, int]]:
        """The parts of the upload: name, number of files, bytes."""
        job = [len(self.job), *self.driver.values()]
        parts = [("the job", job), ("the package", [*self.package.values()])]
        parts += [(root, [*sizes.values()]) for root, sizes in self.data.items()]
        return [(name, len(sizes), sum(sizes)) for name, sizes in parts]

    @property
    def size(self) -> int:
        """Bytes of the whole upload."""
        return sum(size for _, _, size in self.parts)

    def describe(self) -> list[str]:
        """A line on what is sent to a cluster with a job, and a line for each folder of data that is not."""
        parts = [
            f"{name} ({files:,} {'file' if files == 1 else 'files'}, {decimal(size)})"
            for name, files, size in self.parts
        ]
        lines = [f"travels: {', '.join(parts)}; {decimal(self.size)} in all"]
        lines += [
            f"stays: {root}, which lacks what its data set needs: {reason}" for root, reason in self.missing.items()
        ]
        return [one_line(line) for line in lines]


def check_storage_is_shared(uri: str) -> None:
    """Raise StorageError for a storage that would be another folder on each machine."""
    if isinstance(open_store(uri), LocalStore) and not uri.startswith(("/", "file:")):
        raise StorageError(
            f"storage: got {uri!r}, which a cluster's nodes do not share; expected s3://bucket/prefix or the absolute "
            "path of a folder that all of them mount"
        )


def pack(job: Job, storage: str) -> Upload:
    """The upload for a job whose results go to ``storage``; nothing is copied yet.

    It has the files that data sets read in the current folder or below it. Other data must be where the cluster can
    read it. Raises StorageError, and DataError for what cannot be sent: links, and more than 200 MB.
    """
    check_storage_is_shared(storage)
    upload = Upload(
        job.header.name,
        storage,
        dump_yaml({**job.resolved(), "storage": storage}).encode(),
        measure(Path(__file__).parent, _DRIVER_FILES),
        _package_files(),
        *_data_files(job),
    )
    if upload.size > MAX_BYTES:
        name, _, size = max(upload.parts, key=lambda part: part[2])
        raise DataError(
            f"data.root: {name} has {size:,} bytes, and all that is sent along may have {MAX_BYTES:,}; put data where "
            "all nodes see it and give its absolute path"
        )
    return upload


@contextlib.contextmanager
def staged(upload: Upload) -> Iterator[tuple[Path, Path]]:
    """The folders that ``stage`` returns, in a private folder that is removed afterwards.

    Raises DataError where a file has changed, ClusterError where there is no room.
    """
    with _room_for(upload.size):
        folder = tempfile.TemporaryDirectory(prefix="orch-submit-")
    with folder as path:
        yield stage(upload, Path(path))


def stage(upload: Upload, folder: Path) -> tuple[Path, Path]:
    """Copy the upload below ``folder``; returns the driver's working directory and the package's folder.

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
            f"no room for the upload ({size:,} bytes) in a temporary folder ({error.strerror or error}); "
            "set TMPDIR to one that has room"
        ) from error


def _package() -> Path:
    import orchestrator

    return Path(orchestrator.__path__[0]).resolve()


def _package_files() -> dict[str, int]:
    """Bytes of the modules and of PACKAGE_DATA by path, without other files such as hidden ones and editor's copies."""
    package = _package()
    files = []
    for folder, folders, names in os.walk(package):
        below = Path(folder).relative_to(package)
        folders[:] = [name for name in folders if name.isidentifier() and name != "__pycache__"]
        for name in names:
            path = (below / name).as_posix()
            is_module = name.endswith(".py") and name[:-3].isidentifier()
            if is_module or any(fnmatch.fnmatchcase(path, pattern) for pattern in PACKAGE_DATA):
                files.append(path)
    try:
        return measure(package, files)
    except LinkedError as error:
        raise DataError(
            f"{package / error.paths[0]}: is a link, which is not sent; put the file itself there"
        ) from error


def _data_files(job: Job) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
    """Bytes of the files that data sets below the current folder read, by folder and path; and what is missing."""
    files_by_root: dict[str, set[str]] = {}
    missing: dict[str, str] = {}
    for root, data in _with_relative_roots(job):
        if ".." in Path(root).parts:
            raise DataError(f"data.root: got {root!r}, expected a folder below the current one, or an absolute path")
        try:
            files = data.files()
        except DataError as error:  # the cluster's plan reports it where it matters: results may already be in storage
            missing[root] = str(error)
            continue
        files_by_root.setdefault(root, set()).update((Path(root) / file).as_posix() for file in files)
    sizes_by_root: dict[str, dict[str, int]] = {}
    for root in sorted(files_by_root):
        listed = {path for sizes in sizes_by_root.values() for path in sizes}
        sizes_by_root[root] = _sizes(root, files_by_root[root] - listed)
    return {root: sizes for root, sizes in sizes_by_root.items() if sizes}, missing


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
    """The data sets of training and evaluations whose roots depend on the current folder, with these roots."""
    sets = [trial.settings.data for trial in job.examples]
    sets += [other for evaluation in job.header.evaluate for other in evaluation.others]
    for data in dict.fromkeys(sets):
        root = getattr(data, "root", None)
        if root is not None and not Path(root).is_absolute() and not str(Path(root)).startswith("~"):
            yield Path(root).as_posix(), data


def entrypoint(ray_version: str, arguments: Sequence[str]) -> str:
    """The shell command that finds a fit Python on the cluster and runs ``orch`` with these arguments."""
    return shlex.join(["exec", "sh", _DRIVER_FILES[1], ray_version, *arguments])


def environment(submission_id: str, address: str) -> dict[str, Any]:
    """The driver's environment variables: its address, id and commit. No variable of this machine is sent."""
    return {
        COMMIT_VARIABLE: commit_to_send(),
        "ORCH_SUBMISSION_ID": submission_id,
        "ORCH_ADDRESS": address,
        # Ray kills a driver that it stopped after three seconds; trials take longer to store their last states.
        "RAY_JOB_STOP_WAIT_TIME_S": "120",
    }
