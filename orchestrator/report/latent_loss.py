"""What a Wasserstein autoencoder's loss consists of while it trains: both parts, and the weighted one, on one axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import text
from orchestrator.report.blocks import PALETTE, Chart, Key, Panel, PanelRow, Series
from orchestrator.report.lines import band
from orchestrator.report.plots import SEEDS

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.study import Study

MOST_PANELS = 12
WEIGHTED = "weighted_penalty"
PARTS = {
    "reconstruction": "image loss: the reconstruction error",
    "latent_penalty": "z-loss: the latent penalty without its weight",
    WEIGHTED: "weight times z-loss",
}
"""Columns, the last of which is made here, and what the legend calls them."""


def latent_loss_chart(study: Study) -> Chart | None:
    """A panel for each cell whose trials have a latent penalty; None where none has."""
    metrics = study.metrics
    metrics = metrics[metrics["latent_penalty"].notna() & metrics["penalty_weight"].notna()]
    if metrics.empty:
        return None
    parts = metrics.assign(**{WEIGHTED: metrics["latent_penalty"] * metrics["penalty_weight"]})[[*PARTS]]
    metrics = metrics[["trial_id", "step"]].join(parts.where(parts > 0))
    cells = study.cells(study.trials[study.trials["trial_id"].isin(metrics["trial_id"])])
    panels = []
    for cell in cells.first(MOST_PANELS):
        lines = _lines(metrics[metrics["trial_id"].isin(cell.rows["trial_id"])])
        panels.append(Panel(lines, cell.title, "step", "part of the loss", log_y=True))
    seeds = SEEDS if any(cell.rows["trial_id"].nunique() > 1 for cell in cells.first(MOST_PANELS)) else ""
    return Chart(
        "latent-loss",
        "Parts of the loss",
        f"Reconstruction error, latent penalty and weighted latent penalty against the step, a panel for each of "
        f"{len(panels)} settings.",
        "Both parts of the loss on one logarithmic axis; what is not above 0, as an estimate of a discrepancy may be, "
        "has no place there. Where the weighted penalty reaches the image loss, normal codes weigh as much as good "
        f"images. {seeds}".strip()
        + text.drawn(len(panels), len(cells)),
        (PanelRow(tuple(panels), shared=True),),
        tuple(Key(words, colour) for words, colour in zip(PARTS.values(), PALETTE, strict=False)),
    )


def _lines(rows: pd.DataFrame) -> tuple[Series, ...]:
    drawn = []
    several = rows["trial_id"].nunique() > 1
    for column, colour in zip(PARTS, PALETTE, strict=False):
        line = band(rows, column)
        low, high = (line[end].tolist() if several else None for end in ("low", "high"))
        if len(line):
            drawn.append(Series(line["step"].tolist(), line["mean"].tolist(), low, high, colour=colour))
    return tuple(drawn)
