"""SQL over a job's results, within a bounded time and bounded memory."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from orchestrator.errors import QueryError
from orchestrator.store.tables import Reading, parquet_keys, read_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from orchestrator.store.location import Store

SECONDS = 60.0
MEMORY_MB = 300
"""Memory that DuckDB may use while it computes, beside the results it reads."""
ANSWER_MB = 200
COUNTED = 1_000_000
"""Rows beyond the requested ones are counted up to this number."""

# SQL can read the tables and nothing else: no files, no network, no extensions, no spilling into the current folder.
_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "temp_directory": "",
    "memory_limit": f"{MEMORY_MB}MB",
}
_BATCH = 10_000
_HEADROOM_MB = 200
"""Address space beside DuckDB's own memory, for allocations of its functions that it does not count."""
_READING = frozenset({"SELECT", "EXPLAIN", "MULTI"})  # SHOW and DESCRIBE are SELECT, PIVOT is MULTI
_EVERY_COLUMN = re.compile(r"\*|\b(columns|natural|describe|show|summarize)\b", re.IGNORECASE)
_COUNT = re.compile(r"count\s*\(\s*\*\s*\)", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """The rows of an answer, or its first ones, and their total number: None for more than COUNTED.

    ``left_out`` has a line for each file that could not be read.
    """

    table: pa.Table
    total: int | None
    left_out: tuple[str, ...] = ()


def query(
    store: Store, sql: str, declared: Callable[[str], pa.Schema] | None = None, rows: int | None = None
) -> Answer:
    """The answer of one SQL statement over the job whose root is ``store``, or its first ``rows`` rows.

    The tables are ``trials``, ``metrics`` and ``evaluations_<kind>``, as far as the job has them; only the columns
    that ``sql`` uses are read. ``declared`` returns the schema of a folder. Times are UTC. Raises QueryError for
    SQL that cannot be answered, or not within SECONDS, MEMORY_MB and ANSWER_MB; StorageError.
    """
    if any(0xD800 <= ord(character) < 0xE000 for character in sql):
        raise QueryError("SQL: holds characters that are not UTF-8 text")
    folders = _folders(store)
    # No statement can read a table without spelling its name; one that names none may list all.
    used = [name for name in folders if name.lower() in sql.lower()] or list(folders)
    schemas = {name: declared(_folder(name)) if declared else pa.schema([]) for name in used}
    read: dict[str, Reading] = {}
    try:
        columns = _columns_used(sql, schemas)
        for name in used:
            needed = (
                None if columns is None else [n for n in schemas[name].names if n in columns] or schemas[name].names[:1]
            )
            read[name] = read_files(store, folders[name], needed, schemas[name])
        tables = {name: reading.table for name, reading in read.items() if reading.table.num_columns}
        table, total = _answer(sql, tables, rows)
    except duckdb.Error as error:
        raise QueryError(_message(store, error, list(folders), read)) from error
    return Answer(table, total, tuple(line for reading in read.values() for line in reading.left_out))


def _columns_used(sql: str, schemas: Mapping[str, pa.Schema]) -> set[str] | None:
    """The columns that a statement reads of its tables, by DuckDB's plan; None where these may be all of them.

    Files of other versions may have columns that no schema declares: then the plan fails, and all are read.
    """
    if _EVERY_COLUMN.search(_COUNT.sub("", sql)) or not all(len(schema) for schema in schemas.values()):
        return None
    empty = {name: schema.empty_table() for name, schema in schemas.items()}
    with _connection(empty) as connection, _limits(connection):  # planning already computes constants
        if _statement(connection, sql) != "SELECT":
            return None
        try:
            plan = connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()[0][1]
        except (duckdb.Error, MemoryError):
            return None
    columns = set(_projected(json.loads(plan)))
    return None if any(columns.issuperset(schema.names) for schema in schemas.values()) else columns


def _projected(nodes: list[dict[str, Any]]) -> Iterator[str]:
    """The columns that the scans of a plan project."""
    for node in nodes:
        columns = node.get("extra_info", {}).get("Projections", []) if "SCAN" in node["name"] else []
        yield from [columns] if isinstance(columns, str) else columns
        yield from _projected(node.get("children", []))


@contextlib.contextmanager
def _connection(tables: Mapping[str, pa.Table]) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config=_LOCKED) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            connection.register(name, table)
        connection.execute("SET lock_configuration = true")
        yield connection


