"""Reads one untrusted Parquet file: checks its size before decoding it, and its columns before using them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE_BYTES = 64_000_000
"""The most bytes of a file in storage. A trial of 100,000 logged steps has half as many."""
DECODED_BYTES = 128_000_000
"""The most bytes of all columns of a file in memory: 400,000 rows of 40 numbers."""
FOOTER_BYTES = 500_000
"""The most bytes of a file's description: that of 2,000 columns has half as many."""
COLUMNS = 2000

_WIDTH = 8  # bytes of the widest number
_TIME = pa.timestamp("us", tz="UTC")


class UnreadableError(ValueError):
    """A file that is no table of this program; its text is the reason."""


class Layout:
    """The columns of files of one Arrow schema, and the dtypes they are read as. Raises UnreadableError."""

    def __init__(self, schema: pa.Schema, declared: pa.Schema, columns: Sequence[str] | None) -> None:
        self.schema, self.names = schema, schema.names
        if len(set(schema.names)) < len(schema):
            twice = next(name for name in schema.names if schema.names.count(name) > 1)
            raise UnreadableError(f"two columns are called {twice}")
        dtypes = {field.name: _target(field, declared) for field in schema}
        self.lists = [index for index, field in enumerate(schema) if not _is_flat(field.type)]
        self.lists_of_text = {index for index in self.lists if _is_text(schema.field(index).type.value_type)}
        self.texts = [index for index, field in enumerate(schema) if _is_text(field.type)]
        if "trial_id" in declared.names and pa.types.is_null(dtypes.get("trial_id", pa.null())):
            raise UnreadableError("has no column trial_id")
        wanted = dtypes if columns is None else dtypes.keys() & set(columns)
        self.target = pa.schema([pa.field(name, dtype) for name, dtype in dtypes.items() if name in wanted])


class Reader:
    """Reads files whose columns should be those of ``declared``; others keep their kind of dtype, if it is plain.

    Safe to use from several threads.
    """

    def __init__(self, declared: pa.Schema, columns: Sequence[str] | None = None) -> None:
        self._declared, self._columns = declared, columns
        self._layouts: list[Layout | tuple[pa.Schema, str]] = []

    def read(self, data: bytes) -> pa.Table:
        """The rows of a whole file, with the requested columns that it has. Raises UnreadableError."""
        try:
            return self._read(data)
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, UnreadableError):
                raise
            raise UnreadableError(f"not a whole Parquet file ({_line(error)})") from error

    def _read(self, data: bytes) -> pa.Table:
        if len(data) >= 12 and (footer := int.from_bytes(data[-8:-4], "little")) > FOOTER_BYTES:
            raise UnreadableError(f"not a whole Parquet file (its description has {footer:,} bytes)")
        source, options = pa.BufferReader(data), {"pre_buffer": False, "page_checksum_verification": True}
        file = pq.ParquetFile(source, **options)
        if file.metadata.num_columns > COLUMNS:
            raise UnreadableError(f"has {file.metadata.num_columns:,} columns, expected at most {COLUMNS:,}")
        layout = self._layout(file.schema_arrow)
        packed = _packed(file.metadata, layout)
        if packed:
            file = pq.ParquetFile(pa.BufferReader(data), **options, read_dictionary=packed)
        table = file.read(columns=layout.target.names, use_threads=False)
        if packed:
            _check_texts(table)
        return _cast(table, layout.target)

    def _layout(self, schema: pa.Schema) -> Layout:
        for cached in self._layouts:
            if isinstance(cached, Layout):
                if cached.schema.equals(schema):
                    return cached
            elif cached[0].equals(schema):
                raise UnreadableError(cached[1])
        try:
            layout = Layout(schema, self._declared, self._columns)
        except UnreadableError as error:
            self._layouts.append((schema, str(error)))
            raise
        self._layouts.append(layout)
        return layout


def normal(dtype: pa.DataType) -> pa.DataType | None:
    """The dtype that all dtypes of its kind are read as; None for a kind that no results have."""
    if pa.types.is_dictionary(dtype):
        return normal(dtype.value_type)
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype):
        value = normal(dtype.value_type)
        return pa.list_(value) if value is not None and _is_flat(dtype.value_type) else None
    if pa.types.is_timestamp(dtype):
        return _TIME if dtype.tz else pa.timestamp("us")
    kinds = (
        (pa.types.is_integer, pa.int64()),
        (pa.types.is_floating, pa.float64()),
        (_is_text, pa.string()),
        (pa.types.is_boolean, pa.bool_()),
        (pa.types.is_null, pa.null()),
        (pa.types.is_date, pa.date32()),
    )
    return next((result for is_kind, result in kinds if is_kind(dtype)), None)


