"""What the worker answers to SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from orchestrator import text
from orchestrator.errors import QueryError
from orchestrator.report.blocks import Cell, Head, Row, Section, Table, Text
from orchestrator.server.draw import drawn, store_of
from orchestrator.spec.columns import declared
from orchestrator.store.export import rows_of
from orchestrator.store.query import COUNTED, query
from orchestrator.store.snapshot import Snapshot
from orchestrator.store.tables import left_out_notice

if TYPE_CHECKING:
    from orchestrator.report.blocks import Block
    from orchestrator.server.pages import Part

ROWS = 500
COLUMNS = 100
LONGEST = 10_000
"""Characters of a query."""


def answer(uri: str, name: str, sql: str) -> list[Part]:
    """The first rows of an answer. Raises QueryError, StorageError."""
    if not sql.strip():
        raise QueryError("SQL: is empty, expected a query, such as select * from trials")
    if len(sql) > LONGEST:
        raise QueryError(f"SQL: has {len(sql):,} characters, expected at most {LONGEST:,}")
    found = query(Snapshot(store_of(uri, name)), sql, declared, ROWS)
    table = found.table.select(found.table.column_names[:COLUMNS])
    names = table.column_names
    rows = tuple(Row(tuple(_cell(row[column]) for column in names)) for row in rows_of(table))
    total = f"more than {COUNTED:,}" if found.total is None else text.number(found.total)
    words = [f"{total} rows" + (f", the first {len(rows)} shown" if found.total != len(rows) else "")]
    if len(names) < len(found.table.column_names):
        words.append(f"the first {COLUMNS} of {len(found.table.column_names)} columns")
    blocks: list[Block] = [Text(f"{'; '.join(words)}.", "notes")]
    if notice := left_out_notice(found.left_out):
        blocks.append(Text(notice, "notes"))
    if rows:
        numeric = {field.name for field in table.schema if _is_number(field.type)}
        heads = tuple(Head(text.excerpt(column), column in numeric) for column in names)
        blocks.append(Table("Answer", heads, rows, sortable=True, most=ROWS))
    return [drawn(Section("answer", "Answer", "Answer", tuple(blocks)), name, 0)]


def _is_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype))


def _cell(value: object) -> Cell:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    words = text.number(value) if number or value is None else text.excerpt(str(value))
    return Cell(words, value if number else None, look="num" if number else "")
