"""How the codes of a model come to be normal while it trains: their distribution at a few epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.lines import Line2D
from scipy.stats import norm

from orchestrator.measures.latents import POINTS
from orchestrator.report import text
from orchestrator.report.canvas import MUTED, TEXT, TITLE, dress, figure_of, legend_of, panels_of, png_of, size_of
from orchestrator.report.drawings import Drawing
from orchestrator.report.tables import by_setting
from orchestrator.report.text import SEED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from orchestrator.report.results import Results

MOST_PANELS, MOST_EPOCHS = 12, 5


def draw_codes(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> Drawing | None:
    """A panel for the first seed of each cell whose codes were looked at; None where none was."""
    if "latent_cdf" not in results.metrics or results.metrics["latent_cdf"].isna().all():
        return None
    looks = results.metrics[results.metrics["latent_cdf"].notna()]
    looked = results.trials[results.trials["trial_id"].isin(set(looks["trial_id"]))]
    cells = []
    for settings, cell in by_setting(looked, [column for column in varying if column != SEED], results.job):
        first = (cell.sort_values(SEED) if SEED in cell else cell)["trial_id"].iloc[0]
        cells.append((text.described(settings, names), looks[looks["trial_id"] == first]))
    shown = cells[:MOST_PANELS]
    left_out = f" Of {len(cells)} settings the first {MOST_PANELS} are drawn." if len(cells) > MOST_PANELS else ""
    return Drawing(
        "codes",
        "Codes against N(0, 1)",
        f"Distribution functions of all numbers of codes at a few epochs, a panel for each of {len(shown)} settings, "
        "with that of the standard normal.",
        "All numbers of the codes of training images pooled, first seed; darker is later. D is the Kolmogorov-Smirnov "
        f"distance after the last epoch drawn.{left_out}",
        _panels(shown, stacked=False),
        _panels(shown, stacked=True),
    )


def _panels(shown: Sequence[tuple[str, pd.DataFrame]], *, stacked: bool) -> bytes:
    figure = figure_of(*size_of(len(shown), 1, stacked=stacked))
    (grid,) = panels_of(figure, len(shown), 1, stacked=stacked)
    tints = colormaps["viridis_r"]
    for axes, (title, looks) in zip(grid, shown, strict=True):
        dress(axes)
        chosen = looks.iloc[np.unique(np.linspace(0, len(looks) - 1, MOST_EPOCHS).round().astype(int))]
        for place, look in enumerate(chosen.to_dict("records")):
            tint = tints(0.15 + 0.85 * (place + 1) / len(chosen))
            axes.plot(POINTS, look["latent_cdf"], color=tint, linewidth=1.5, label=f"epoch {look['epoch']:.0f}")
        axes.plot(POINTS, norm.cdf(POINTS), color=TEXT, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.legend(fontsize=7, frameon=False, loc="lower right")
        axes.set_title(f"{title}  D = {chosen['latent_ks'].iloc[-1]:.3f}".strip(), **TITLE)
        axes.set_xlabel("number of a code", fontsize=9, color=MUTED)
        axes.set_ylabel("share at or below", fontsize=9.5, color=TEXT)
    legend_of(figure, [Line2D([], [], color=TEXT, linewidth=1.2, linestyle=(0, (4, 2)), label="standard normal")])
    return png_of(figure)
