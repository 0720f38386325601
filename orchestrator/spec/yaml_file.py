"""Reads YAML that a stranger may have written: bounded in size, depth and expansion, no tags, no repeated keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

MAX_BYTES = 1_000_000
MAX_NODES = 1_000_000
"""Values in a job file after its anchors are written out."""

_MAX_DEPTH = 50


class _Loader(yaml.SafeLoader):
    """The safe loader, with the numbers of YAML 1.2 (``2e-4``) and an error for a key that stands twice."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not text", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_yaml_file(path: Path) -> dict[str, Any]:
    """The mapping in a file. Raises SettingsError: no file, too large, not YAML, or no mapping."""
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            size = path.stat().st_size / 1e6
            raise SettingsError(str(path), "", f"is {size:.1f} MB, expected a job file of at most 1 MB")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(str(path), "", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(str(path), "", f"is not UTF-8 text (byte {error.start})") from error
    value = parse_yaml(text, str(path))
    if not isinstance(value, dict):
        raise SettingsError(str(path), "", f"holds {_kind(value)}, expected keys such as name, data, model, objective")
    return value


def parse_yaml(text: str, source: str) -> Any:
    """The one value in ``text``; ``source`` names it in errors. Raises SettingsError."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _expanded(node, {}, 0) > MAX_NODES:
            raise SettingsError(source, "", f"anchors expand to more than {MAX_NODES:,} values")
        return loader.construct_document(node)
    except RecursionError as error:
        raise SettingsError(source, "", f"is nested deeper than {_MAX_DEPTH} levels") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(source, place, f"not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise SettingsError(source, "", f"not valid YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:
        # Well-formed scalars without a value, such as the date 2026-99-99.
        raise SettingsError(source, "", f"not valid YAML: {error}") from error
    finally:
        loader.dispose()


def _expanded(node: yaml.Node, known: dict[yaml.Node, int], depth: int) -> int:
    """Values below a node once every alias is written out; counted without writing them out."""
    if depth > _MAX_DEPTH:
        raise RecursionError
    if node not in known:
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        else:
            children = []
        known[node] = 1 + sum(_expanded(child, known, depth + 1) for child in children)
    return known[node]


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", type(None): "nothing"}.get(type(value), "a single value")
