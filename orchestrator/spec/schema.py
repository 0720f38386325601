"""The JSON Schema of job files, from which editors complete, explain and check them.

It is pydantic's schema of the settings, with three changes. A section of several kinds is told apart by ``if`` and
``then``, so that an editor proposes the keys of the kind that is written. What a grid may set is left out of what is
required. And each path of a setting is a key of ``grid``. What settings check together only ``orch validate`` knows.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from orchestrator import __version__
from orchestrator.evaluations import KINDS
from orchestrator.spec.claims import ENDS, PLAIN, numbers
from orchestrator.spec.columns import evaluation_columns, trial_columns
from orchestrator.spec.grid import SEED, VARIED_SECTIONS, WORKERS
from orchestrator.spec.identity import SPEC_VERSION
from orchestrator.spec.job import Header
from orchestrator.training.settings import TrialSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = f"urn:gan-orch:job-file:{__version__}:spec-{SPEC_VERSION}"
"""The schema's ``$id``: the versions of the program and of its ids that it is of."""
KINDED = ("data", "model", "objective")
"""Sections of a trial that are of several kinds."""
_RANGE = {
    "description": "a range, of which a search proposes values",
    "type": "object",
    "required": ["low", "high"],
    "properties": {
        "low": {"description": "the least value", "type": "number"},
        "high": {"description": "the greatest value", "type": "number"},
        "log": {"description": "whether the logarithm is what is searched", "type": "boolean"},
        "step": {"description": "between two whole numbers", "type": "integer", "minimum": 1},
    },
    "additionalProperties": False,
}
_ENTRY = "*"
"""In a path, the number of an entry of a list of any length."""


class _Untitled(GenerateJsonSchema):
    """Without titles, which only repeat the keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def job_schema() -> dict[str, Any]:
    """The schema of job files, draft 2020-12, as a mapping that can be written as JSON."""
    _, generated = models_json_schema(
        [(Header, "validation"), (TrialSettings, "validation")], schema_generator=_Untitled
    )
    definitions: dict[str, Any] = generated["$defs"]
    for definition in definitions.values():
        definition.pop("title", None)
    _tell_kinds_apart(definitions)
    header, trial = definitions.pop("Header"), definitions.pop("TrialSettings")
    for definition in (header, *definitions.values()):
        definition["properties"] = {name: _without_default(field) for name, field in definition["properties"].items()}
    _name_measures(definitions["Claim"], definitions)
    for name in KINDED:
        definitions[name] = trial["properties"][name]
    root = {"$defs": definitions}
    trial_wide = {"training": _without_default(trial["properties"]["training"]), "grid": _grid(root)}
    sections = {name: _partial(definitions[name], definitions) for name in KINDED} | trial_wide
    fields = dict(header["properties"])
    first = {name: fields.pop(name) for name in ("name", "description")}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "description": "A study of generative models: docs/job-file.md explains every key.",
        "type": "object",
        "properties": first | sections | fields | {"provenance": _PROVENANCE},
        "required": ["name"],
        "additionalProperties": False,
        "if": {"not": {"required": ["grid"]}},
        "then": {
            "required": list(KINDED),
            "properties": {name: _whole(definitions[name]) for name in KINDED},
        },
        **root,
    }


_PROVENANCE = {"description": "what a submission wrote beside its results", "doNotSuggest": True}


def _tell_kinds_apart(definitions: dict[str, Any]) -> None:
    """Replace each tagged union in the definitions, whose members' own requirements move to the union."""
    required: dict[str, list[str]] = {}

    def replaced(node: Any) -> Any:
        if isinstance(node, list):
            return [replaced(entry) for entry in node]
        if not isinstance(node, dict):
            return node
        if "discriminator" in node:
            return _told_apart(node, definitions, required)
        return {key: replaced(value) for key, value in node.items()}

    for name in list(definitions):
        definitions[name] = replaced(definitions[name])


