"""SQL over a job's results, for those who want no Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from orchestrator.errors import QueryError
from orchestrator.store.tables import find_damage, lazy_table, parquet_keys

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

    from orchestrator.store.location import Store

# SQL sees the views and nothing else: no files, no network, no extensions, and no spilling into the current folder.
_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "temp_directory": "",
}
_READING = frozenset({"SELECT", "EXPLAIN", "MULTI"})  # SHOW and DESCRIBE are SELECT, PIVOT is MULTI
_SQL_ERRORS = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.PermissionException,
)


def query(store: Store, sql: str) -> pa.Table:
    """What one SQL statement answers over the job whose root is ``store``.

    The tables are ``trials``, ``metrics`` and ``evaluations_<kind>``, as far as the job has them; only the
    columns that ``sql`` uses are read. Times are UTC. Raises QueryError for SQL that cannot be answered,
    StorageError for results that cannot be read.
    """
    if any(0xD800 <= ord(character) < 0xE000 for character in sql):
        raise QueryError("SQL: holds characters that are not UTF-8 text")
    keys = _tables(store)
    # No statement can reach a table without spelling its name; one that names none may want to list them.
    used = {name: keys[name] for name in keys if name.lower() in sql.lower()} or keys
    views = {name: lazy_table(store, keys[name]) for name in used}
    with duckdb.connect(":memory:", config=_LOCKED) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, rows in views.items():
            connection.register(name, rows)
        connection.execute("SET lock_configuration = true")
        try:
            table = _answer(connection, sql)
        except duckdb.Error as error:
            if not isinstance(error, _SQL_ERRORS):  # then a file may have failed under it
                for name in used:
                    find_damage(store, keys[name])
            raise QueryError(_message(store, error, keys, views)) from error
    return table


def _answer(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    kinds = [statement.type.name for statement in connection.extract_statements(sql)]
    if len(kinds) != 1 or kinds[0] not in _READING:
        raise QueryError("SQL: results are only read: expected one SELECT, such as SELECT * FROM trials")
    relation = connection.sql(sql)
    names = relation.columns
    if twice := {name for name in names if names.count(name) > 1}:
        raise QueryError(f"SQL: two columns are called {sorted(twice)[0]}; name one of them with AS")
    return relation.to_arrow_table()


def _tables(store: Store) -> dict[str, list[str]]:
    """Every table that has a file, with its files' keys."""
    tables = {folder: parquet_keys(store, folder) for folder in ("trials", "metrics")}
    for key in parquet_keys(store, "evaluations"):
        _, kind, *below = key.split("/")
        if below:
            tables.setdefault(f"evaluations_{kind}", []).append(key)
    return {name: keys for name, keys in tables.items() if keys}


def _message(store: Store, error: duckdb.Error, keys: dict[str, list[str]], views: dict[str, ds.Dataset]) -> str:
    if not keys:
        return f"{store.uri}: no results yet; submit the job first, or check the storage and the job's name"
    cause = " ".join(str(error).split("\n\nLINE ")[0].split())[:300]
    known = f"tables: {', '.join(keys)}"
    if isinstance(error, duckdb.BinderException):
        known += "".join(f"; columns of {name}: {_columns(view)}" for name, view in views.items())
    return f"SQL: {cause}; {known}"


def _columns(view: ds.Dataset) -> str:
    return ", ".join(name if name.isidentifier() else f'"{name}"' for name in view.schema.names)
