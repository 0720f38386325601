"""The ``grid`` of a job file: axes of values, and the product of them all."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import SettingsError
from orchestrator.spec.messages import did_you_mean, show

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIED_SECTIONS = ("data", "model", "objective", "training")
WORKERS = "resources.workers"
"""The one path outside these sections that a grid may vary: larger batches may need more devices."""
MAX_CELLS = 100_000


@dataclass(frozen=True)
class Axis:
    """One line of the grid: each entry sets one dotted path or, where values are linked, several."""

    name: str
    entries: tuple[dict[str, Any], ...]

    @property
    def paths(self) -> list[str]:
        """Every path that some entry sets, in order."""
        return list(dict.fromkeys(path for entry in self.entries for path in entry))


def read_axes(raw: Any, source: str) -> tuple[Axis, ...]:
    """The axes of a raw ``grid``. Raises SettingsError."""
    if not isinstance(raw, dict):
        raise SettingsError(source, "grid", f"got {show(raw)}, expected paths with lists of values")
    if not raw:
        raise SettingsError(source, "grid", "is empty, expected paths with lists of values; leave it out for one trial")
    axes = tuple(_read_axis(name, values, source) for name, values in raw.items())
    for axis, other in itertools.combinations(axes, 2):
        if clash := next((path for path in other.paths if any(_overlap(path, first) for first in axis.paths)), None):
            raise SettingsError(source, f"grid.{other.name}", f"sets {clash}, which grid.{axis.name} sets too")
    cells = math.prod(len(axis.entries) for axis in axes)
    if cells > MAX_CELLS:
        raise SettingsError(source, "grid", f"has {cells:,} cells, expected at most {MAX_CELLS:,}")
    return axes


def _can_vary(path: str) -> bool:
    return path == WORKERS or path.split(".")[0] in VARIED_SECTIONS


def _overlap(path: str, other: str) -> bool:
    return path == other or path.startswith(other + ".") or other.startswith(path + ".")


def _read_axis(name: str, values: Any, source: str) -> Axis:
    key = f"grid.{name}"
    if not isinstance(values, list) or not values:
        raise SettingsError(source, key, f"got {show(values)}, expected a list with at least one value")
    if _can_vary(name):
        return Axis(name, tuple({name: value} for value in values))
    for value in values:
        if not isinstance(value, dict) or not value:
            allowed = did_you_mean(name.split(".")[0], list(VARIED_SECTIONS))
            raise SettingsError(
                source,
                key,
                f"is no path of a setting; {allowed}; or a name for a list of {{path: value, ...}}",
            )
        for path in value:
            if not _can_vary(path):
                allowed = did_you_mean(path.split(".")[0], list(VARIED_SECTIONS))
                raise SettingsError(source, f"{key}: {path}", f"cannot be varied; {allowed}")
        for path, other in itertools.combinations(value, 2):
            if _overlap(path, other):
                raise SettingsError(source, f"{key}: {other}", f"is set by {path} in the same entry too")
    return Axis(name, tuple(values))


def cells(
    sections: dict[str, Any], axes: tuple[Axis, ...], source: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every cell of the grid: its raw sections, and the paths that the axes set in it with their values.

    Cells share the objects that no axis changes. Raises SettingsError for a path that leads through a plain value.
    """
    for combination in itertools.product(*(axis.entries for axis in axes)):
        changes = {path: value for entry in combination for path, value in entry.items()}
        cell = sections
        for path, value in changes.items():
            cell = with_path(cell, path, value, source)
        yield cell, changes


def with_path(raw: dict[str, Any], path: str, value: Any, source: str) -> dict[str, Any]:
    """``raw`` with a dotted path set in its nested mappings and lists; mappings are made where they are missing.

    Only the objects along the path are copied: YAML's aliases put one object in several places, so that no object may
    be changed. Raises SettingsError where a value along the path has no keys or lacks that entry.
    """

    def put(node: Any, depth: int) -> Any:
        if depth == len(parts):
            return value
        part = parts[depth]
        if isinstance(node, dict):
            return {**node, part: put(node.get(part, {}), depth + 1)}
        if isinstance(node, list) and part.isascii() and part.isdecimal() and int(part) < len(node):
            return [put(entry, depth + 1) if i == int(part) else entry for i, entry in enumerate(node)]
        expected = f"an entry from 0 to {len(node) - 1}" if isinstance(node, list) and node else "keys and values"
        raise SettingsError(
            source, path, f"cannot be set: {'.'.join(parts[:depth])} is {show(node)}, expected {expected}"
        )

    parts = path.split(".")
    changed: dict[str, Any] = put(raw, 0)
    return changed
