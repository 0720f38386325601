"""Exact likelihoods: a table by data set, their distribution, and why other families have none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from matplotlib.patches import Patch

from orchestrator.errors import OrchError
from orchestrator.evaluations.likelihood.settings import Likelihood
from orchestrator.report import text
from orchestrator.report.canvas import PALETTE, literal, titled_panels
from orchestrator.report.drawings import Drawing
from orchestrator.report.measured import Cells, MeasuredTable
from orchestrator.report.tables import by_setting
from orchestrator.report.text import SEED
from orchestrator.report.verdicts import LARGEST
from orchestrator.state.files import read_job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from orchestrator.report.results import Results

KIND = "likelihood"
MEASURES = {
    "bits_per_dimension": "bits per dimension",
    "log_likelihood": "log p(x), nats",
    "told": "told from own, AUROC",
}
MOST_PANELS, MOST_SETS = 6, 12
_BINS, _OPACITY = 40, 0.6


def _cells(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> Cells:
    return Cells.of(results, KIND, ("data", "image_id"), varying, names)


def likelihoods(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> MeasuredTable | None:
    """Means over a trial's images by data set, the trial's own first; None where none was computed.

    ``told`` is the share of pairs of an own image and one of the other set in which the own takes fewer bits.
    """
    cells = _cells(results, varying, names)
    if cells.rows.empty:  # without a trial that has ended there are no settings either
        return None
    rows = cells.rows.assign(told=float("nan"))
    for _, trial in rows.groupby(["trial_id", "evaluation_id"]):
        own = trial[trial["data"] == trial["data.name"]]
        for name, other in trial.groupby("data"):
            if len(own) and name != own["data"].iloc[0]:
                rows.loc[other.index, "told"] = told_apart(own["bits_per_dimension"], other["bits_per_dimension"])
    rows = rows.assign(foreign=rows["data"] != rows["data.name"]).sort_values("foreign", kind="stable")
    return Cells(results, rows, cells.by, cells.names).table({"data": "images of"}, MEASURES)


def told_apart(own: pd.Series[float], other: pd.Series[float]) -> float:
    """Share of pairs in which the own image takes fewer bits, ties by half: Mann and Whitney's U over all pairs."""
    from scipy.stats import mannwhitneyu

    statistic: float = mannwhitneyu(other, own).statistic
    return statistic / (len(own) * len(other))


def draw_likelihoods(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> Drawing | None:
    """Bits per dimension by data set, a panel for the first seed of each cell; None where none was computed."""
    cells = list(_cells(results, varying, names))
    if not cells:
        return None
    shown = [(title, cell[cell["trial_id"] == cell["trial_id"].iloc[0]]) for _, title, cell in cells[:MOST_PANELS]]
    sets = list(dict.fromkeys(str(name) for _, cell in shown for name in cell["data"].unique()))[:MOST_SETS]
    looks = {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(sets)}
    patches = [Patch(color=tint, alpha=_OPACITY, label=literal(text.excerpt(name))) for name, tint in looks.items()]
    draw, labels = partial(_histogram, looks=looks), ("bits per dimension", "images")
    return Drawing(
        "likelihood",
        "Bits per dimension by data set",
        f"Histograms of bits per dimension of held-out images of {text.listing(map(text.excerpt, sets))}.",
        f"Held-out images of the first seed; fewer bits are likelier.{text.drawn(len(shown), len(cells))}",
        titled_panels(shown, draw, labels, patches, stacked=False),
        titled_panels(shown, draw, labels, patches, stacked=True),
    )


def _histogram(axes: Axes, cell: pd.DataFrame, looks: Mapping[str, str]) -> None:
    cell = cell[cell["bits_per_dimension"].astype(float).abs() < LARGEST]
    values = cell["bits_per_dimension"]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    # Of equal values no width of a bin is left.
    span = (low, high) if high - low > 1e-9 * max(1.0, abs(high)) else (low - 0.5, high + 0.5)
    for name, tint in looks.items():
        axes.hist(values[cell["data"] == name], bins=_BINS, range=span, color=tint, alpha=_OPACITY)


def without_likelihood(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Of each cell whose trials have no density its settings, why there is none, and what it would take."""
    if results.evaluations[KIND].empty:
        return []
    try:
        settings = {trial.id: trial.settings for trial in read_job(results.store).trials}
    except OrchError:  # without a readable job.yaml nothing is known of a trial's networks; the page says so on top
        return []
    found = []
    for cell_settings, cell in by_setting(
        results.trials, [column for column in varying if column != SEED], results.job
    ):
        known = [settings[trial] for trial in cell["trial_id"] if trial in settings]
        why = Likelihood().not_applicable(known[0]) if known else None
        if why:
            found.append((text.described(cell_settings, names) or "all trials", why[:1].upper() + why[1:]))
    return found
