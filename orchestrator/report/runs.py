"""Which trials were evaluated in which way: a run is one evaluation of one trial. Pure functions of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.report import text
from orchestrator.report.tables import by_setting, variants
from orchestrator.report.text import SEED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from orchestrator.report.results import Results

    Key = tuple[str, str]


@dataclass(frozen=True)
class RunCell:
    """Runs of equal settings, in the order of their seeds: ``rows`` by trial and evaluation id."""

    settings: dict[str, Any]
    words: str
    rows: dict[Key, pd.DataFrame]

    @property
    def values(self) -> tuple[str, ...]:
        """The settings as a table shows them."""
        return tuple(text.setting(value) for value in self.settings.values())


@dataclass(frozen=True)
class Runs:
    """The runs of a kind of evaluation; ``heads`` name the settings by which its cells are told apart."""

    heads: tuple[str, ...]
    cells: tuple[RunCell, ...]

    def each(self) -> Iterator[tuple[RunCell, Key, pd.DataFrame]]:
        """Every run with its cell."""
        return ((cell, key, rows) for cell in self.cells for key, rows in cell.rows.items())


def runs_of(results: Results, kind: str, varying: Sequence[str], names: Mapping[str, str]) -> Runs:
    """Cells by the settings of trials and of evaluations that vary; what was computed twice counts once."""
    rows = results.evaluations[kind]
    own = variants(rows)
    runs = rows.drop_duplicates(["trial_id", "evaluation_id"])[["trial_id", "evaluation_id", *own]]
    runs = runs.drop_duplicates(["trial_id", *own], keep="last")
    runs = runs.merge(results.trials[["trial_id", *results.settings]], on="trial_id")
    if SEED in runs:
        runs = runs.sort_values(SEED, kind="stable")
    by = [*(column for column in varying if column != SEED), *own]
    told = dict(names) | {column: column.removeprefix("evaluation.") for column in own}
    parts = dict(tuple(rows.groupby(["trial_id", "evaluation_id"], sort=False)))
    cells = []
    for settings, cell in by_setting(runs, by, results.job):
        keys = zip(cell["trial_id"], cell["evaluation_id"], strict=True)
        cells.append(RunCell(settings, text.described(settings, told), {key: parts[key] for key in keys}))
    return Runs(tuple(told[column] for column in by), tuple(cells))


def count_of(counts: Sequence[int]) -> str:
    """``256``, or ``64 – 256`` where they differ."""
    ends = dict.fromkeys((min(counts), max(counts)))
    return " – ".join(text.number(int(count)) for count in ends)
