"""The columns of trials/: the fixed ones, then every setting that any kind knows, under its dotted path.

All kinds together, so that each file of trials/ has the same columns and a plain reader of the folder meets one
schema, whatever mixture of kinds a job holds. In evaluations/ each kind has a folder, and so columns, of its own.
"""

from __future__ import annotations

import json
import types
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel

from orchestrator.evaluations import KINDS
from orchestrator.evaluations.evaluation import FOLDER
from orchestrator.spec.identity import flatten
from orchestrator.store.columns import EVALUATIONS, METRICS, TRIALS, Column, schema_of
from orchestrator.training.settings import TrialSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.evaluations import Evaluation

_SCALARS: dict[Any, pa.DataType] = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


@cache
def trial_columns() -> tuple[Column, ...]:
    """All columns of trials/, fixed ones first, settings in the order of their sections."""
    found: dict[str, Column] = {}
    for column in _columns(TrialSettings, ""):
        before = found.setdefault(column.name, column)
        assert before.dtype == column.dtype, (
            f"{column.name} is {before.dtype} in one kind and {column.dtype} in another"
        )
    return (*TRIALS, *found.values())


@cache
def evaluation_columns(kind: type[Evaluation], table: str = "") -> tuple[Column, ...]:
    """All columns of a kind's folder of evaluations/, or of that of one of its further tables."""
    found = kind.tables[table] if table else kind.columns
    return (*EVALUATIONS, *_columns(kind, "evaluation."), *found)


@cache
def declared(folder: str) -> pa.Schema:
    """The columns that files of a folder of results have; none for a kind of evaluation of another version."""
    if folder == "trials":
        return schema_of(trial_columns())
    if folder == "metrics":
        return schema_of(METRICS)
    tables = {
        f"{FOLDER}/{name}_{table}".removesuffix("_"): (kind, table)
        for name, kind in KINDS.items()
        for table in ("", *kind.tables)
    }
    return schema_of(evaluation_columns(*tables[folder])) if folder in tables else pa.schema([])


def evaluation_settings(evaluation: Evaluation) -> dict[str, Any]:
    """The settings of an evaluation by the names of their columns; a section within a list is JSON."""
    return {
        name: [json.dumps(entry) if isinstance(entry, dict) else entry for entry in value]
        if isinstance(value, list)
        else value
        for name, value in flatten(evaluation.model_dump(mode="json"), "evaluation.").items()
    }


def _columns(model: type[BaseModel], prefix: str) -> Iterator[Column]:
    for name, field in model.model_fields.items():
        members = _members(field.annotation)
        models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
        for member in models:
            yield from _columns(member, f"{prefix}{name}.")
        if not models:
            yield Column(prefix + name, _dtype(members), "", _meaning(model, name))


def _meaning(model: type[BaseModel], name: str) -> str:
    """The field's docstring, where a kind narrows the type that of the class it narrows."""
    fields = [base.model_fields.get(name) for base in model.__mro__ if issubclass(base, BaseModel)]
    meanings = [field.description for field in fields if field and field.description]
    assert meanings, f"{model.__name__}.{name} has no docstring"
    return meanings[0]


def _members(annotation: Any) -> tuple[Any, ...]:
    """What an annotation allows, without None."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(m for part in get_args(annotation) for m in _members(part))
    return () if annotation is type(None) else (annotation,)


def _dtype(members: tuple[Any, ...]) -> pa.DataType:
    scalars = {_dtype_of(member) for member in members}
    assert len(scalars) == 1, f"a setting of several types has no column type: {members}"
    return scalars.pop()


def _dtype_of(annotation: Any) -> pa.DataType:
    if get_origin(annotation) is Literal:
        return _SCALARS[type(get_args(annotation)[0])]
    if get_origin(annotation) is tuple:
        return pa.list_(_dtype_of(get_args(annotation)[0]))
    if hasattr(annotation, "__metadata__"):
        return _dtype_of(annotation.__origin__)
    if all(isinstance(member, type) and issubclass(member, BaseModel) for member in _members(annotation)):
        return pa.string()
    return _SCALARS[annotation]
