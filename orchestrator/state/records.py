"""The small JSON files beside a job's results, read and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import NotFoundError, StorageError

if TYPE_CHECKING:
    from orchestrator.store.location import Store

_T = TypeVar("_T")

RECORD_BYTES = 8_000_000
"""More than any record has: the largest has some 100 bytes for each evaluation."""


def read_record(store: Store, key: str, kind: type[_T]) -> _T | None:
    """The content of the file as a ``kind``; None where there is no file. Raises StorageError where it is damaged."""
    try:
        data = store.read(key, RECORD_BYTES)
    except NotFoundError:
        return None
    try:
        return TypeAdapter(kind).validate_json(data)
    except ValidationError as error:
        raise StorageError(f"{store.uri}/{key}: damaged; delete it") from error
