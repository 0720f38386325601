"""Writes a table of results as a file for other programs."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from contextlib import contextmanager, suppress
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from orchestrator.errors import QueryError, StorageError, one_line
from orchestrator.store.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Format = Literal["csv", "json", "parquet"]


def export(table: pa.Table, form: Format, target: str) -> None:
    """Write ``table`` to the file ``target``, whole or not at all; ``-`` is standard output.

    CSV and JSON (a list of objects) write times as ISO 8601. JSON writes NaN and infinities as null, CSV writes lists
    and structures as JSON, and a quote before text that a spreadsheet would run. On a terminal control characters are
    escaped. Raises StorageError, and QueryError for a dtype that Parquet lacks.
    """
    deliver(_WRITERS[form](table), target, is_text=form != "parquet")


def deliver(data: bytes, target: str, *, is_text: bool = True) -> None:
    """Write the content of a file as ``export`` does. Raises StorageError."""
    if target == "-":
        sys.stdout.buffer.write(_tame(data, is_text=is_text) if sys.stdout.isatty() else data)
        sys.stdout.buffer.flush()
        return
    path = _resolved(target)
    if path.exists() and not path.is_file():  # a device or a named pipe, which must not be replaced
        with _explained(path), path.open("wb") as file:
            file.write(data)
        return
    LocalStore(path.parent).write(path.name, data)


def _tame(data: bytes, *, is_text: bool) -> bytes:
    """The file's text with escapes, for a terminal. Raises StorageError for a file that is no text."""
    if not is_text:
        raise StorageError("--parquet: standard output is a terminal; name a file")
    return "".join(c if c == "\n" else one_line(c) for c in data.decode().replace("\r\n", "\n")).encode()


def check_target(option: str, target: str) -> None:
    """Raise StorageError where ``export`` could not write to the file that an option names."""
    path = _resolved(target)
    if target == "-":
        return
    if not target or path.is_dir():
        raise StorageError(f"{option}: got {target!r}, which is a folder, expected the name of a file")
    if not path.parent.is_dir():
        raise StorageError(f"{option}: got {target!r}, but there is no folder {path.parent}; make it first")


def _resolved(target: str) -> Path:
    """The path of the file, with links resolved."""
    with suppress(RuntimeError):  # no such user's home: then it is a folder of that name
        return Path(os.path.realpath(Path(target).expanduser()))
    return Path(target)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot write: {error.strerror}") from error


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as mappings; values that Python cannot represent, such as times before the year 1, as text."""
    columns = {name: _values(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, pa.ArrowException):
        return [_as_python(value) for value in column]


def _as_python(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return f"{value.type} {getattr(value, 'value', '?')}"


def _csv(table: pa.Table) -> bytes:
    for index, field in enumerate(table.schema):
        if _needs_text(field.type):
            values = pa.array([_text(value) for value in _values(table[index])], pa.string())
            table = table.set_column(index, field.name, values)
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(index, field.name, _inert(table[index]))
    buffer = io.BytesIO()
    csv.write_csv(table.rename_columns([_inert(pa.array([name]))[0].as_py() for name in table.column_names]), buffer)
    return buffer.getvalue()


def _inert(text: Any) -> Any:
    """Text with a quote before what a spreadsheet would run, as OWASP advises against CSV injection."""
    runs = pc.match_substring_regex(text, r"^[=+\-@\t\r\n]")
    return pc.if_else(runs, pc.binary_join_element_wise("'", text, ""), text)


def _json(table: pa.Table) -> bytes:
    rows = (json.dumps(_plain(row), allow_nan=False, ensure_ascii=False) for row in rows_of(table))
    return ("[" + ",\n ".join(rows) + "]\n").encode()


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    try:
        pq.write_table(table, buffer, compression="zstd")
    except pa.ArrowNotImplementedError as error:
        raise QueryError(f"SQL: Parquet cannot hold that ({error}); CAST the column, or write JSON") from error
    return buffer.getvalue()


_WRITERS: dict[Format, Callable[[pa.Table], bytes]] = {"csv": _csv, "json": _json, "parquet": _parquet}


def _needs_text(dtype: pa.DataType) -> bool:
    return not (
        pa.types.is_integer(dtype)
        or pa.types.is_floating(dtype)
        or pa.types.is_boolean(dtype)
        or pa.types.is_string(dtype)
        or pa.types.is_timestamp(dtype)
        or pa.types.is_date(dtype)
        or pa.types.is_time(dtype)
        or pa.types.is_null(dtype)
    )


def _text(value: Any) -> str | None:
    plain = _plain(value)
    return plain if plain is None or isinstance(plain, str) else json.dumps(plain)


def _plain(value: Any) -> Any:
    """``value`` as a type that JSON has."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):  # the type of SQL's sum over integers
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)
