"""Reads untrusted YAML: bounded in size, depth and expansion, without tags and repeated keys."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import yaml
from yaml.constructor import ConstructorError

from orchestrator.errors import SettingsError
from orchestrator.spec.messages import nearest, show

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUFFIXES = (".yaml", ".yml")
"""The suffixes of job files."""
MAX_BYTES = 1_000_000
MAX_NODES = 150_000
"""Values in a job file, both as written and after its anchors are expanded: reading as many takes 5 s."""
MAX_TEXT = 2_000_000
"""Characters of all values after anchors are expanded."""

_MAX_DEPTH = 50

_DIGITS = list("-+0123456789")
_SCALARS: dict[str, tuple[str, list[str], Callable[[str], Any]]] = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""], lambda text: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF"), lambda text: text.lower() == "true"),
    "int": (r"[-+]?[0-9]{1,300}", _DIGITS, int),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*_DIGITS, "."],
        lambda text: float(re.sub(r"\.(?=[in])", "", text.lower())),
    ),
}
"""Plain scalars other than text: the pattern, the characters they begin with, and their value.

YAML 1.2's core schema (yaml.org/spec/1.2.2, section 10.3.2) without octal and hexadecimal numbers: ``2e-4`` is a
number, ``010`` is ten, ``on`` and ``2026-01-01`` are text.
"""


class _Loader(yaml.SafeLoader):
    """Text, lists, mappings with text keys, and the scalars above; any other tag is an error."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - replaces the base class's
    yaml_constructors = {}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """See SafeLoader; nodes are counted, since two bytes in the file may make a node of over 100 bytes."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _TooManyError
        return super().compose_node(parent, index)


class _TooManyError(ValueError):
    """More than MAX_NODES values, or MAX_TEXT characters of them."""


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or the reader above would read as another type or as a line break."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = None if data.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


def _constructor(tag: str, pattern: str, value_of: Callable[[str], Any]) -> Callable[[_Loader, Any], Any]:
    def construct(loader: _Loader, node: Any) -> Any:
        text = loader.construct_scalar(node)
        if not re.fullmatch(pattern, text):
            raise ConstructorError(None, None, f"{show(text)} is no {tag}", node.start_mark)
        return value_of(text)

    return construct


def _mapping(loader: _Loader, node: yaml.Node) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise ConstructorError(None, None, "expected keys and values", node.start_mark)
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise ConstructorError(None, None, f"key {show(key)} is not text", key_node.start_mark)
        if key in mapping:
            raise ConstructorError(None, None, f"key {show(key)} stands twice", key_node.start_mark)
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


def _list(loader: _Loader, node: Any) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


def _refuse(loader: _Loader, node: yaml.Node) -> Any:
    raise ConstructorError(None, None, f"tag {show(node.tag)} is not allowed", node.start_mark)


for _tag, (_pattern, _first, _value_of) in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _constructor(_tag, _pattern, _value_of))
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)
_Dumper.add_representer(str, _Dumper.represent_str)
_Loader.add_constructor("tag:yaml.org,2002:str", _constructor("text", "(?s:.*)", str))
_Loader.add_constructor("tag:yaml.org,2002:seq", _list)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor(None, _refuse)


def read_yaml_file(path: Path) -> dict[str, Any]:
    """The mapping in a file. Raises SettingsError: no file, too large, not YAML, or no mapping."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = _nearly(path) if isinstance(error, FileNotFoundError) else ""
        raise SettingsError(str(path), "", f"cannot be read: {error.strerror}{hint}") from error
    if len(data) > MAX_BYTES:
        raise SettingsError(str(path), "", "is too large, expected a job file of at most 1 MB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise SettingsError(str(path), "", f"is not UTF-8 text (byte {error.start})") from error
    value = parse_yaml(text, str(path))
    if not isinstance(value, dict):
        raise SettingsError(str(path), "", f"holds {_kind(value)}, expected keys such as name, data, model, objective")
    return value


def _nearly(path: Path) -> str:
    """The end of an error with the job file of the same folder whose name is nearest; empty where none is near."""
    try:
        names = sorted(file.name for file in path.parent.iterdir() if file.suffix in SUFFIXES)
    except OSError:
        return ""
    stems = {name.rpartition(".")[0]: name for name in names}
    near = nearest(path.stem, stems)
    return f"; did you mean {show(stems[near])}?" if near else ""


def parse_yaml(text: str, source: str) -> Any:
    """The one value in ``text``; ``source`` names it in errors. Raises SettingsError.

    An alias is the same object in every place: copy it before changing it.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        nodes, characters = _expanded(node, {}, 0)
        if nodes > MAX_NODES or characters > MAX_TEXT:
            raise _TooManyError
        return loader.construct_document(node)
    except _TooManyError as error:
        limits = f"{MAX_NODES:,} values, or {MAX_TEXT:,} characters of them, with anchors written out"
        raise SettingsError(source, "", f"holds more than {limits}") from error
    except RecursionError as error:
        raise SettingsError(source, "", f"is nested deeper than {_MAX_DEPTH} levels, or within itself") from error
    except yaml.reader.ReaderError as error:
        place = f"line {text.count(chr(10), 0, error.position) + 1}"
        raise SettingsError(source, place, f"not valid YAML: character {text[error.position]!r}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(source, place, f"not valid YAML: {error.problem}") from error


def dump_yaml(value: Any) -> str:
    """``value`` as YAML from which ``parse_yaml``, and readers of YAML 1.1, read the same value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def flow_yaml(value: Any) -> str:
    """``value`` on one line, likewise, to stand behind a key."""
    text = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=True, width=math.inf
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _expanded(node: yaml.Node, counts: dict[yaml.Node, tuple[int, int]], depth: int) -> tuple[int, int]:
    """Number of values and characters at and below a node with all aliases expanded; counted without expanding them."""
    if depth > _MAX_DEPTH:
        raise RecursionError
    if node not in counts:
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        else:
            children = []
        below = [_expanded(child, counts, depth + 1) for child in children]
        characters = 0 if children else len(node.value)
        counts[node] = 1 + sum(nodes for nodes, _ in below), characters + sum(more for _, more in below)
    return counts[node]


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", type(None): "nothing"}.get(type(value), "a single value")
