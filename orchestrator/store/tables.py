"""Writes and reads rows as Parquet files: strict when writing, tolerant when reading files of another version."""

from __future__ import annotations

import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestrator.errors import NotFoundError, StorageError, StorageUnavailable, one_line
from orchestrator.store.bundles import LEAST, read_bundled, trial_of
from orchestrator.store.parquet import FILE_BYTES, Reader, UnreadableError
from orchestrator.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from orchestrator.store.location import Store

T = TypeVar("T")

_ENDING = ".parquet"
_ID = "trial_id"
_LARGE = threading.Lock()
_SMALL_BYTES = 2_000_000
_NAMED_FILES = 3
_TOGETHER = 500
_LINE = 300
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999, which are those of Python's calendar, in microseconds since 1970."""
FOLDERS = ("trials", "metrics", "evaluations")
"""The folders of tables: one file per trial; in evaluations/ a folder per kind, one file per trial and shard."""
_NAMED = re.compile(
    r"(trials|metrics)/[0-9a-f]{16}\.parquet|evaluations/[a-z0-9_]+/[0-9a-f]{16}-[0-9a-f]{16}-(\d{4}|[1-9]\d{4,})\.parquet"
)


def write_rows(
    store: Store, key: str, schema: pa.Schema, rows: Sequence[Mapping[str, Any]], *, replace: bool = True
) -> bool:
    """Write ``rows`` as the Parquet file ``key``; see Store.write for ``replace`` and the answer.

    A column that a row lacks is null there. A row with a column that ``schema`` lacks, or with a value that its
    column's dtype cannot hold, is a defect of this program: AssertionError.
    """
    assert key.endswith(_ENDING), key
    unknown = {name for row in rows for name in row} - set(schema.names)
    assert not unknown, f"{key}: no such columns: {sorted(unknown)}"
    table = pa.table([_column(field, rows) for field in schema], schema=schema)
    # For one row, statistics and dictionaries only repeat the value: files are about half the size without them.
    # All dtypes are Parquet's own, so a copy of the Arrow schema would add nothing either.
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


@dataclass(frozen=True)
class Reading:
    """The rows of some files, and a line for each file that was left out: its key, and what is wrong with it."""

    table: pa.Table
    left_out: tuple[str, ...] = ()

    def whole(self, store: Store) -> pa.Table:
        """The rows of all files. Raises StorageError for the first file that was left out."""
        if self.left_out:
            raise left_out_error(store, self.left_out)
        return self.table


def left_out_error(store: Store, left_out: Sequence[str]) -> StorageError:
    """The error for callers that need every file: it names the first that was left out."""
    return StorageError(f"{store.uri}/{left_out[0]}; delete it and submit the job again")


def read_table(
    store: Store, where: str, columns: Sequence[str] | None = None, schema: pa.Schema | None = None
) -> Reading:
    """Rows of the Parquet file ``where``, or of all below the folder ``where`` in the order of their keys.

    See ``read_files``. A missing folder has no rows. Raises NotFoundError for a missing file.
    """
    keys = [where] if where.endswith(_ENDING) else parquet_keys(store, where)
    return read_files(store, keys, columns, schema)


def read_files(
    store: Store, keys: Sequence[str], columns: Sequence[str] | None = None, schema: pa.Schema | None = None
) -> Reading:
    """Rows of the Parquet files ``keys`` in their order.

    The columns are those of all files, or ``columns`` in that order; a column that a file lacks is null there. Columns
    of ``schema`` have its dtypes; any other has the dtype of most files, and is a float where some files have integers.
    A file is left out that is damaged or larger than ``store.parquet`` allows, has a column of another kind, or rows of
    another trial than the one it is named after. Raises StorageError where storage does not answer, and NotFoundError
    where a file is missing.
    """
    declared = pa.schema([]) if schema is None else schema
    named = _ID in declared.names
    wanted = columns if columns is None or not named else [_ID, *columns]
    problems: dict[str, str] = {}
    parts = _bundled(store, keys, wanted, declared) if named and len(keys) >= LEAST else []
    copied = {key for part in parts for key in part.keys}
    rest = [key for key in keys if key not in copied]
    parts += _read_parts(store, Reader(declared, wanted), rest, problems)
    problems |= _at_odds(parts, declared)
    joined = _joined([part for part in parts if part.keys[0] not in problems], declared, keys)
    wrong = _wrong_values(joined, named=named)
    table = joined.without(wrong)
    if columns is not None:
        for name in set(columns).difference(table.column_names):
            dtype = declared.field(name).type if name in declared.names else pa.null()
            table = table.append_column(name, pa.nulls(len(table), dtype))
        table = table.select(list(columns))
    problems |= wrong
    return Reading(table, tuple(f"{key}: {problems[key]}" for key in keys if key in problems))


