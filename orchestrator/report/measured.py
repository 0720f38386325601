"""Tables of what an evaluation measured: a row for a cell of the grid and what else tells its rows apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.report import text
from orchestrator.report.tables import Spread, by_setting, variants
from orchestrator.report.text import SEED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from orchestrator.report.results import Results


@dataclass(frozen=True)
class MeasuredRow:
    """Settings as told, further words, trials, items of one of them, and the spread over trials of each one's mean."""

    settings: tuple[str, ...]
    words: tuple[str, ...]
    trials: int
    items: int
    measures: tuple[Spread | None, ...]


@dataclass(frozen=True)
class MeasuredTable:
    """Rows over the same settings, words and measures."""

    settings: tuple[str, ...]
    words: tuple[str, ...]
    measures: tuple[str, ...]
    rows: tuple[MeasuredRow, ...]


@dataclass(frozen=True)
class Cells:
    """The rows of a kind by cell: ``by`` are the settings that tell cells apart, ``names`` what these are called."""

    results: Results
    rows: pd.DataFrame
    by: tuple[str, ...]
    names: Mapping[str, str]

    @classmethod
    def of(
        cls, results: Results, kind: str, items: Sequence[str], varying: Sequence[str], names: Mapping[str, str]
    ) -> Cells:
        """Of what was computed twice, the same ``items`` of a trial by the same settings, the last counts."""
        rows = results.evaluated(kind)
        own = variants(rows)
        rows = rows.drop_duplicates(["trial_id", *items, *own], keep="last")
        told = dict(names) | {column: column.removeprefix("evaluation.") for column in own}
        return cls(results, rows, (*(column for column in varying if column != SEED), *own), told)

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], str, pd.DataFrame]]:
        """Of each cell its settings as told, a title, and its rows, those of the first seed in front."""
        for settings, cell in by_setting(self.rows, self.by, self.results.job):
            told = tuple(text.setting(value) for value in settings.values())
            ordered = cell.sort_values(SEED, kind="stable") if SEED in cell else cell
            yield told, text.described(settings, self.names), ordered

    def table(self, words: Mapping[str, str], measures: Mapping[str, str]) -> MeasuredTable | None:
        """A row for each cell and each value of the columns ``words``; None where nothing was measured."""
        found = []
        for told, _, cell in self:
            for key, own in cell.groupby([*words], sort=False) if words else [((), cell)]:
                means: Any = own.groupby("trial_id")[[*measures]].mean()
                items = int(own.groupby("trial_id").size().max())
                spreads = tuple(Spread.of(means[measure].astype(float)) for measure in measures)
                found.append(MeasuredRow(told, tuple(map(str, key)), len(means), items, spreads))
        if not found:
            return None
        heads = tuple(self.names[column] for column in self.by)
        return MeasuredTable(heads, tuple(words.values()), tuple(measures.values()), tuple(found))
