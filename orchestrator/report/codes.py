"""How the codes of a model come to be normal while it trains: their distribution at a few epochs."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator import text
from orchestrator.report.blocks import INK, Chart, Key, Panel, PanelRow, Series
from orchestrator.store.columns import CDF_POINTS
from orchestrator.study import evenly
from orchestrator.text import SEED

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.study import Study

MOST_PANELS = 12
TINTS = ("#9bd93c", "#4ac16d", "#1fa187", "#365c8d", "#440154")
"""Of the epochs, the later the darker: steps of viridis."""


def codes_chart(study: Study) -> Chart | None:
    """A panel for the first seed of each cell whose codes were looked at; None where none was."""
    whole = [_is_whole(shares) for shares in study.metrics["latent_cdf"].tolist()]
    if not any(whole):
        return None
    looks = study.metrics[whole]
    cells = study.cells(study.trials[study.trials["trial_id"].isin(set(looks["trial_id"]))])
    panels = []
    for cell in cells.first(MOST_PANELS):
        first = (cell.rows.sort_values(SEED) if SEED in cell.rows else cell.rows)["trial_id"].iloc[0]
        first_looks = looks[looks["trial_id"] == first]
        # The distance stays in one piece where a title takes two lines.
        title = f"{cell.title}  D\u00a0=\u00a0{first_looks['latent_ks'].iloc[-1]:.3f}".strip()
        panels.append(Panel(_lines(first_looks), title, "number of a code", "share at or below"))
    return Chart(
        "codes",
        "Codes against N(0, 1)",
        f"Distribution functions of all numbers of codes at a few epochs, a panel for each of {len(panels)} settings, "
        "with that of the standard normal.",
        "All numbers of the codes of training images pooled, first seed; darker is later. D is the Kolmogorov-Smirnov "
        f"distance after the last epoch drawn.{text.drawn(len(panels), len(cells))}",
        (PanelRow(tuple(panels)),),
        (Key("standard normal", INK, dashes="dashed", width=1.2),),
    )


def _is_whole(shares: Any) -> bool:
    """Whether it is a distribution at CDF_POINTS; other versions and strangers may have written something else."""
    return isinstance(shares, np.ndarray) and len(shares) == len(CDF_POINTS) and bool(np.isfinite(shares).all())


def _lines(looks: pd.DataFrame) -> tuple[Series, ...]:
    chosen = evenly(looks.to_dict("records"), len(TINTS))
    drawn = [
        Series(CDF_POINTS, look["latent_cdf"].tolist(), colour=tint, name=f"epoch {look['epoch']:.0f}")
        for look, tint in zip(chosen, TINTS[-len(chosen) :], strict=True)
    ]
    return (
        *drawn,
        Series(CDF_POINTS, [NormalDist().cdf(x) for x in CDF_POINTS], colour=INK, dashes="dashed", width=1.2),
    )
