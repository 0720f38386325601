"""The ``grid`` of a job file: axes of values, the product of them all, and ranges that a search proposes values of."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.errors import SettingsError
from orchestrator.spec.messages import did_you_mean, show

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIED_SECTIONS = ("data", "model", "objective", "training")
WORKERS = "resources.workers"
"""The one path outside these sections that a grid may vary: larger batches may need more devices."""
SEED = "training.seed"
MAX_CELLS = 100_000
MOST = 1e15
"""The ends of a range lie below this number, and so are told exactly by a float."""
_OF_RANGE = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Axis:
    """One line of the grid: each entry sets one dotted path or, where values are linked, several."""

    name: str
    entries: tuple[dict[str, Any], ...]

    @property
    def paths(self) -> list[str]:
        """Every path that some entry sets, in order."""
        return list(dict.fromkeys(path for entry in self.entries for path in entry))


@dataclass(frozen=True)
class Range:
    """A setting of which a search proposes values from ``low`` to ``high``, both included.

    ``whole`` numbers are ``low`` and steps of ``step`` above it; others are proposed with three significant digits.
    With ``log`` the logarithm is what is searched.
    """

    name: str
    low: float
    high: float
    log: bool = False
    step: int = 1
    whole: bool = False

    @property
    def paths(self) -> list[str]:
        """The path that it varies."""
        return [self.name]

    def rounded(self, value: float) -> float:
        """``value`` as it is proposed, so that a trial's id is the hash of a number that people can write."""
        return int(value) if self.whole else min(max(float(f"{value:.3g}"), self.low), self.high)

    def holds(self, value: Any) -> bool:
        """Whether a proposal may have this value."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return not self.whole or (isinstance(value, int) and (value - self.low) % self.step == 0)

    def as_written(self) -> dict[str, Any]:
        """As in a job file."""
        written: dict[str, Any] = {"low": self.low, "high": self.high}
        return written | ({"log": True} if self.log else {}) | ({"step": self.step} if self.step > 1 else {})


def read_axes(raw: Any, source: str) -> tuple[Axis, ...]:
    """The axes of a raw ``grid``, without its ranges. Raises SettingsError."""
    return read_grid(raw, source)[0]


def read_grid(raw: Any, source: str) -> tuple[tuple[Axis, ...], tuple[Range, ...]]:
    """The axes and the ranges of a raw ``grid``. Raises SettingsError."""
    if not isinstance(raw, dict):
        raise SettingsError(source, "grid", f"got {show(raw)}, expected paths with lists of values")
    if not raw:
        raise SettingsError(source, "grid", "is empty, expected paths with lists of values; leave it out for one trial")
    ranges = tuple(_read_range(name, ends, source) for name, ends in raw.items() if isinstance(ends, dict))
    axes = tuple(_read_axis(name, values, source) for name, values in raw.items() if not isinstance(values, dict))
    every: tuple[Axis | Range, ...] = (*axes, *ranges)
    for axis, other in itertools.combinations(every, 2):
        if clash := next((path for path in other.paths if any(_overlap(path, first) for first in axis.paths)), None):
            raise SettingsError(source, f"grid.{other.name}", f"sets {clash}, which grid.{axis.name} sets too")
    cells = math.prod(len(axis.entries) for axis in axes)
    if cells > MAX_CELLS:
        raise SettingsError(source, "grid", f"has {cells:,} cells, expected at most {MAX_CELLS:,}")
    return axes, ranges


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


def _read_range(name: str, raw: dict[str, Any], source: str) -> Range:
    """A range. Its ends tell whether it is of ``whole`` numbers; the setting may allow fractions between them."""
    key = f"grid.{name}"
    if name in (WORKERS, SEED):
        raise SettingsError(source, key, f"got {show(raw)}, expected a list of values: no search chooses among them")
    if not _can_vary(name):
        allowed = did_you_mean(name.split(".")[0], list(VARIED_SECTIONS))
        raise SettingsError(source, key, f"is no path of a setting; {allowed}")
    if unknown := next((part for part in raw if part not in _OF_RANGE), None):
        raise SettingsError(source, f"{key}.{unknown}", f"unknown key; {did_you_mean(unknown, list(_OF_RANGE))}")
    for end in ("low", "high"):
        if not _is_number(raw.get(end)):
            problem = f"got {show(raw[end])}, expected a number" if end in raw else "is missing, expected a number"
            raise SettingsError(source, f"{key}.{end}", problem)
    one = Range(name, raw["low"], raw["high"], raw.get("log", False), raw.get("step", 1))
    one = replace(one, whole=isinstance(one.low, int) and isinstance(one.high, int))
    if mistake := _mistake_in(one, raw):
        raise SettingsError(source, f"{key}.{mistake[0]}", f"got {show(raw[mistake[0]])}, {mistake[1]}")
    return one


def _mistake_in(one: Range, raw: dict[str, Any]) -> tuple[str, str] | None:
    """A key of a range, and why its value cannot be."""
    if one.low >= one.high:
        return "high", f"expected a number > low, which is {show(one.low)}"
    if not isinstance(one.log, bool):
        return "log", "expected true or false"
    if one.log and one.low <= 0:
        return "low", "expected a number > 0 with log"
    if "step" not in raw:
        return None
    if not isinstance(one.step, int) or isinstance(one.step, bool) or one.step < 1 or one.log or not one.whole:
        return "step", "expected a whole number >= 1, between whole numbers and without log"
    return ("step", f"which does not lead from {one.low} to {one.high}") if (one.high - one.low) % one.step else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST


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
