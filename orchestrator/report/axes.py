"""Axes of the grid that set several settings together: one setting each, whose levels have short labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrator.report.text import LINKED, SEED, setting, short_names
from orchestrator.spec.grid import VARIED_SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FEW = 2
"""So many settings are told in full; of more only those that are needed to tell levels apart."""

_NAMED_BY_VALUE = ("objective.kind", "model.kind", "data.name")


class Level(str):
    """A level's label, which knows its place among the levels of its axis."""

    __slots__ = ("place",)
    place: int

    def __new__(cls, label: str, place: int) -> Level:
        """The label, and the level's place."""
        level = super().__new__(cls, label)
        level.place = place
        return level


@dataclass(frozen=True)
class _Level:
    """``values`` of the settings in which levels differ, and what the job file's entry ``says`` of them."""

    values: dict[str, Any]
    says: dict[str, Any]


def grid_axes(job: Mapping[str, Any]) -> list[list[str]]:
    """The columns that each axis of the grid may set: its own one first, if it links several, then dotted paths."""
    grid = job.get("grid")
    axes = []
    for name, values in (grid if isinstance(grid, dict) else {}).items():
        linked = [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
        keys = [path for value in linked for path, _ in _leaves(_paths(str(name), value))]
        axes.append([*([LINKED + str(name)] if linked else []), *dict.fromkeys([str(name), *keys])])
    return axes


def link(trials: pd.DataFrame, job: Mapping[str, Any]) -> pd.DataFrame:
    """``trials`` with a column ``grid.<axis>`` of Levels for each axis whose entries set several settings.

    An axis in which a single setting differs, or one kind and what belongs to it, stays that setting.
    """
    grid = job.get("grid")
    for name, values in (grid if isinstance(grid, dict) else {}).items():
        entries = [_paths(str(name), value) for value in values if isinstance(value, dict)] if _listed(values) else []
        columns = _differing(trials, entries)
        if len(columns) < 2 or _one_kind(trials, columns):
            continue
        said = [dict(_leaves(entry)) for entry in entries]
        keys = [dict(zip(columns, key, strict=True)) for key in dict.fromkeys(_keys(trials, columns))]
        places = [_place(key, said) for key in keys]
        order = sorted(range(len(keys)), key=lambda number: places[number])
        levels = [_Level(keys[number], said[places[number]]) for number in order]
        named = {
            tuple(level.values.values()): Level(label, place)
            for place, (level, label) in enumerate(zip(levels, labels(levels), strict=True))
        }
        found = [named[key] for key in _keys(trials, columns)]
        trials = trials.assign(**{f"{LINKED}{name}": pd.Series(found, index=trials.index, dtype=object)})
    return trials


def meanings(trials: pd.DataFrame, job: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each axis that links settings its name, and of each level its label and all settings that differ."""
    told = []
    for axis in grid_axes(job):
        if axis[0].startswith(LINKED) and axis[0] in trials:
            grid = job["grid"][axis[0].removeprefix(LINKED)]
            entries = [_paths(axis[0].removeprefix(LINKED), value) for value in grid if isinstance(value, dict)]
            columns = _differing(trials, entries)
            levels = trials.drop_duplicates(axis[0]).to_dict("records")
            levels.sort(key=lambda row: row[axis[0]].place)
            rows = [
                (str(row[axis[0]]), ", ".join(f"{c} = {setting(row[c])}" for c in columns if row[c] is not None))
                for row in levels
            ]
            told.append((axis[0].removeprefix(LINKED), rows))
    return told


def names_of(columns: Sequence[str], varying: Sequence[str]) -> dict[str, str]:
    """The shortest unambiguous name of each setting; an axis has its own, and the only seed that varies is the seed."""
    own = {column: column.removeprefix(LINKED) for column in columns if column.startswith(LINKED)}
    names = short_names(column for column in columns if column not in own) | own
    return names | ({SEED: "seed"} if [one for one in varying if one.endswith(".seed")] == [SEED] else {})


def labels(levels: Sequence[_Level]) -> list[str]:
    """What tells each level apart, in few words: ``rasgan``, ``ralsgan lr=0.002``; no two are the same."""
    twins = _twins(levels)
    columns = [column for column in _in_order(levels) if column not in twins]
    names = {column: name.replace("_optimizer.", "_") for column, name in short_names(columns).items()}
    names |= {twin.replace("d_optimizer", "g_optimizer"): twin.rpartition(".")[2] for twin in twins}
    full = len(columns) <= FEW and not set(columns) & set(_NAMED_BY_VALUE)
    told = columns if full else _needed(levels, columns)
    for silent in (True, False):
        found = [_label(level, levels, told, names, full=full, silent=silent) for level in levels]
        if len(set(found)) == len(found):
            return found
    return [f"{label} ({number})" for number, label in enumerate(found, start=1)]


def _label(
    level: _Level,
    levels: Sequence[_Level],
    told: Sequence[str],
    names: dict[str, str],
    *,
    full: bool,
    silent: bool,
) -> str:
    """The words for the settings that part the level from others, or for all; ``silent`` skips what its entry does."""
    words, unsaid, alike = [], "", list(levels)
    for column in told:
        value = level.values[column]
        agreeing = [other for other in alike if other.values[column] == value]
        if value is not None and (full or len(agreeing) < len(alike)):
            shown = setting(level.says.get(column, value))
            word = shown if column in _NAMED_BY_VALUE else f"{names[column]}={shown}"
            if column in level.says or column in _NAMED_BY_VALUE or not silent:
                words.append(word)
            unsaid = unsaid or word
        alike = agreeing
    return " ".join(words) or unsaid or "default"


def _needed(levels: Sequence[_Level], columns: Sequence[str]) -> list[str]:
    """The first of the columns, in their order, that tell all levels apart."""
    told: list[str] = []
    classes = 1
    for column in columns:
        finer = len({tuple(level.values[one] for one in (*told, column)) for level in levels})
        if finer > classes:
            told.append(column)
            classes = finer
    return told


def _in_order(levels: Sequence[_Level]) -> list[str]:
    """Kinds first, then what the job file's entries name, in its order; if they name any, nothing else."""
    columns = list(levels[0].values)
    said = [column for level in levels for column in level.says if column in columns]
    listed = [*(column for column in _NAMED_BY_VALUE if column in columns), *said]
    return list(dict.fromkeys(listed)) or columns


def _twins(levels: Sequence[_Level]) -> set[str]:
    """Settings of the discriminator's optimizer that equal the generator's in each level."""
    columns = levels[0].values
    pairs = {c: c.replace("d_optimizer", "g_optimizer") for c in columns if ".d_optimizer." in c}
    return {d for d, g in pairs.items() if g in columns and all(one.values[d] == one.values[g] for one in levels)}


def _one_kind(trials: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Whether the levels are different kinds of one section, and all that differs is of that section."""
    for kind in _NAMED_BY_VALUE:
        section = kind.partition(".")[0]
        if kind in columns and all(column.startswith(f"{section}.") for column in columns):
            return len(set(trials[kind])) == len(set(_keys(trials, columns)))
    return False


def _differing(trials: pd.DataFrame, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns at or below the entries' paths that have several values."""
    paths = list(dict.fromkeys(path for entry in entries for path in entry))
    return [
        column
        for column in trials.columns
        if any(column == path or column.startswith(f"{path}.") for path in paths) and len(set(trials[column])) > 1
    ]


def _keys(trials: pd.DataFrame, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(trials[column] for column in columns), strict=True))


def _place(values: Mapping[str, Any], said: Sequence[Mapping[str, Any]]) -> int:
    """The entry that a level came from: least of what it says is otherwise, most of it is so; the first of such."""
    agree = [[_same(values[column], own) for column, own in entry.items() if column in values] for entry in said]
    return min(range(len(said)), key=lambda number: (agree[number].count(False), -agree[number].count(True)))


def _same(value: Any, said: Any) -> bool:
    """Whether a setting, as ``results.plain`` has it, is what an entry says; a number may stand for equal ends."""
    if isinstance(said, int | float) and isinstance(value, str):
        return value == str([float(said), float(said)])
    return bool(value == (str(said) if isinstance(said, list) else said))


def _listed(values: Any) -> bool:
    return isinstance(values, list) and any(isinstance(value, dict) for value in values)


def _paths(name: str, entry: Mapping[Any, Any]) -> dict[str, Any]:
    """What an entry sets, by path: ``objective: {kind: ...}`` below its path, others under paths of their own."""
    if name.partition(".")[0] in VARIED_SECTIONS:
        return {name: entry}
    return {str(path): value for path, value in entry.items()}


def _leaves(entry: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in entry.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