@dataclass(frozen=True)
class _Part:
    """Some files of one schema: their keys, the number of rows of each, and the rows."""

    keys: list[str]
    lengths: list[int]
    table: pa.Table

    def without(self, keys: Collection[str]) -> pa.Table:
        """The rows of the other files."""
        if not keys:
            return self.table
        return self.table.filter(pa.array(np.repeat([key not in keys for key in self.keys], self.lengths), pa.bool_()))


def parquet_keys(store: Store, folder: str) -> list[str]:
    """Keys of the tables' files at or below ``folder``: only Parquet files with names that this program gives.

    A copy beside a file, from a synchronised folder or a user, would count its rows twice.
    """
    return [key for key in store.keys(folder) if _NAMED.fullmatch(key)]


def foreign_keys(store: Store) -> list[str]:
    """Keys of the Parquet files in the tables' folders that ``parquet_keys`` skips, without hidden ones."""
    keys = (key for folder in FOLDERS for key in store.keys(folder) if key.endswith(_ENDING))
    hidden = (".", "_")  # pandas skips them too
    return [
        key for key in keys if not _NAMED.fullmatch(key) and not any(part.startswith(hidden) for part in key.split("/"))
    ]


def foreign_notice(store: Store) -> str | None:
    """One sentence on the files of ``foreign_keys``; None where there are none."""
    keys = foreign_keys(store)
    if not keys:
        return None
    verb, auxiliary = ("is", "does") if len(keys) == 1 else ("are", "do")
    which = f"{plural(len(keys), 'file')} of Parquet in the results' folders {verb} none of this program's"
    return f"{which} and {auxiliary} not count, such as {one_line(keys[0])}."


