"""Which settings vary between trials, and what an axis of a grid sets. Pure functions of frames or mappings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.spec.identity import IDLE, flatten
from orchestrator.text import LINKED, SEED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from orchestrator.spec.grid import Axis

    Columns = pd.DataFrame | Mapping[str, Sequence[Any]]

OBJECTIVE = "objective.kind"


def leaves(axis: Axis) -> list[dict[str, Any]]:
    """The dotted paths that each entry of the axis sets, with their values."""
    return [flatten(entry) for entry in axis.entries]


def is_linked(axis: Axis) -> bool:
    """Whether entries of the axis may set several settings."""
    return any(list(entry) != [axis.name] or isinstance(entry[axis.name], dict) for entry in axis.entries)


def grid_columns(axis: Axis) -> list[str]:
    """The columns of trials that an axis may set: its own one first, if it links several, then dotted paths."""
    paths = dict.fromkeys(path for entry in leaves(axis) for path in entry)
    return [*([LINKED + axis.name] if is_linked(axis) else []), *dict.fromkeys([axis.name, *paths])]


def varying_settings(trials: Columns, axes: Sequence[Sequence[str]]) -> list[str]:
    """The settings in which trials differ: the objective's first, then in the grid's order, then others, seed last.

    ``trials`` leads from each setting to its values by trial, which can be hashed. ``axes`` are the grid's, see
    ``grid_columns``. A setting that only follows another one (an objective's own target; all that the levels of an
    axis of its own name set) is left out, and so is one that changes no result.
    """
    dotted = [str(column) for column in trials if "." in str(column)]
    present = [[path for path in axis if path in dotted] for axis in axes]
    free = {axis[0] for axis in present if axis}
    listed = [path for axis in present for path in axis]
    listed += sorted(set(dotted) - set(listed))
    listed.sort(key=lambda path: (path == SEED, not names_objective(trials, path)))
    kept: list[str] = []
    for column in listed:
        if column in IDLE or len(set(trials[column])) < 2:
            continue
        if column in free or not any(_follows(trials, column, other) for other in kept):
            kept.append(column)
    return kept


def names_objective(trials: Columns, column: str) -> bool:
    """Whether the setting is the objective's kind, or an axis that sets it."""
    if not column.startswith(LINKED) or OBJECTIVE not in trials or len(set(trials[OBJECTIVE])) < 2:
        return column == OBJECTIVE
    return _follows(trials, OBJECTIVE, column)


def _follows(trials: Columns, column: str, other: str) -> bool:
    return len(set(zip(trials[other], trials[column], strict=True))) == len(set(trials[other]))
