"""Exact likelihoods: a table by data set, their distribution, and why other families have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator import text
from orchestrator.evaluations.likelihood.settings import Likelihood
from orchestrator.report.blocks import (
    MOST_ROWS,
    PALETTE,
    Chart,
    Facts,
    Heading,
    Key,
    Panel,
    PanelRow,
    Section,
    Series,
    Text,
)
from orchestrator.report.measured import measured_table
from orchestrator.report.verdicts import LARGEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from orchestrator.report.blocks import Block, Table
    from orchestrator.study import Study

ORDER = 70
KIND = "likelihood"
MOST_PANELS, MOST_SETS = 6, 12
_BINS, _OPACITY = 40, 0.6
_NOTE = (
    "log p(x) = log p(z) + log |det ∂z/∂x| of held-out images, exactly, of bytes with uniform noise in their last bit; "
    "fewer bits per dimension are likelier.{}"
)
_AUROC = (
    " AUROC is the share of pairs of an own and a foreign image in which the own one is likelier: 1 tells them all "
    "apart, one half none."
)


def build(study: Study) -> Section | None:
    """None where no likelihood was computed."""
    table = likelihood_table(study)
    if not table:
        return None
    foreign = bool((study.evaluated(KIND)["data"] != study.evaluated(KIND)["data.name"]).any())
    blocks: list[Block] = [Text(_NOTE.format(_AUROC if foreign else ""), "notes", "likelihood-note"), table]
    if chart := likelihood_chart(study):
        blocks.append(chart)
    if others := without_likelihood(study):
        blocks += [Heading("Why the others have none"), Facts(tuple(others[:MOST_ROWS]), "levels")]
    return Section("likelihood", "Likelihood", "Likelihood", tuple(blocks))


def likelihood_table(study: Study) -> Table | None:
    """Means over a trial's images by data set, the trial's own first; None where none was computed.

    ``auroc`` is the share of pairs of an own image and one of the other set in which the own takes fewer bits.
    """
    cells = study.evaluation(KIND)
    rows = cells.frame
    if rows.empty:  # without a trial that has ended there are no settings either
        return None
    rows = rows.assign(auroc=float("nan"))
    for _, trial in rows.groupby(["trial_id", "evaluation_id"]):
        trained_on = trial[trial["data"] == trial["data.name"]]
        for name, other in trial.groupby("data"):
            if len(trained_on) and name != trained_on["data"].iloc[0]:
                rows.loc[other.index, "auroc"] = auroc(trained_on["bits_per_dimension"], other["bits_per_dimension"])
    rows = rows.assign(foreign=rows["data"] != rows["data.name"]).sort_values("foreign", kind="stable")
    cells = study.cells(rows, cells.by)
    return measured_table(
        cells,
        "Likelihoods",
        "likelihood-note",
        {**Likelihood.headings(), "auroc": "told from own, AUROC"},
        {"data": "images of"},
        "images",
    )


def auroc(trained_on: pd.Series[float], other: pd.Series[float]) -> float:
    """Share of pairs in which the own image takes fewer bits, ties by half: Mann and Whitney's U over all pairs."""
    from scipy.stats import mannwhitneyu

    statistic: float = mannwhitneyu(other, trained_on).statistic
    return statistic / (len(trained_on) * len(other))


def likelihood_chart(study: Study) -> Chart | None:
    """Bits per dimension by data set, a panel for the first seed of each cell; None where none was computed."""
    cells = study.evaluation(KIND)
    if not len(cells):
        return None
    shown = [(cell.title, _of_first_trial(cell.rows)) for cell in cells.first(MOST_PANELS)]
    sets = list(dict.fromkeys(str(name) for _, rows in shown for name in rows["data"].unique()))[:MOST_SETS]
    looks = {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(sets)}
    panels = [Panel(_histograms(rows, looks), title, "bits per dimension", "images") for title, rows in shown]
    return Chart(
        "likelihood",
        "Bits per dimension by data set",
        f"Histograms of bits per dimension of held-out images of {text.listing(map(text.excerpt, sets))}.",
        f"Held-out images of the first seed; fewer bits are likelier.{text.drawn(len(shown), len(cells))}",
        (PanelRow(tuple(panels)),),
        tuple(Key(text.excerpt(name), colour, "patch") for name, colour in looks.items()),
    )


def _of_first_trial(rows: pd.DataFrame) -> pd.DataFrame:
    first: pd.DataFrame = rows[rows["trial_id"] == rows["trial_id"].iloc[0]]
    return first


def _histograms(rows: pd.DataFrame, looks: Mapping[str, str]) -> tuple[Series, ...]:
    rows = rows[rows["bits_per_dimension"].astype(float).abs() < LARGEST]
    values = rows["bits_per_dimension"].astype(float)
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    # Of equal values no width of a bin is left.
    span = (low, high) if high - low > 1e-9 * max(1.0, abs(high)) else (low - 0.5, high + 0.5)
    series = []
    for name, colour in looks.items():
        counts, edges = np.histogram(values[rows["data"] == name], bins=_BINS, range=span)
        if counts.any():
            series.append(Series(edges.tolist(), counts.tolist(), colour=colour, look="bars", opacity=_OPACITY))
    return tuple(series)


def without_likelihood(study: Study) -> list[tuple[str, str]]:
    """Of each cell whose trials have no density its settings, and why there is none and what it would take.

    Without a readable job nothing is known of a trial's networks; the page says so on top.
    """
    if study.evaluations[KIND].empty:
        return []
    reasons = []
    for cell in study.cells():
        known = [study.planned[trial] for trial in cell.rows["trial_id"] if trial in study.planned]
        why = Likelihood().not_applicable(known[0].settings) if known else None
        if why:
            reasons.append((cell.title or "all trials", why[:1].upper() + why[1:]))
    return reasons
