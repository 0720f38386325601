"""Ways between inverted images: a table by way and by likeness of the ends, and strips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.evaluations.interpolation.settings import SHOWN, Interpolation
from orchestrator.report import text
from orchestrator.report.pictures import Album
from orchestrator.report.tables import Spread, by_setting, variants
from orchestrator.report.text import SEED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from orchestrator.report.results import Results

KIND = "interpolation"
MEASURES = {
    "path_length": "path length",
    "detour": "detour",
    "largest_step": "largest step",
    "ends_mse": "MSE of the ends",
}
ENDS = {True: "of one class", False: "of two classes"}


@dataclass(frozen=True)
class WayRow:
    """Trials of equal settings, a way, and the pairs with ends of one class or of two."""

    settings: tuple[str, ...]
    way: str
    ends: str
    trials: int
    pairs: int
    measures: tuple[Spread | None, ...]
    third: Spread | None


@dataclass(frozen=True)
class WayTable:
    """Rows over the same settings; ``classifiers`` are the digests of those whose features measured them."""

    settings: tuple[str, ...]
    measures: tuple[str, ...]
    rows: tuple[WayRow, ...]
    classifiers: tuple[str, ...]


def walked(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> WayTable | None:
    """Means over a trial's pairs, spread over trials; None where no way was walked."""
    rows, by, told = _rows(results, varying, names)
    if rows.empty:
        return None
    found = []
    for settings, cell in by_setting(rows, by, results.job):
        words = tuple(text.setting(value) for value in settings.values())
        for way in sorted(set(cell["way"])):
            for alike, ends in ENDS.items():
                own = cell[(cell["way"] == way) & (cell["alike"] == alike)]
                if own.empty:
                    continue
                means = own.groupby("trial_id")[[*MEASURES, "third"]].mean()
                counts = int(own.groupby("trial_id").size().max())
                measures = tuple(Spread.of(means[measure]) for measure in MEASURES)
                found.append(WayRow(words, way, ends, len(means), counts, measures, Spread.of(means["third"])))
    digests = {str(told).removeprefix("classifier:") for told in rows["features"].dropna()}
    return WayTable(tuple(told[c] for c in by), tuple(MEASURES.values()), tuple(found), tuple(sorted(digests)))


def strips(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> Album:
    """For each way and cell the picture of the first seed: a row a pair, from the second image to the first.

    The cells of one way stand side by side, to be compared.
    """
    album = Album(results.store)
    rows, by, told = _rows(results, varying, names)
    for way in sorted(set(rows["way"])):
        for settings, cell in by_setting(rows[rows["way"] == way], by, results.job):
            words = text.described(settings, told)
            own = cell.sort_values([SEED, "pair"] if SEED in cell else ["pair"], kind="stable")
            trial, evaluation = own[["trial_id", "evaluation_id"]].iloc[0]
            own = own[(own["trial_id"] == trial) & (own["evaluation_id"] == evaluation) & (own["pair"] < SHOWN)]
            title = f"{way}, {words}" if words else way
            classes = ", ".join(own["classes"].fillna("unknown"))
            alt = f"{title}: {text.plural(len(own), 'pair')}; classes met from above: {classes}."
            album.add(Interpolation.picture_of(evaluation, trial, way), trial, title, alt)
    return album


def _rows(
    results: Results, varying: Sequence[str], names: Mapping[str, str]
) -> tuple[pd.DataFrame, list[str], dict[str, str]]:
    """The rows with their trials' settings, by which settings these are told apart, and their names."""
    rows = results.evaluated(KIND)
    rows = rows[rows["alike"].notna()]  # what another version wrote does not have it
    own = variants(rows)
    rows = rows.drop_duplicates(["trial_id", "pair", "way", *own], keep="last")
    rows = rows.assign(third=rows["third_classes"] > 0)
    told = dict(names) | {column: column.removeprefix("evaluation.") for column in own}
    return rows, [*(column for column in varying if column != SEED), *own], told
