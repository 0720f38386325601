"""Rows to Parquet files and back: strict when writing, tolerant when reading what another version wrote."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from orchestrator.errors import StorageError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from orchestrator.store.location import Store

T = TypeVar("T")

_ENDING = ".parquet"
_FORMAT = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)
FOLDERS = ("trials", "metrics", "evaluations")
"""Where tables lie: a file a trial, and in a folder a kind one for each part of a trial's evaluation."""
_NAMED = re.compile(
    r"(trials|metrics)/[0-9a-f]{16}\.parquet|evaluations/[a-z0-9_]+/[0-9a-f]{16}-[0-9a-f]{16}-(\d{4}|[1-9]\d{4,})\.parquet"
)


def write_rows(
    store: Store, key: str, schema: pa.Schema, rows: Sequence[Mapping[str, Any]], *, replace: bool = True
) -> bool:
    """Write ``rows`` as the Parquet file ``key``; see Store.write for ``replace`` and the answer.

    A column that a row lacks is null there. A row with a column that ``schema`` lacks, or with a value that
    its column's dtype cannot hold, is a defect of ours: AssertionError.
    """
    assert key.endswith(_ENDING), key
    unknown = {name for row in rows for name in row} - set(schema.names)
    assert not unknown, f"{key}: no such columns: {sorted(unknown)}"
    table = pa.table([_column(field, rows) for field in schema], schema=schema)
    # Of one row, statistics and dictionaries only repeat the value: files are about half the size without.
    # Our dtypes are Parquet's own, so a copy of the Arrow schema would add nothing either.
    several = len(rows) > 1
    buffer = pa.BufferOutputStream()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        store_schema=False,
        use_dictionary=several,
        write_statistics=several,
        write_page_checksum=True,
    )
    return store.write(key, buffer.getvalue().to_pybytes(), replace=replace)


def read_table(store: Store, where: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of the Parquet file ``where``, or of all below the folder ``where`` in the order of their keys.

    The columns of all files, or ``columns`` in that order; what a file lacks is null, and integers become
    floats where another file has floats. Raises StorageError for a damaged file and NotFoundError for a missing
    one; a missing folder has no rows.
    """
    return read_files(store, [where] if where.endswith(_ENDING) else parquet_keys(store, where), columns)


def read_files(store: Store, keys: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of the Parquet files ``keys`` in their order, as ``read_table`` gives them."""
    tables = _parallel(store, partial(_read, store, columns=columns), keys)
    schema = _union(keys, (table.schema for table in tables), store)
    table = pa.concat_tables([schema.empty_table(), *tables], promote_options="permissive")
    if columns is not None:
        for name in set(columns).difference(table.column_names):
            table = table.append_column(name, pa.nulls(len(table)))
        table = table.select(list(columns))
    return table.combine_chunks()  # a chunk a file would make every later step slow


def parquet_keys(store: Store, folder: str) -> list[str]:
    """Keys of the tables' files at or below ``folder``: those that this program names so, and no other Parquet file.

    A copy that a synchronised folder or a user left beside one, whatever it is called, would count its rows twice.
    """
    return [key for key in store.keys(folder) if _NAMED.fullmatch(key)]


def foreign_keys(store: Store) -> list[str]:
    """Keys of the Parquet files in the tables' folders that ``parquet_keys`` passes over, hidden ones left out."""
    keys = (key for folder in FOLDERS for key in store.keys(folder) if key.endswith(_ENDING))
    hidden = (".", "_")  # pandas passes over them too
    return [
        key for key in keys if not _NAMED.fullmatch(key) and not any(part.startswith(hidden) for part in key.split("/"))
    ]


def foreign_notice(store: Store) -> str | None:
    """One sentence on the files of ``foreign_keys``; None where there are none."""
    keys = foreign_keys(store)
    if not keys:
        return None
    files, verb, auxiliary = ("1 file", "is", "does") if len(keys) == 1 else (f"{len(keys)} files", "are", "do")
    which = f"{files} of Parquet in the results' folders {verb} none of this program's and {auxiliary} not count"
    return f"{which}, such as {one_line(keys[0])}."


def lazy_table(store: Store, keys: Sequence[str]) -> ds.Dataset:
    """The rows that ``read_table`` reads, as a data set that reads only the columns it is asked for.

    Raises StorageError for a file whose description is damaged; damage further in shows when it is read.
    """
    fragments = _parallel(store, partial(_fragment, store), keys)
    schema = _union(keys, (fragment.physical_schema for fragment in fragments), store)
    return ds.FileSystemDataset(fragments, schema, _FORMAT)


def find_damage(store: Store, keys: Sequence[str]) -> None:
    """Raise StorageError for the first of the files ``keys`` that cannot be read to its end."""
    for key in keys:
        _read(store, key)


def _column(field: pa.Field, rows: Sequence[Mapping[str, Any]]) -> pa.Array:
    values = [row.get(field.name) for row in rows]
    if field.type == pa.string():  # an error's text may quote a file name that is not UTF-8
        values = [v.encode(errors="replace").decode() if isinstance(v, str) else v for v in values]
    elif pa.types.is_integer(field.type):  # Arrow would cut 0.5 down to 0
        cut = next((v for v in values if not isinstance(v, Integral | None)), None)
        assert cut is None, f"column {field.name}: {cut!r} is no whole number"
    try:
        return pa.array(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise AssertionError(f"column {field.name}: {error}") from error


def _parallel(store: Store, function: Callable[[str], T], keys: Sequence[str]) -> list[T]:
    # Small local files are read in less time than a task of the pool takes: threads take them by the dozen.
    size = max(1, min(64, len(keys) // (4 * store.parallel_reads)))
    runs = [keys[start : start + size] for start in range(0, len(keys), size)]
    with ThreadPoolExecutor(store.parallel_reads) as pool:
        return [result for results in pool.map(lambda run: [function(key) for key in run], runs) for result in results]


def _read(store: Store, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    data = store.read(key)
    try:
        file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False, page_checksum_verification=True)
        return file.read(columns=columns and list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(store, key, error) from error


def _fragment(store: Store, key: str) -> ds.ParquetFileFragment:
    try:
        fragment = _FORMAT.make_fragment(pa.py_buffer(store.read(key)))
        fragment.physical_schema  # noqa: B018
    except (pa.ArrowException, OSError) as error:
        find_damage(store, [key])  # tells a file that may not be read from one that is damaged
        raise _damaged(store, key, error) from error
    return fragment


def _union(keys: Sequence[str], schemas: Iterable[pa.Schema], store: Store) -> pa.Schema:
    """All columns of ``schemas`` in order of appearance, each of a dtype that holds every file's values."""
    union = pa.schema([])
    seen: list[pa.Schema] = []
    for key, schema in zip(keys, schemas, strict=True):
        if any(schema.equals(other) for other in reversed(seen)):
            continue
        seen.append(schema)
        try:
            union = pa.unify_schemas([union, schema.remove_metadata()], promote_options="permissive")
        except pa.ArrowException as error:
            problem = f"its columns do not fit the other files' ({_line(error)})"
            raise StorageError(f"{store.uri}/{key}: {problem}; move it elsewhere") from error
    return union


def _damaged(store: Store, key: str, error: Exception) -> StorageError:
    return StorageError(
        f"{store.uri}/{key}: not a whole Parquet file ({_line(error)}); delete it and submit the job again"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
