"""Measures of samples: tables over seeds, and what is drawn of them. Pure functions of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.report import text
from orchestrator.report.figures import SIGNS
from orchestrator.report.results import ENDED
from orchestrator.report.tables import Spread, by_setting, levels, variants
from orchestrator.report.text import SEED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from orchestrator.report.results import Results

SAMPLE_METRICS = {
    "fid": "FID",
    "modes": "modes covered",
    "class_kl": "class KL, nats",
    "diversity": "diversity",
    "best_fid": "best FID",
    "best_step": "of step",
}
"""What was measured while training, as the trials' rows have it."""

JUDGED = {
    "fid": "FID",
    "kid": "KID",
    "inception_score": "inception score",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "modes": "modes covered",
    "class_kl": "class KL, nats",
    "diversity": "diversity",
}
"""What an evaluation of kind ``quality`` measures."""

TOLD = ("evaluation.truncation",)
"""Settings of an evaluation that its rows tell one by one."""

SEVERAL = "Several networks saw these: FID, KID and all that rests on features do not compare between them."


@dataclass(frozen=True)
class QualityRow:
    """One cell: its settings as told, how many trials are in it, samples of each, and its measures."""

    settings: tuple[str, ...]
    seeds: int
    froze: int
    samples: str
    measures: tuple[Spread | None, ...]


@dataclass(frozen=True)
class QualityTable:
    """Rows over the same settings and measures; ``features`` tells which networks saw the images."""

    settings: tuple[str, ...]
    measures: tuple[str, ...]
    rows: tuple[QualityRow, ...]
    features: tuple[str, ...]


def looked(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> QualityTable | None:
    """What was last measured while training, over the trials that ended; None when nothing was."""
    trials = results.trials[results.trials["status"].isin(ENDED)]
    return _table(results, trials, SAMPLE_METRICS, _free(varying), names, "classifier:" + trials["classifier"])


def judged(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> QualityTable | None:
    """What evaluations measured of samples from the plain normal; None when nothing was."""
    rows = results.evaluated("quality")
    return _judged(results, rows[rows["truncation"].isna()], varying, names, ())


def truncated(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> QualityTable | None:
    """What they measured by the threshold to which the latent normal was truncated; None when it never was."""
    rows = results.evaluated("quality")
    rows = rows[rows["trial_id"].isin(set(rows["trial_id"][rows["truncation"].notna()]))]
    rows = rows.assign(truncation=rows["truncation"].astype(object).where(rows["truncation"].notna(), None))
    return _judged(results, rows, varying, {**names, "truncation": "truncation"}, ("truncation",))


def _judged(
    results: Results, rows: pd.DataFrame, varying: Sequence[str], names: Mapping[str, str], further: tuple[str, ...]
) -> QualityTable | None:
    own = variants(rows, TOLD)
    rows = rows.drop_duplicates(["trial_id", *further, *own], keep="last")
    own_names = dict(names) | {column: column.removeprefix("evaluation.") for column in own}
    return _table(results, rows, JUDGED, [*_free(varying), *own, *further], own_names, rows["features"])


def final(results: Results) -> pd.DataFrame:
    """One row a trial with its settings and last measures: of its evaluations where there are any, else of training.

    Never of both: FIDs of unequal numbers of samples do not compare. Column ``froze`` tells that the run did.
    """
    rows = results.evaluated("quality")
    rows = rows[rows["truncation"].isna()]
    own = variants(rows, TOLD)
    if len(rows) and not own:
        found = rows.drop_duplicates("trial_id", keep="last")
    elif len(rows):
        first = rows[[*own]].iloc[0]
        found = rows[(rows[own] == first).all(axis=1)].drop_duplicates("trial_id", keep="last")
    else:
        found = results.trials[results.trials["status"].isin(ENDED)]
    return found.assign(froze=_froze(found))


def numeric_axes(results: Results, varying: Sequence[str]) -> list[str]:
    """The varying settings whose levels are all numbers."""
    axes = []
    for column in _free(varying):
        values = levels(results.trials, column, results.job)
        if len(values) > 1 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            axes.append(column)
    return axes


def _table(
    results: Results,
    rows: pd.DataFrame,
    measures: Mapping[str, str],
    by: Sequence[str],
    names: Mapping[str, str],
    features: pd.Series[Any],
) -> QualityTable | None:
    shown = [column for column in measures if rows[column].notna().any()]
    if not shown:
        return None
    own = ["trial_id", *(["samples"] if "samples" in rows else []), *shown]
    rows = rows[list(dict.fromkeys([*own, *by]))].assign(froze=_froze(rows))
    told = [
        QualityRow(
            tuple(text.setting(value) for value in settings.values()),
            cell["trial_id"].nunique(),
            int(cell["froze"].sum()),
            _samples(cell),
            tuple(Spread.of(cell[column].astype(float)) for column in shown),
        )
        for settings, cell in by_setting(rows, by, results.job)
        if cell[shown].notna().any(axis=None)
    ]
    saw = tuple(sorted({str(one) for one in features.dropna()}))
    return QualityTable(tuple(names[c] for c in by), tuple(measures[c] for c in shown), tuple(told), saw)


def _froze(rows: pd.DataFrame) -> pd.Series[bool]:
    return rows[[f"{sign}_at" for sign in SIGNS]].notna().any(axis=1)


def _samples(cell: pd.DataFrame) -> str:
    counts = sorted(set(cell["samples"].dropna())) if "samples" in cell else []
    return " – ".join(text.number(int(count)) for count in dict.fromkeys([*counts[:1], *counts[-1:]]))


def _free(varying: Sequence[str]) -> list[str]:
    return [column for column in varying if column != SEED]
