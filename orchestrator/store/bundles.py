"""Many small tables in few files: copies of rows that no longer change, for faster reading of thousands of files.

A bundle has the rows of files of one folder, each with the stamp that its file had in storage. Its rows count only
while the file exists with that stamp, and each file's only once, however many bundles have it. So a bundle is never
out of date, may be deleted at any time, and repeats no row; it is named after its content, and never changed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestrator.errors import StorageError, StorageUnavailable
from orchestrator.store.parquet import FILE_BYTES, Reader, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.store.location import Store

FOLDER = "bundles"
LEAST = 50
"""Fewer files are read one by one, and not bundled."""
_CELLS = 4_000_000
"""Rows by columns of a bundle: a quarter of what ``store.parquet`` reads."""
_ID, _STAMP = "trial_id", "bundle.stamp"


def read_bundled(
    store: Store, folder: str, keys: Sequence[str], columns: Sequence[str] | None, declared: pa.Schema
) -> Iterator[pa.Table]:
    """Rows of the files ``keys`` of a folder that bundles have: all rows of a file are in one table.

    The tables have ``trial_id``, by which files are named, beside ``columns`` (None for all). A damaged bundle counts
    as empty. Raises StorageError.
    """
    reader = Reader(declared, None if columns is None else [_ID, _STAMP, *columns])
    stamps = store.stamps(folder)
    wanted = {trial_of(key): stamps[key] for key in keys if key in stamps}
    for bundle in store.keys(FOLDER):
        if not wanted or not bundle.startswith(f"{FOLDER}/{folder}-"):
            continue
        rows = _current(store, reader, bundle, wanted)
        if len(rows):
            for trial_id in pc.unique(rows[_ID]).to_pylist():
                del wanted[trial_id]
            yield rows


def write_bundles(store: Store, folder: str, table: pa.Table, stamps: Mapping[str, str]) -> None:
    """Bundle the rows of whole files; ``stamps`` are those of the files before they were read, by trial.

    Raises StorageError.
    """
    ids = table[_ID].to_pylist()
    table = table.append_column(_STAMP, pa.array([stamps[trial_id] for trial_id in ids], pa.string()))
    starts = [place for place in range(len(ids)) if place == 0 or ids[place] != ids[place - 1]]
    limit = max(1, _CELLS // table.num_columns)
    begin = 0
    for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
        if end - begin > limit and start > begin:
            _write(store, folder, table.slice(begin, start - begin))
            begin = start
    _write(store, folder, table.slice(begin))


def _write(store: Store, folder: str, rows: pa.Table) -> None:
    buffer = pa.BufferOutputStream()
    pq.write_table(rows, buffer, compression="zstd", store_schema=False, write_page_checksum=True)
    data = buffer.getvalue().to_pybytes()
    if len(data) <= FILE_BYTES:
        store.write(f"{FOLDER}/{folder}-{hashlib.sha256(data).hexdigest()[:32]}.parquet", data, replace=False)


def _current(store: Store, reader: Reader, bundle: str, wanted: Mapping[str, str]) -> pa.Table:
    """The rows of a bundle whose files are wanted and have the same stamp."""
    empty = pa.table({_ID: pa.array([], pa.string())})
    try:
        rows = reader.read(store.read(bundle, FILE_BYTES))
        rows.validate(full=True)
    except StorageUnavailable:
        raise
    except (UnreadableError, StorageError, pa.ArrowInvalid):  # the files that it copies are read instead
        return empty
    if not {_ID, _STAMP} <= set(rows.column_names) or rows.schema.field(_STAMP).type != pa.string():
        return empty
    stamps = pa.array(wanted.values(), pa.string())
    current = stamps.take(pc.index_in(rows[_ID], pa.array(wanted, pa.string())))
    rows = rows.filter(pc.fill_null(pc.equal(rows[_STAMP], current), False)).drop_columns([_STAMP])
    runs = pc.run_end_encode(rows[_ID].combine_chunks()).values
    return rows if len(runs) == len(runs.unique()) else empty  # a file's rows stand together


def trial_of(key: str) -> str:
    """The id of the trial that a file of a table is named after."""
    return key.rpartition("/")[2].removesuffix(".parquet").split("-")[0]