def left_out_notice(left_out: Sequence[str]) -> str | None:
    """One sentence on the files that readers left out, which names three of them; None where there are none."""
    if not left_out:
        return None
    rest = f"; and {len(left_out) - _NAMED_FILES} more" if len(left_out) > _NAMED_FILES else ""
    return f"{plural(len(left_out), 'file')} left out: {'; '.join(left_out[:_NAMED_FILES])}{rest}"


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
    # Reading a small local file takes less time than a task of the pool: each task reads dozens.
    size = max(1, min(64, len(keys) // (4 * store.parallel_reads)))
    runs = [keys[start : start + size] for start in range(0, len(keys), size)]
    with ThreadPoolExecutor(store.parallel_reads) as pool:
        return [result for results in pool.map(lambda run: [function(key) for key in run], runs) for result in results]


def _read(store: Store, reader: Reader, key: str) -> pa.Table | str:
    """The rows of a file, or the reason why it cannot be read."""
    try:
        return reader.read(_bytes(store, key))
    except UnreadableError as error:
        return one_line(str(error))[:_LINE]
    except (NotFoundError, StorageUnavailable):
        raise
    except StorageError as error:
        return str(error).removeprefix(f"{store.uri}/{key}: ")


def _bytes(store: Store, key: str) -> bytes:
    """The file's bytes; large files are read one at a time, since many threads read."""
    try:
        return store.read(key, _SMALL_BYTES)
    except (NotFoundError, StorageUnavailable):
        raise
    except StorageError:
        with _LARGE:
            return store.read(key, FILE_BYTES)


def _read_parts(store: Store, reader: Reader, keys: Sequence[str], problems: dict[str, str]) -> list[_Part]:
    """The files that can be read, grouped by schema; the problems of the others are added to ``problems``.

    Some hundred files are concatenated at once: a table of one row takes a hundred times the memory of its values.
    """
    parts: list[_Part] = []
    for start in range(0, len(keys), _TOGETHER):
        block = keys[start : start + _TOGETHER]
        groups: list[dict[str, pa.Table]] = []
        for key, rows in zip(block, _parallel(store, partial(_read, store, reader), block), strict=True):
            if isinstance(rows, str):
                problems[key] = rows
                continue
            same = (group for group in reversed(groups) if next(iter(group.values())).schema.equals(rows.schema))
            group = next(same, None)
            if group is None:
                groups.append(group := {})
            group[key] = rows
        for group in groups:
            tables = list(group.values())
            parts.append(_Part(list(group), [len(t) for t in tables], pa.concat_tables(tables).combine_chunks()))
    return parts


def _bundled(store: Store, keys: Sequence[str], columns: Sequence[str] | None, declared: pa.Schema) -> list[_Part]:
    """The files that bundles have copies of."""
    folder = keys[0].rpartition("/")[0]
    if any(key.rpartition("/")[0] != folder for key in keys):
        return []
    parts = []
    for table in read_bundled(store, folder, keys, columns, declared):
        runs = pc.run_end_encode(table[_ID].combine_chunks())
        ends = runs.run_ends.to_numpy()
        names = [f"{folder}/{trial_id}{_ENDING}" for trial_id in runs.values.to_pylist()]
        parts.append(_Part(names, np.diff(ends, prepend=0).tolist(), table))
    return parts


def _at_odds(parts: Sequence[_Part], declared: pa.Schema) -> dict[str, str]:
    """The problems of files with an undeclared column that has another kind in most files."""
    declared_names = set(declared.names)
    kinds: dict[str, Counter[str]] = {}
    for part in parts:
        for field in part.table.schema:
            if field.name not in declared_names and not pa.types.is_null(field.type):
                kinds.setdefault(field.name, Counter())[_kind(field.type)] += len(part.keys)
    problems: dict[str, str] = {}
    for part in parts:
        for field in part.table.schema:
            usual = kinds[field.name].most_common(1)[0][0] if field.name in kinds else ""
            if usual and not pa.types.is_null(field.type) and _kind(field.type) != usual:
                problem = one_line(f"column {field.name} is {field.type}, and {usual} in other files")[:_LINE]
                problems |= dict.fromkeys(part.keys, problem)
    return problems


def _kind(dtype: pa.DataType) -> str:
    """The kind of a dtype: integers and floats are one kind."""
    return str(dtype).replace("int64", "double")


def _joined(parts: Sequence[_Part], empty: pa.Schema, order: Sequence[str]) -> _Part:
    """All rows with all columns, in the order of keys; with the columns of ``empty`` where there is no file."""
    if not parts:
        return _Part([], [], empty.empty_table())
    schema = pa.unify_schemas([part.table.schema for part in parts], promote_options="permissive")
    tables = [part.table if part.table.schema.equals(schema) else _fitted(part.table, schema) for part in parts]
    # One chunk per file would make every later step slow.
    table = pa.concat_tables(tables).combine_chunks() if len(tables) > 1 else tables[0]
    place = {key: number for number, key in enumerate(order)}
    lengths = {key: length for part in parts for key, length in zip(part.keys, part.lengths, strict=True)}
    places = np.repeat([place[key] for key in lengths], list(lengths.values()))
    if np.any(np.diff(places) < 0):
        table = table.take(pa.array(np.argsort(places, kind="stable")))
    keys = sorted(lengths, key=place.__getitem__)
    return _Part(keys, [lengths[key] for key in keys], table)


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    names = set(table.column_names)
    columns = [
        table[field.name].cast(field.type) if field.name in names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _wrong_values(part: _Part, *, named: bool) -> dict[str, str]:
    """The problems of files with wrong values: rows of another trial, times out of any calendar, invalid text."""
    ends = np.cumsum(part.lengths)
    problems: dict[str, str] = {}

    def add_problem(wrong: pa.ChunkedArray, problem: str) -> None:
        rows = np.flatnonzero(wrong.to_numpy(zero_copy_only=False))
        for place in np.unique(np.searchsorted(ends, rows, side="right")):
            problems.setdefault(part.keys[place], problem)

    for key, length in zip(part.keys, part.lengths, strict=True):
        if length > 1 and key.startswith("trials/") and _NAMED.fullmatch(key):
            problems[key] = f"has {length:,} rows, expected the one of its trial"
    for field in part.table.schema:
        if pa.types.is_timestamp(field.type):
            ticks = part.table[field.name].cast(pa.int64())
            outside = pc.or_(pc.less(ticks, _FIRST_US), pc.greater(ticks, _LAST_US))
            add_problem(
                pc.fill_null(outside, False), one_line(f"column {field.name} has a time in no calendar")[:_LINE]
            )
    if not _is_valid(part.table):
        starts = zip(part.keys, ends, part.lengths, strict=True)
        wrong = [key for key, end, n in starts if not _is_valid(part.table.slice(end - n, n))]
        problems |= dict.fromkeys(wrong, "has text that is not UTF-8")
    if named:
        owners = np.repeat(np.array([trial_of(key) for key in part.keys], dtype=object), part.lengths)
        other = pc.not_equal(part.table[_ID], pa.array(owners, pa.string()))
        add_problem(pc.fill_null(other, True), "has rows of another trial than its name says")
    return problems


def _is_valid(table: pa.Table) -> bool:
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
