"""The axes of a grid that set several settings together: their levels and what these are called. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrator.spec.varying import OBJECTIVE, is_linked, leaves
from orchestrator.text import LINKED, SEED, setting, short_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.spec.grid import Axis
    from orchestrator.spec.job import Trial

FEW = 2
"""So many settings are named in full; of more only those that are needed to tell levels apart."""

_NAMED_BY_VALUE = (OBJECTIVE, "model.kind", "data.name")


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
    """``values`` of the settings in which levels differ, and what the grid's entry ``sets`` among them."""

    values: dict[str, Any]
    sets: dict[str, Any]


def link(trials: pd.DataFrame, axes: Sequence[Axis], planned: Mapping[str, Trial]) -> pd.DataFrame:
    """``trials`` with a column ``grid.<axis>`` of Levels for each axis whose entries set several settings.

    An axis in which a single setting differs, or one kind and what belongs to it, stays that setting. ``planned`` are
    the job's trials by id, whose changes tell the entry that made each; a trial of no entry has a level of its own.
    """
    for axis in axes:
        columns = linked_columns(trials, axis)
        if len(columns) < 2 or _one_kind(trials, columns):
            continue
        entries = leaves(axis)
        keys = _keys(trials, columns)
        entry_of: dict[tuple[Any, ...], int] = {}
        for trial_id, key in zip(trials["trial_id"], keys, strict=True):
            if trial_id in planned and (place := _entry(planned[trial_id], axis, entries)) is not None:
                entry_of.setdefault(key, place)
        order = sorted(dict.fromkeys(keys), key=lambda key: entry_of.get(key, len(entries)))
        levels = [
            _Level(dict(zip(columns, key, strict=True)), entries[entry_of[key]] if key in entry_of else {})
            for key in order
        ]
        named = {key: Level(label, place) for place, (key, label) in enumerate(zip(order, labels(levels), strict=True))}
        column = pd.Series([named[key] for key in keys], index=trials.index, dtype=object)
        trials = trials.assign(**{f"{LINKED}{axis.name}": column})
    return trials


def linked_columns(trials: pd.DataFrame, axis: Axis) -> list[str]:
    """The columns at or below the paths of a linked axis that have several values; none of a plain axis."""
    if not is_linked(axis):
        return []
    paths = axis.paths
    return [
        column
        for column in trials.columns
        if any(column == path or column.startswith(f"{path}.") for path in paths) and len(set(trials[column])) > 1
    ]


def _entry(trial: Trial, axis: Axis, entries: Sequence[Mapping[str, Any]]) -> int | None:
    """The place of the entry that made the trial."""
    paths = set(axis.paths)
    changes = {
        path: value
        for path, value in trial.changes.items()
        if path in paths or any(path.startswith(f"{one}.") for one in paths)
    }
    return next((place for place, entry in enumerate(entries) if entry == changes), None)


def meanings(trials: pd.DataFrame, axes: Sequence[Axis]) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each axis that links settings its name, and of each level its label and all settings that differ."""
    axes_meanings = []
    for axis in axes:
        column = LINKED + axis.name
        if column in trials:
            columns = linked_columns(trials, axis)
            levels = trials.drop_duplicates(column).to_dict("records")
            levels.sort(key=lambda row: row[column].place)
            rows = [
                (str(row[column]), ", ".join(f"{c} = {setting(row[c])}" for c in columns if row[c] is not None))
                for row in levels
            ]
            axes_meanings.append((axis.name, rows))
    return axes_meanings


def names_of(columns: Sequence[str], varying: Sequence[str]) -> dict[str, str]:
    """The shortest unambiguous name of each setting; an axis has its own, and the only seed that varies is the seed."""
    axes = {column: column.removeprefix(LINKED) for column in columns if column.startswith(LINKED)}
    names = short_names(column for column in columns if column not in axes) | axes
    return names | ({SEED: "seed"} if [one for one in varying if one.endswith(".seed")] == [SEED] else {})


def labels(levels: Sequence[_Level]) -> list[str]:
    """What tells each level apart, in few words: ``rasgan``, ``ralsgan lr=0.002``; no two are the same."""
    twins = _twins(levels)
    columns = [column for column in _in_order(levels) if column not in twins]
    names = {column: name.replace("_optimizer.", "_") for column, name in short_names(columns).items()}
    names |= {twin.replace("d_optimizer", "g_optimizer"): twin.rpartition(".")[2] for twin in twins}
    full = len(columns) <= FEW and not set(columns) & set(_NAMED_BY_VALUE)
    needed = columns if full else _needed(levels, columns)
    for brief in (True, False):
        written = [_label(level, levels, needed, names, full=full, brief=brief) for level in levels]
        if len(set(written)) == len(written):
            return written
    return [f"{label} ({number})" for number, label in enumerate(written, start=1)]


def _label(
    level: _Level, levels: Sequence[_Level], needed: Sequence[str], names: dict[str, str], *, full: bool, brief: bool
) -> str:
    """The words for the settings that part the level from others, or for all; ``brief`` leaves out what is default."""
    words, left_out, alike = [], "", list(levels)
    for column in needed:
        value = level.values[column]
        agreeing = [other for other in alike if other.values[column] == value]
        if value is not None and (full or len(agreeing) < len(alike)):
            shown = setting(level.sets.get(column, value))
            word = shown if column in _NAMED_BY_VALUE else f"{names[column]}={shown}"
            if column in level.sets or column in _NAMED_BY_VALUE or not brief:
                words.append(word)
            left_out = left_out or word
        alike = agreeing
    return " ".join(words) or left_out or "default"


def _needed(levels: Sequence[_Level], columns: Sequence[str]) -> list[str]:
    """The first of the columns, in their order, that tell all levels apart."""
    needed: list[str] = []
    classes = 1
    for column in columns:
        finer = len({tuple(level.values[one] for one in (*needed, column)) for level in levels})
        if finer > classes:
            needed.append(column)
            classes = finer
    return needed


def _in_order(levels: Sequence[_Level]) -> list[str]:
    """Kinds first, then what the grid's entries name, in its order; if they name any, nothing else."""
    columns = list(levels[0].values)
    named = [column for level in levels for column in level.sets if column in columns]
    listed = [*(column for column in _NAMED_BY_VALUE if column in columns), *named]
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


def _keys(trials: pd.DataFrame, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(trials[column] for column in columns), strict=True))
