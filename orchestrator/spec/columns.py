"""The columns of trials/: the fixed ones, then every setting of all kinds, under its dotted path.

Each file of trials/ has the columns of all kinds, so that a plain reader of the folder finds one schema, whatever kinds
a job has. In evaluations/ each kind has its own folder, and so its own columns.
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
    settings: dict[str, Column] = {}
    for column in _columns(TrialSettings, ""):
        first = settings.setdefault(column.name, column)
        assert first.dtype == column.dtype, f"{column.name} is {first.dtype} in one kind and {column.dtype} in another"
    return (*TRIALS, *settings.values())


@cache
def evaluation_columns(kind: type[Evaluation], table: str = "") -> tuple[Column, ...]:
    """All columns of a kind's folder of evaluations/, or of the folder of one of its further tables."""
    results = kind.tables[table] if table else kind.columns
    return (*EVALUATIONS, *_columns(kind, "evaluation."), *results)


@cache
def declared(folder: str) -> pa.Schema:
    """The columns of the files in a folder of results; none for a kind of evaluation that this version lacks."""
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
    """The settings of an evaluation by column name; a section within a list is JSON."""
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
    """The field's docstring; that of the base class where a kind only narrows the field's type."""
    fields = [base.model_fields.get(name) for base in model.__mro__ if issubclass(base, BaseModel)]
    meanings = [field.description for field in fields if field and field.description]
    assert meanings, f"{model.__name__}.{name} has no docstring"
    return meanings[0]


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types that an annotation allows, without None."""
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
