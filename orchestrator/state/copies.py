"""Copies a job to another storage: each file is read back, and what is interrupted is gone on with.

While a copy is not whole, ``copy.json`` lies beside it: runs and plans refuse the job, and the next copy from the same
storage goes on. Rows of trials come after all else, then the job file; only then is that record removed.
"""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.errors import NotFoundError, StorageError
from orchestrator.state.bundling import bundle_results
from orchestrator.state.files import JOB_KEY
from orchestrator.state.layout import CLASSIFIERS, is_ours
from orchestrator.state.lease import FOLDER as LEASES
from orchestrator.state.records import read_record
from orchestrator.store.bundles import FOLDER as BUNDLES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from orchestrator.store.location import Store

COPY_KEY = "copy.json"
_OF_RUNS = ("handover.json", "cancel.json", COPY_KEY)
"""Files that say something of one storage only; leases and bundles, which name a storage's stamps, are others."""
_CLASSIFIER = re.compile(r"[0-9a-f]{32}\.pt")
_TOGETHER, _BYTES = 200, 128_000_000
"""Files, and bytes, that are copied between two records of how far it is."""


@dataclass(frozen=True)
class Unfinished:
    """The record of a copy that is not whole: of the files in their order the first ``done`` are there and checked."""

    source: str
    listing: str = ""
    """A hash of the names and stamps of the source's files."""
    done: int = 0


@dataclass(frozen=True)
class Progress:
    """How many files, and how many of their bytes, are there and checked."""

    files: int
    size: int


def unfinished_copy(store: Store) -> Unfinished | None:
    """The record of a copy that is not whole; None for any other job. Raises StorageError."""
    return read_record(store, COPY_KEY, Unfinished)


def refuse_unfinished(store: Store) -> None:
    """Raise StorageError where the job is a copy that is not whole."""
    if (record := unfinished_copy(store)) is not None:
        raise StorageError(
            f"{store.uri}: is an unfinished copy of {record.source}; the same 'orch copy' goes on with it, 'orch rm' "
            "removes it"
        )


def files_to_copy(store: Store, figures: Collection[str]) -> dict[str, int]:
    """Key and size of what a copy takes, in its order; ``figures`` are the keys of those of reports."""
    found = {key: size for key, size in store.sizes().items() if is_ours(key) or key in figures}
    ours = (key for key in found if key not in _OF_RUNS and not key.startswith((f"{LEASES}/", f"{BUNDLES}/")))
    return {key: found[key] for key in sorted(ours, key=lambda key: (_stage(key), key))}


def check_target(source: Store, target: Store) -> Unfinished:
    """What the target has of a copy from the source. Raises StorageError where it has anything else."""
    record = unfinished_copy(target)
    if record is None:
        if any(not key.startswith(f"{LEASES}/") for key in target.keys()):  # noqa: SIM118 - a store is no mapping
            problem = "has a job of that name already, and none is copied onto another; name another storage"
            raise StorageError(f"{target.uri}: {problem}, or remove that one: orch rm")
        return Unfinished(source.uri)
    if record.source != source.uri:
        problem = f"has an unfinished copy of {record.source}; finish it, or remove it: orch rm"
        raise StorageError(f"{target.uri}: {problem}")
    return record


def copy_classifiers(source: Store, target: Store) -> None:
    """Copy the classifiers that a storage lacks, which its jobs' FIDs are measured by; none is replaced.

    Raises StorageError.
    """
    ours, theirs = source.child(CLASSIFIERS), target.child(CLASSIFIERS)
    there = set(theirs.keys())
    for key in ours.keys():  # noqa: SIM118 - a store is no mapping
        if _CLASSIFIER.fullmatch(key) and key not in there:
            _copy_file(ours, theirs, key, None)


def copy_job(
    source: Store, target: Store, figures: Collection[str], advance: Callable[[Progress], None] = lambda _: None
) -> Progress:
    """Copy the job, whose ``target`` is guarded; returns what it has then. Raises StorageError, LeaseLostError."""
    files = files_to_copy(source, figures)
    record = check_target(source, target)
    listing = _listing(source, files)
    record = record if record.listing == listing else replace(record, listing=listing, done=0)
    target.write(COPY_KEY, _content(record))
    there = target.sizes()
    keys = list(files)
    checked = {key for key in keys[: record.done] if there.get(key) == files[key]}
    size = sum(files[key] for key in checked)
    advance(Progress(len(checked), size))
    with ThreadPoolExecutor(min(source.parallel_reads, target.parallel_reads)) as pool:
        for stage, batch in _batches({key: files[key] for key in keys if key not in checked}):
            if stage:
                _refuse_change(source, figures, listing)
            list(pool.map(lambda key: _copy_file(source, target, key, there.get(key)), batch))
            checked.update(batch)
            size += sum(files[key] for key in batch)
            record = replace(record, done=_leading(keys, checked))
            target.write(COPY_KEY, _content(record))
            advance(Progress(len(checked), size))
    _refuse_change(source, figures, listing)
    _finish(target, files)
    return Progress(len(files), size)


def _finish(target: Store, files: Mapping[str, int]) -> None:
    """Remove what an earlier try took of files that the source has no longer, and then the record."""
    there = files_to_copy(target, [key for key in files if not is_ours(key)])
    for key in there.keys() - files.keys():
        target.delete(key)
    wrong = next((key for key, size in files.items() if there.get(key) != size), None)
    if wrong is not None:
        raise StorageError(f"{target.uri}/{wrong}: was changed while the job was copied; copy it again")
    bundle_results(target)
    target.delete(COPY_KEY)


def _stage(key: str) -> int:
    return 2 if key == JOB_KEY else int(key.startswith("trials/"))


def _batches(files: Mapping[str, int]) -> Iterator[tuple[int, list[str]]]:
    """The files in their order, of one stage together, so many that memory holds them."""
    batch: list[str] = []
    size = 0
    for key, more in files.items():
        if batch and (len(batch) == _TOGETHER or size + more > _BYTES or _stage(key) != _stage(batch[0])):
            yield _stage(batch[0]), batch
            batch, size = [], 0
        batch.append(key)
        size += more
    if batch:
        yield _stage(batch[0]), batch


def _leading(keys: Sequence[str], checked: Collection[str]) -> int:
    """How many of the keys, from the first on, are checked."""
    return next((place for place, key in enumerate(keys) if key not in checked), len(keys))


def _copy_file(source: Store, target: Store, key: str, size: int | None) -> None:
    """Copy one file and read it back; ``size`` is that of the target's file, which may be the same already."""
    try:
        data = source.read(key)
    except NotFoundError as error:
        raise _changed(source) from error
    digest, count = hashlib.sha256(data).digest(), len(data)
    if size == count and hashlib.sha256(target.read(key)).digest() == digest:
        return
    target.write(key, data)
    del data
    back = target.read(key)
    if len(back) != count or hashlib.sha256(back).digest() != digest:
        raise StorageError(f"{target.uri}/{key}: reads back otherwise than it was written; choose another storage")


def _listing(source: Store, files: Collection[str]) -> str:
    stamps = source.stamps()
    listed = sorted((key, stamps.get(key, "")) for key in files)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _refuse_change(source: Store, figures: Collection[str], listing: str) -> None:
    if _listing(source, files_to_copy(source, figures)) != listing:
        raise _changed(source)


def _changed(source: Store) -> StorageError:
    return StorageError(f"{source.uri}: was changed while it was copied; copy it again once no run is at work")


def _content(record: Unfinished) -> bytes:
    return json.dumps(asdict(record)).encode()