def _statement(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The kind of the single statement in ``sql``. Raises QueryError."""
    kinds = [statement.type.name for statement in connection.extract_statements(sql)]
    if len(kinds) != 1 or kinds[0] not in _READING:
        raise QueryError("SQL: results are only read: expected one SELECT, such as SELECT * FROM trials")
    return kinds[0]


def _answer(sql: str, tables: Mapping[str, pa.Table], rows: int | None) -> tuple[pa.Table, int | None]:
    with _connection(tables) as connection, _limits(connection) as expired:
        _statement(connection, sql)
        try:
            relation = connection.sql(sql)
            names = relation.columns
            if twice := {name for name in names if names.count(name) > 1}:
                raise QueryError(f"SQL: two columns are called {sorted(twice)[0]}; name one of them with AS")
            return _collected(relation.to_arrow_reader(_BATCH), rows)
        except duckdb.BinderException:
            raise
        except (duckdb.Error, pa.ArrowException, OSError, MemoryError) as error:
            if expired.is_set():
                problem = f"no answer within {SECONDS:.0f} s; ask for less"
                raise QueryError(f"SQL: {problem}, or read the results with pandas") from error
            if isinstance(error, duckdb.OutOfMemoryException | MemoryError) or "Out of Memory" in str(error):
                problem = f"takes more than {MEMORY_MB} MB of memory; ask for less"
                raise QueryError(f"SQL: {problem}, or read the results with pandas") from error
            if isinstance(error, duckdb.Error):
                raise
            raise QueryError(f"SQL: {' '.join(str(error).split())[:300]}") from error


def _collected(reader: pa.RecordBatchReader, rows: int | None) -> tuple[pa.Table, int | None]:
    """The first ``rows`` of an answer, or all, and their total number."""
    batches: list[pa.RecordBatch] = []
    total = size = 0
    for batch in reader:
        room = batch.num_rows if rows is None else max(0, rows - total)
        total += batch.num_rows
        if room:
            batches.append(batch.slice(0, room))
            size += batches[-1].nbytes
        if size > ANSWER_MB * 1_000_000:
            raise QueryError(f"SQL: the answer has more than {ANSWER_MB} MB; ask for fewer rows or columns")
        if rows is not None and total > COUNTED:
            return pa.Table.from_batches(batches, reader.schema), None
    return pa.Table.from_batches(batches, reader.schema), total


@contextlib.contextmanager
def _limits(connection: duckdb.DuckDBPyConnection) -> Iterator[threading.Event]:
    """Limit time and memory in this context; the event is set when the time is up."""
    expired = threading.Event()

    def stop() -> None:
        expired.set()
        connection.interrupt()

    timer = threading.Timer(SECONDS, stop)
    previous = _limit_memory()
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
        timer.join()
        if previous is not None:
            resource.setrlimit(resource.RLIMIT_AS, previous)


def _limit_memory() -> tuple[int, int] | None:
    """Limit this process to DuckDB's memory and some headroom; returns the old limits, None where it sets none.

    DuckDB counts the memory of its operators, but not text and lists that its functions allocate.
    """
    statm, previous = Path("/proc/self/statm"), resource.getrlimit(resource.RLIMIT_AS)
    if previous[0] != resource.RLIM_INFINITY or not statm.exists():
        return None
    now = int(statm.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (MEMORY_MB + _HEADROOM_MB) * 1_000_000, previous[1]))
    return previous


def _folders(store: Store) -> dict[str, list[str]]:
    """Every table that has a file, with its files' keys."""
    tables = {folder: parquet_keys(store, folder) for folder in ("trials", "metrics")}
    for key in parquet_keys(store, "evaluations"):
        _, kind, *_ = key.split("/")
        tables.setdefault(f"evaluations_{kind}", []).append(key)
    return {name: keys for name, keys in tables.items() if keys}


def _folder(table: str) -> str:
    """The folder that a table is read from."""
    return table.replace("evaluations_", "evaluations/", 1)


def _message(store: Store, error: duckdb.Error, tables: list[str], read: Mapping[str, Reading]) -> str:
    if not tables:
        return f"{store.uri}: no results yet; submit the job first, or check the storage and the job's name"
    cause = " ".join(str(error).split("\n\nLINE ")[0].split())[:300]
    schema = f"tables: {', '.join(tables)}"
    if isinstance(error, duckdb.BinderException):
        schema += "".join(f"; columns of {name}: {_columns(reading.table)}" for name, reading in read.items())
    return f"SQL: {cause}; {schema}"


def _columns(table: pa.Table) -> str:
    return ", ".join(name if name.isidentifier() else f'"{name}"' for name in table.column_names)