def fits(dtype: pa.DataType, expected: pa.DataType) -> bool:
    """Whether a column of a ``normal`` dtype may be cast to another; casts between numbers are tried."""
    if pa.types.is_null(dtype) or dtype == expected:
        return True
    if pa.types.is_list(dtype) and pa.types.is_list(expected):
        return fits(dtype.value_type, expected.value_type)
    numbers = (pa.int64(), pa.float64())
    return dtype in numbers and expected in numbers


def _target(field: pa.Field, declared: pa.Schema) -> pa.DataType:
    """The dtype that the column of a file is read as."""
    dtype, index = normal(field.type), declared.get_field_index(field.name)
    expected = declared.field(index).type if index >= 0 else dtype
    if dtype is None or expected is None:
        allowed = "expected numbers, text, times or lists of them" if expected is None else f"expected {expected}"
        raise UnreadableError(f"column {field.name} is {_short(field.type)}, {allowed}")
    if not fits(dtype, expected):
        raise UnreadableError(f"column {field.name} is {_short(field.type)}, expected {expected}")
    return expected


def _packed(metadata: pq.FileMetaData, layout: Layout) -> list[str]:
    """The text columns to decode as dictionaries, since they may unfold to more than DECODED_BYTES.

    Raises UnreadableError where the file's numbers, lists or packed pages do.
    """
    rows, columns, names = metadata.num_rows, len(layout.names), layout.names
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    unpacked = sum(group.total_byte_size for group in groups)
    if min(rows, unpacked, *(group.total_byte_size for group in groups), 0) < 0:
        raise UnreadableError("not a whole Parquet file (a size in it is negative)")
    if rows * columns * _WIDTH > DECODED_BYTES or unpacked > DECODED_BYTES:
        raise _too_large(max(rows * columns * _WIDTH, unpacked))
    if sum(group.num_rows for group in groups) != rows:
        raise UnreadableError("not a whole Parquet file (its parts have other rows than the whole)")
    for index in layout.lists:
        values = sum(group.column(index).num_values for group in groups)
        text = (
            sum(group.column(index).total_uncompressed_size for group in groups) if index in layout.lists_of_text else 0
        )
        if values * max(_WIDTH, text) > DECODED_BYTES:
            raise UnreadableError(f"column {names[index]} has lists of {values:,} values, which is too many")
    if rows * unpacked <= DECODED_BYTES:
        return []
    packed = []
    for index in layout.texts:
        chunks = [group.column(index) for group in groups]
        largest = sum(chunk.num_values * chunk.total_uncompressed_size for chunk in chunks)
        encodings = {encoding for chunk in chunks for encoding in chunk.encodings}
        if "DELTA_BYTE_ARRAY" in encodings and largest > DECODED_BYTES:  # a value may be four bytes and a prefix
            raise UnreadableError(f"column {names[index]} has the encoding DELTA_BYTE_ARRAY, which hides its size")
        packed += [names[index]] if "PLAIN_DICTIONARY" in encodings or "RLE_DICTIONARY" in encodings else []
    return packed


def _check_texts(table: pa.Table) -> None:
    """Raise UnreadableError where columns that were read as dictionaries would be too large as text."""
    size = 0
    for column in table.columns:
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
            size += pc.sum(lengths.cast(pa.int64())).as_py() or 0
    if size > DECODED_BYTES:
        raise _too_large(size)


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the dtypes of ``schema``. Raises UnreadableError for a value that the cast would change."""
    if table.schema.equals(schema):
        return table.replace_schema_metadata(None)
    columns = []
    for column, field in zip(table.columns, schema, strict=True):
        try:
            columns.append(column if column.type == field.type else column.cast(field.type))
        except pa.ArrowException as error:
            problem = f"column {field.name} is {_short(column.type)}, expected {field.type} ({_line(error)})"
            raise UnreadableError(problem) from error
    return pa.table(columns, schema=schema)


def _too_large(size: int) -> UnreadableError:
    return UnreadableError(
        f"unfolds to {size / 1e6:,.0f} MB or more, expected at most {DECODED_BYTES / 1e6:.0f} MB in a file"
    )


def _is_flat(dtype: pa.DataType) -> bool:
    return not pa.types.is_nested(dtype)


def _is_text(dtype: pa.DataType) -> bool:
    if pa.types.is_dictionary(dtype):
        return _is_text(dtype.value_type)
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))


def _short(dtype: pa.DataType) -> str:
    return _line(str(dtype))


def _line(error: object) -> str:
    return " ".join(str(error).split())[:160]