def _told_apart(union: dict[str, Any], definitions: dict[str, Any], required: dict[str, list[str]]) -> dict[str, Any]:
    tag, kinds = union["discriminator"]["propertyName"], union["discriminator"]["mapping"]
    branches = []
    for kind, reference in kinds.items():
        definition = definitions[reference.rpartition("/")[2]]
        definition["properties"][tag]["description"] = definition["description"]
        needed = required.setdefault(reference, [key for key in definition.pop("required", []) if key != tag])
        then = {"$ref": reference} | ({"required": needed} if needed else {})
        branches.append({"if": _is_of_kind(tag, kind), "then": then})
    texts = [definitions[reference.rpartition("/")[2]]["description"] for reference in kinds.values()]
    summaries = [text.partition("\n\n")[0] for text in texts]
    rest = {key: value for key, value in union.items() if key not in ("discriminator", "oneOf")}
    choice = {"description": "which other keys there are", "enum": list(kinds), "enumDescriptions": summaries}
    return {**rest, "type": "object", "required": [tag], "properties": {tag: choice}, "allOf": branches}


def _is_of_kind(tag: str, kind: str) -> dict[str, Any]:
    return {"required": [tag], "properties": {tag: {"const": kind}}}


def _partial(union: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A section whose kind and further keys the grid may set: without a kind it has the keys of all of them."""
    (tag,) = union["required"]
    branches = [{"if": branch["if"], "then": {"$ref": branch["then"]["$ref"]}} for branch in union["allOf"]]
    found: dict[str, dict[str, Any]] = {}
    for branch in branches:
        reference = branch["then"]["$ref"]
        for key, value in definitions[reference.rpartition("/")[2]]["properties"].items():
            if key != tag:
                found.setdefault(key, {})[_checks(value)] = f"{reference}/properties/{key}"
    keys = {key: _any_of(list(references.values())) for key, references in found.items()}
    loose = {"properties": {tag: True} | keys, "additionalProperties": False}
    rest = {key: value for key, value in union.items() if key not in ("required", "allOf")}
    return {**rest, "allOf": [*branches, {"if": {"not": {"required": [tag]}}, "then": loose}]}


def _whole(union: dict[str, Any]) -> dict[str, Any]:
    """What a section must have where there is no grid."""
    needs = [
        {"if": branch["if"], "then": {"required": branch["then"]["required"]}}
        for branch in union["allOf"]
        if "required" in branch["then"]
    ]
    return {"required": union["required"]} | ({"allOf": needs} if needs else {})


def _without_default(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a key without a default that is a whole section: the section's own keys have theirs."""
    return {key: value for key, value in field.items() if key != "default" or not isinstance(value, dict)}


def _name_measures(claim: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Name what a claim may be about, and what its trials and rows may be told apart by."""
    measures = [*ENDS, *PLAIN]
    measures += [f"{kind}.{name}" for kind, evaluation in KINDS.items() for name in numbers(evaluation.columns)]
    fields = claim["properties"]
    fields["measure"]["enum"] = measures
    fields["than_measure"]["anyOf"][0]["enum"] = measures
    names = [column.name for column in trial_columns() if "." in column.name]
    for kind in KINDS.values():
        names += [column.name for column in evaluation_columns(kind) if column.name.startswith("evaluation.")]
        names += [column.name for column in kind.columns]
    one = {"type": ["string", "number", "boolean", "null", "array"], "minItems": 1}
    definitions["where"] = {
        "type": "object",
        "propertyNames": {"enum": sorted(set(names))},
        "additionalProperties": one,
    }
    for side in ("group", "than", "each"):
        field = fields[side]
        fields[side] = {"description": field["description"], "$ref": "#/$defs/where"}
    fields["each"] |= {"minProperties": 1, "maxProperties": 1}


def _grid(root: dict[str, Any]) -> dict[str, Any]:
    """Every path of a setting with a list of its values or a range; any other name with a list of paths with values."""
    found: dict[str, dict[str, Any]] = {}
    starts = {name: f"#/$defs/{name}" for name in KINDED} | {
        "training": "#/$defs/TrainingSettings",
        WORKERS: "#/$defs/Resources/properties/workers",
    }
    for start, pointer in starts.items():
        for path, place in _paths(root, start, pointer):
            found.setdefault(path, {}).setdefault(_checks(_resolved(root, place)), place)
    values = {path: _any_of(list(places.values())) for path, places in found.items()}
    fixed = {path: value for path, value in values.items() if _ENTRY not in path}
    entries = {_pattern(path): value for path, value in values.items() if _ENTRY in path}
    root["$defs"]["linked"] = {
        "type": "object",
        "minProperties": 1,
        "properties": fixed,
        "patternProperties": entries,
        "additionalProperties": False,
    }
    described = {path: _description(root, path, next(iter(found[path].values()))) for path in fixed}
    linked = {
        "description": "values that go together: a list of paths with their values",
        **_list_of({"$ref": "#/$defs/linked"}),
    }
    root["$defs"]["range"] = _RANGE
    sections = "|".join(VARIED_SECTIONS)

    def varied(path: str) -> dict[str, Any]:
        listed = _list_of(values[path])
        numbers = any(_is_number(root, _resolved(root, place)) for place in found[path].values())
        takes_range = numbers and path not in (SEED, WORKERS)
        return {"anyOf": [listed, {"$ref": "#/$defs/range"}]} if takes_range else listed

    return {
        "description": "which settings vary: paths with lists of values; a trial for each combination",
        "type": "object",
        "minProperties": 1,
        "properties": {path: {"description": described[path], **varied(path)} for path in fixed},
        "patternProperties": {
            **{_pattern(path): varied(path) for path in values if _ENTRY in path},
            rf"^(?!(?:{sections})(?:\.|$)|{re.escape(WORKERS)}$)": linked,
        },
        "additionalProperties": False,
    }


def _paths(root: dict[str, Any], path: str, pointer: str) -> Iterator[tuple[str, str]]:
    """Each path at and below this one with the JSON pointer of the schema of its values."""
    yield path, pointer
    pointer = _followed(root, pointer)
    node = _at(root, pointer)
    tags = set(node["required"]) if "allOf" in node else set()
    for key in node.get("properties", {}):
        yield from _paths(root, f"{path}.{key}", f"{pointer}/properties/{key}")
    for number in range(len(node.get("prefixItems", ()))):
        yield from _paths(root, f"{path}.{number}", f"{pointer}/prefixItems/{number}")
    if isinstance(node.get("items"), dict):
        yield from _paths(root, f"{path}.{_ENTRY}", f"{pointer}/items")
    for branch in node.get("allOf", ()):
        below = _paths(root, path, branch["then"]["$ref"])
        yield from ((one, place) for one, place in below if one not in (path, *(f"{path}.{tag}" for tag in tags)))
    for number in range(len(node.get("anyOf", ()))):
        below = _paths(root, path, f"{pointer}/anyOf/{number}")
        yield from ((one, place) for one, place in below if one != path)


def _followed(root: dict[str, Any], pointer: str) -> str:
    while "$ref" in (node := _at(root, pointer)):
        pointer = node["$ref"]
    return pointer


def _at(root: dict[str, Any], pointer: str) -> Any:
    node: Any = root
    for part in pointer.removeprefix("#/").split("/"):
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node


def _resolved(root: dict[str, Any], pointer: str) -> dict[str, Any]:
    node: dict[str, Any] = _at(root, _followed(root, pointer))
    return node


def _description(root: dict[str, Any], path: str, pointer: str) -> str:
    own = _at(root, pointer).get("description") or _resolved(root, pointer).get("description")
    return str(own or f"an entry of {path.rpartition('.')[0]}")


def _checks(schema: dict[str, Any]) -> str:
    """What tells schemas of values apart: neither their descriptions nor their defaults."""
    return json.dumps({key: value for key, value in schema.items() if key not in ("description", "default")})


def _any_of(pointers: list[str]) -> dict[str, Any]:
    references = [{"$ref": pointer} for pointer in pointers]
    return references[0] if len(references) == 1 else {"anyOf": references}


def _is_number(root: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Whether a value may be a number."""
    if "anyOf" in schema:
        return any(_is_number(root, _resolved(root, one["$ref"]) if "$ref" in one else one) for one in schema["anyOf"])
    return schema.get("type") in ("number", "integer")


def _list_of(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": value}


def _pattern(path: str) -> str:
    return f"^{re.escape(path).replace(re.escape(_ENTRY), '[0-9]+')}$"
