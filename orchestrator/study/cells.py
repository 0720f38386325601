"""Rows in groups of equal settings, and how a measure spreads over the seeds of one. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from orchestrator import text

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


@dataclass(frozen=True)
class Cell:
    """The rows of equal ``settings``; ``title`` names these, as ``objective = saturating, d_steps = 3``."""

    settings: dict[str, Any]
    rows: pd.DataFrame
    title: str

    @property
    def values(self) -> tuple[str, ...]:
        """The settings' values as a table shows them."""
        return tuple(text.setting(value) for value in self.settings.values())

    def of_first_seed(self) -> pd.DataFrame:
        """The rows of the first trial's first evaluation: the rows stand in the order of their seeds."""
        columns = [column for column in ("trial_id", "evaluation_id") if column in self.rows]
        first = self.rows[columns].iloc[0]
        return self.rows[(self.rows[columns] == first).all(axis=1)]

    def runs(self) -> Iterator[tuple[str, str, pd.DataFrame]]:
        """Of each evaluation of a trial the trial's id, the evaluation's id, and its rows."""
        for (trial_id, evaluation_id), rows in self.rows.groupby(["trial_id", "evaluation_id"], sort=False):
            yield str(trial_id), str(evaluation_id), rows


@dataclass(frozen=True)
class Cells:
    """The cells of a study in the grid's order, cut out when they are asked for.

    A study may have as many cells as trials, of which most figures show a few. ``by`` are the settings by which cells
    are told apart, and ``names`` has the short names of these.
    """

    frame: pd.DataFrame
    by: tuple[str, ...]
    names: Mapping[str, str]
    places: tuple[tuple[tuple[Any, ...], list[int]], ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of the settings, as headings of a table."""
        return tuple(self.names[column] for column in self.by)

    def __len__(self) -> int:
        """How many cells there are."""
        return len(self.places)

    def __iter__(self) -> Iterator[Cell]:
        """The cells."""
        for key, positions in self.places:
            settings = dict(zip(self.by, key, strict=True))
            yield Cell(settings, self.frame.iloc[positions], text.described(settings, self.names))

    def first(self, most: int) -> Cells:
        """At most so many of them."""
        return replace(self, places=self.places[:most])


def evenly(values: Sequence[_T], most: int) -> list[_T]:
    """At most so many of the values, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(place)] for place in np.linspace(0, len(values) - 1, most)]
