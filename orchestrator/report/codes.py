"""How the codes of a model come to be normal while it trains: their distribution at a few epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.lines import Line2D
from scipy.special import ndtr

from orchestrator.report import text
from orchestrator.report.canvas import TEXT, titled_panels
from orchestrator.report.drawings import Drawing
from orchestrator.report.tables import by_setting, evenly
from orchestrator.report.text import SEED
from orchestrator.store.columns import CDF_POINTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from orchestrator.report.results import Results

MOST_PANELS, MOST_EPOCHS = 12, 5
_DASHES = (0, (4, 2))


def draw_codes(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> Drawing | None:
    """A panel for the first seed of each cell whose codes were looked at; None where none was."""
    whole = [_is_whole(shares) for shares in results.metrics["latent_cdf"].tolist()]
    if not any(whole):
        return None
    looks = results.metrics[whole]
    looked = results.trials[results.trials["trial_id"].isin(set(looks["trial_id"]))]
    groups = by_setting(looked, [column for column in varying if column != SEED], results.job)
    cells = []
    for settings, cell in groups.first(MOST_PANELS):
        first = (cell.sort_values(SEED) if SEED in cell else cell)["trial_id"].iloc[0]
        cells.append((text.described(settings, names), looks[looks["trial_id"] == first]))
    # The distance stays in one piece where a title takes two lines.
    shown = [(f"{title}  D\u00a0=\u00a0{looks['latent_ks'].iloc[-1]:.3f}".strip(), looks) for title, looks in cells]
    normal = Line2D([], [], color=TEXT, linewidth=1.2, linestyle=_DASHES, label="standard normal")
    labels = "number of a code", "share at or below"
    return Drawing(
        "codes",
        "Codes against N(0, 1)",
        f"Distribution functions of all numbers of codes at a few epochs, a panel for each of {len(shown)} settings, "
        "with that of the standard normal.",
        "All numbers of the codes of training images pooled, first seed; darker is later. D is the Kolmogorov-Smirnov "
        f"distance after the last epoch drawn.{text.drawn(len(shown), len(groups))}",
        titled_panels(shown, _panel, labels, [normal], stacked=False),
        titled_panels(shown, _panel, labels, [normal], stacked=True),
    )


def _is_whole(shares: Any) -> bool:
    """Whether it is a distribution at CDF_POINTS; other versions and strangers may have written something else."""
    return isinstance(shares, np.ndarray) and len(shares) == len(CDF_POINTS) and bool(np.isfinite(shares).all())


def _panel(axes: Axes, looks: pd.DataFrame) -> None:
    tints, chosen = colormaps["viridis_r"], evenly(looks.to_dict("records"), MOST_EPOCHS)
    for place, look in enumerate(chosen, start=1):
        tint = tints(0.15 + 0.85 * place / len(chosen))
        axes.plot(CDF_POINTS, look["latent_cdf"], color=tint, linewidth=1.5, label=f"epoch {look['epoch']:.0f}")
    axes.plot(CDF_POINTS, ndtr(CDF_POINTS), color=TEXT, linewidth=1.2, linestyle=_DASHES)
    axes.legend(fontsize=7, frameon=False, loc="lower right")
