"""Losses of searches in the latent space, as panels over their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrator import text
from orchestrator.report.blocks import PALETTE, Chart, Key, Panel, PanelRow, Series
from orchestrator.report.cells import NONE, spread
from orchestrator.report.verdicts import LARGEST
from orchestrator.study import Spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.report.blocks import Cell
    from orchestrator.study import Cells, Study

CELLS = 3
"""Cells whose losses are drawn."""
MOST_PICTURES = 12
"""Pictures of so many trials are shown at most."""
TICKS = 8
EVERY = "all images"
QUANTILES = (0.1, 0.5, 0.9)


def read_further(study: Study, kind: str, table: str, trial_id: str, evaluation_id: str) -> pd.DataFrame:
    """The rows of one evaluation of a trial in a further table; numbers that no axis has room for are null."""
    rows = study.further(kind, table, trial_id)
    floats = rows.select_dtypes("float").columns
    rows[floats] = rows[floats].where(rows[floats].abs() < LARGEST)
    return rows[rows["evaluation_id"] == evaluation_id]


def quantiles(curves: pd.DataFrame) -> pd.DataFrame:
    """At each step the median loss and the 10 % and 90 % quantiles: columns 0.5, 0.1, 0.9, by step."""
    over = curves.groupby("step")["loss"]
    return pd.DataFrame({share: over.quantile(share) for share in QUANTILES})


def loss_panel(title: str, bands: Mapping[str, pd.DataFrame], looks: Mapping[str, str]) -> Panel:
    """The losses over the steps of each of ``bands``, whose curves have step and loss: median and 10 to 90 % band."""
    series = []
    for name, curves in bands.items():
        band = quantiles(curves)
        low, middle, high = (band[share].tolist() for share in QUANTILES)
        series.append(Series(band.index.tolist(), middle, low, high, looks[name], band_opacity=0.18))
    return Panel(tuple(series), title, "step", "loss", log_y=True)


def loss_chart(name: str, title: str, rows: Sequence[Sequence[Panel]], looks: Mapping[str, str], alt: str,
               caption: str) -> Chart:  # fmt: skip
    """Panels of losses with the same limits in a row."""
    cells = [panel.title for row in rows for panel in row if not panel.named and panel.title != EVERY]
    where = f"; panels for {'; '.join(cells)}" if cells else ""
    drawn = {series.colour for row in rows for panel in row if not panel.named for series in panel.series}
    keys = tuple(Key(words, colour) for words, colour in looks.items() if colour in drawn)
    return Chart(name, title, f"{alt}{where}.", caption, tuple(PanelRow(tuple(row), shared=True) for row in rows), keys)


def palette_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name."""
    return dict(zip(names, PALETTE, strict=False))


def left_out(cells: Cells) -> str:
    """A sentence on the cells that are not drawn."""
    return text.drawn(CELLS, len(cells), more="; the table has all")


def with_median(parts: Sequence[pd.Series[Any]]) -> Cell:
    """A measure: its mean over a trial's images as a spread over trials, and its median over all their images."""
    measure = Spread.of(float(part.mean()) for part in parts)
    joined = pd.concat(list(parts)).dropna() if parts else pd.Series(dtype=float)
    return spread(measure, small=[f"median {text.number(float(joined.median()))}"]) if len(joined) else NONE
