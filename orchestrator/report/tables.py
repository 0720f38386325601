"""From rows to summaries: which settings vary, which trials belong together, spreads over seeds. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from orchestrator.report.axes import Level
from orchestrator.report.results import OBJECTIVE, plain
from orchestrator.report.text import LINKED, SEED
from orchestrator.spec.identity import IDLE, IDLE_OF_EVALUATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

_T = TypeVar("_T")


@dataclass(frozen=True)
class Spread:
    """A measure over the ``count`` seeds of one cell: arithmetic mean, least and greatest value."""

    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """The spread of the finite values; None when there are none."""
        finite = [float(value) for value in values if np.isfinite(value)]
        return cls(float(np.mean(finite)), min(finite), max(finite), len(finite)) if finite else None


def varying_settings(trials: pd.DataFrame, axes: Sequence[Sequence[str]]) -> list[str]:
    """The settings in which trials differ: the objective's first, then in the grid's order, then others, seed last.

    ``axes`` are the grid's, see ``axes.grid_axes``. A setting that only follows another one (an objective's own
    target; all that the levels of an axis of its own name set) is left out, and so is one that changes no result.
    """
    dotted = [column for column in trials.columns if "." in column]
    present = [[path for path in axis if path in dotted] for axis in axes]
    free = {axis[0] for axis in present if axis}
    listed = [path for axis in present for path in axis]
    listed += sorted(set(dotted) - set(listed))
    listed.sort(key=lambda path: (path == SEED, not tells_objective(trials, path)))
    kept: list[str] = []
    for column in listed:
        if column in IDLE or len(set(trials[column])) < 2:
            continue
        if column in free or not any(_follows(trials, column, other) for other in kept):
            kept.append(column)
    return kept


def tells_objective(trials: pd.DataFrame, column: str) -> bool:
    """Whether the setting is the objective's kind, or an axis that sets it."""
    if not column.startswith(LINKED) or OBJECTIVE not in trials or len(set(trials[OBJECTIVE])) < 2:
        return column == OBJECTIVE
    return _follows(trials, OBJECTIVE, column)


def _follows(trials: pd.DataFrame, column: str, other: str) -> bool:
    return len(set(zip(trials[other], trials[column], strict=True))) == len(set(trials[other]))


def levels(trials: pd.DataFrame, column: str, job: Mapping[str, Any]) -> list[Any]:
    """The values of a setting: numbers in ascending order, names and levels in the order of the job file's grid."""
    values = set(trials[column])
    numbers = sorted(v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    others = sorted(values.difference(numbers), key=_rank)
    if numbers:
        return [*numbers, *others]
    grid = job.get("grid")
    listed = grid.get(column) if isinstance(grid, dict) else None
    order = [value for value in map(plain, listed) if value in values] if isinstance(listed, list) else []
    return list(dict.fromkeys([*order, *others]))


def _rank(value: Any) -> tuple[bool, int, str]:
    return value is None, value.place if isinstance(value, Level) else 0, str(value)


def ordered(
    keys: Iterable[tuple[Any, ...]], trials: pd.DataFrame, columns: Sequence[str], job: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Values of ``columns`` that trials have together, in the order of their levels; no product of levels is made."""
    places = [{value: place for place, value in enumerate(levels(trials, column, job))} for column in columns]
    return sorted(keys, key=lambda key: [place[value] for place, value in zip(places, key, strict=True)])


@dataclass(frozen=True)
class Groups:
    """Trials of equal ``columns``: settings and rows of each group, cut out when they are asked for.

    A study may have as many groups as trials, of which most figures show a few.
    """

    trials: pd.DataFrame
    columns: tuple[str, ...]
    rows: tuple[tuple[tuple[Any, ...], list[int]], ...]

    def __len__(self) -> int:
        """How many groups there are."""
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
        """The settings and the rows of each."""
        for key, positions in self.rows:
            yield dict(zip(self.columns, key, strict=True)), self.trials.iloc[positions]

    def first(self, most: int) -> Groups:
        """At most so many of them."""
        return replace(self, rows=self.rows[:most])


def by_setting(trials: pd.DataFrame, columns: Sequence[str], job: Mapping[str, Any]) -> Groups:
    """The trials in groups of equal ``columns``, in the order of their levels; empty groups are left out."""
    rows: dict[tuple[Any, ...], list[int]] = {}
    for position, key in enumerate(zip(*(trials[column] for column in columns), strict=True)):
        rows.setdefault(key, []).append(position)
    if not columns and len(trials):
        rows[()] = list(range(len(trials)))
    keys = ordered(rows, trials, columns, job)
    return Groups(trials, tuple(columns), tuple((key, rows[key]) for key in keys))


def variants(rows: pd.DataFrame, told: Sequence[str] = ()) -> list[str]:
    """The settings of evaluations in which ``rows`` differ and results may, without those ``told`` in other ways."""
    passed_over = {*told, *IDLE_OF_EVALUATIONS}
    own = [column for column in rows.columns if column.startswith("evaluation.") and column not in passed_over]
    return [column for column in own if len(set(rows[column])) > 1]


def evenly(values: Sequence[_T], most: int) -> list[_T]:
    """At most so many of the values, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(place)] for place in np.linspace(0, len(values) - 1, most)]
