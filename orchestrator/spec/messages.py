"""Turns a validation error into one line for the user: key, value, what is allowed."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "string_unicode": "text",
    "string_too_short": "at least {min_length} character",
    "string_too_long": "at most {max_length} characters",
    "tuple_type": "a list",
    "too_short": "a list of {min_length} value or more",
    "too_long": "a list of {max_length} values",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "greater_than": "a number > {gt}",
    "greater_than_equal": "a number >= {ge}",
    "less_than": "a number < {lt}",
    "less_than_equal": "a number <= {le}",
    "literal_error": "{expected}",
}


def explain(error: ValidationError, raw: Any, model: type[BaseModel]) -> tuple[str, str]:
    """The dotted key and the problem of the first error, for the raw value that was validated as ``model``."""
    # An unknown key is more helpful than the missing key that it was meant to be.
    details = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")[0]
    # The location of an error of a whole section ends with its tag, that of a missing key with its name.
    path = _path(details["loc"], raw, whole=details["type"] == "value_error")
    if details["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, details["ctx"]["discriminator"].strip("'"))
    return ".".join(str(part) for part in path), _problem(details, path, raw, model)


def _path(loc: tuple[int | str, ...], raw: Any, *, whole: bool) -> tuple[int | str, ...]:
    """The location without the union tags that pydantic puts between a section and its keys."""
    path: list[int | str] = []
    for index, part in enumerate(loc):
        if isinstance(raw, dict) and part in raw:
            raw = raw[part]
        elif isinstance(raw, list) and isinstance(part, int) and part < len(raw):
            raw = raw[part]
        elif whole or index < len(loc) - 1:
            continue
        path.append(part)
    return tuple(path)


def _problem(details: ErrorDetails, path: tuple[int | str, ...], raw: Any, model: type[BaseModel]) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "missing":
        return _missing(details["loc"], model)
    if kind == "union_tag_not_found":
        return f"is missing; allowed: {', '.join(_tags(details['loc'], model))}"
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), details["loc"], model)
    if kind == "value_error":
        return str(context["error"])
    value = details["input"]
    if kind == "union_tag_invalid":
        value = value[path[-1]]
        return f"got {show(value)}; {did_you_mean(str(value), _tags(details['loc'], model))}"
    expected = _EXPECTED[kind].format(**context) if kind in _EXPECTED else details["msg"]
    return f"got {show(value)}, expected {expected}"


def show(value: Any) -> str:
    """A value as YAML would write it, at most 60 characters."""
    text = json.dumps(value, default=str) if isinstance(value, dict | list | bool | None) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def did_you_mean(word: str, allowed: list[str]) -> str:
    """The allowed words, after the nearest one where one is near."""
    near = nearest(word, allowed)
    hint = f"did you mean {near!r}? " if near else ""
    return f"{hint}allowed: {', '.join(allowed)}"


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word nearest to ``word``, without regard to case and dashes; None where none is near."""
    originals = {_folded(original): original for original in allowed}
    near = difflib.get_close_matches(_folded(word), originals, n=1)
    return originals[near[0]] if near else None


def _folded(word: str) -> str:
    return word.lower().replace("-", "_")


def _unknown_key(key: str, loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    section = _model_at(loc[:-1], model)
    return f"unknown key; {did_you_mean(key, list(section.model_fields))}" if section else "unknown key"


def _missing(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """The message for a missing key; that of a missing section has the allowed kinds."""
    parent = _model_at(loc[:-1], model)
    field = parent.model_fields.get(str(loc[-1])) if parent else None
    if field is None or field.discriminator is None:
        return "is missing"
    return f"is missing, expected {field.discriminator}: {' | '.join(_tags(loc, model))}"


def _tags(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The kinds of section that are allowed at a location, that of a section or of an entry in a list of sections."""
    while isinstance(loc[-1], int):
        loc = loc[:-1]
    parent = _model_at(loc[:-1], model)
    return list(_kinds(parent.model_fields[str(loc[-1])])) if parent else []


def _model_at(loc: tuple[int | str, ...], model: type[BaseModel]) -> type[BaseModel] | None:
    """The settings class at a location; locations have the tag of a union after its key."""
    current: type[BaseModel] | None = model
    kinds: Mapping[str, type[BaseModel]] = {}
    for part in loc:
        if isinstance(part, int):
            continue  # an entry of a list: all entries have the kinds of the list's key
        if part in kinds:
            current, kinds = kinds[str(part)], {}
        elif current is not None and part in current.model_fields:
            kinds = _kinds(current.model_fields[str(part)])
            current = next(iter(kinds.values()), None) if len(kinds) == 1 else None
        else:
            return None
    return current


def _kinds(field: Any) -> dict[str, type[BaseModel]]:
    """The settings classes that a field or an entry of its list allows, by tag (a single class by its name)."""
    from typing import get_args, get_origin

    from pydantic import BaseModel

    tag, annotation = field.discriminator, field.annotation
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
        if get_origin(annotation) is Annotated:
            annotation, tag = get_args(annotation)[0], get_args(annotation)[1].discriminator
    members = get_args(annotation) or (annotation,)
    classes = [m for m in members if isinstance(m, type) and issubclass(m, BaseModel)]
    if tag is None:
        return {kind.__name__: kind for kind in classes}
    return {str(get_args(kind.model_fields[tag].annotation)[0]): kind for kind in classes}
