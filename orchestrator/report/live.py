"""A chart as data for the page's script, which draws it again so that it answers to the hand."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.report.blocks import CEILING, DASHES, FLOOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.report.blocks import Chart, Panel, Series

    Floats = NDArray[np.float64]

MOST_POINTS = 1200
"""Points of a longer line are thinned to at most so many: four in each of as many stretches as a panel has pixels."""
PRECISION = 1e-7
"""Numbers are told to this share of themselves, or better."""
_OF_PANEL = (
    "title", "across", "up", "log_x", "log_y", "limits", "x_limits", "ticks", "targets", "rule", "shaded", "message"
)  # fmt: skip
_OF_SERIES = ("colour", "dashes", "look", "marker", "hollow", "size", "width", "opacity", "band_opacity")


def live_data(chart: Chart) -> dict[str, Any]:
    """The chart as plain values: rows of panels, entries of the legend, and arrays, which series name by place.

    An array is (4 or 8, base64 of little-endian floats of so many bytes); NaN is a gap. An entry tells a line's colour,
    dashes, marker or name, or nothing of lines (``by`` is ""); a line names the entries that are about it.
    """
    arrays = Arrays()
    entries = _entries(chart)
    rows = [
        {"shared": row.shared, "panels": [_panel(panel, entries, arrays) for panel in row.panels]} for row in chart.rows
    ]
    return {"rows": rows, "entries": [asdict(one) for one in entries], "arrays": arrays.stored, "floor": FLOOR}


def is_thinned(chart: Chart) -> bool:
    """Whether some line has more points than are drawn of it."""
    return any(len(one.y) > MOST_POINTS for one in chart.series())


@dataclass
class Arrays:
    """Arrays as text, each once: most lines of a chart have the same steps."""

    stored: list[tuple[int, str]] = field(default_factory=list)
    _places: dict[tuple[int, str], int] = field(default_factory=dict)

    def place(self, values: Floats) -> int:
        """Where the array is; numbers are of four bytes where these are precise enough."""
        with np.errstate(over="ignore", under="ignore"):  # what four bytes cannot hold has eight
            single = values.astype("<f4")
        exact = np.isclose(single.astype(float), values, rtol=PRECISION, atol=0, equal_nan=True).all()
        numbers = single if exact else values.astype("<f8")
        one = (numbers.itemsize, base64.b64encode(numbers.tobytes()).decode())
        if one not in self._places:
            self._places[one] = len(self.stored)
            self.stored.append(one)
        return self._places[one]


def thinned(x: Floats, *lines: Floats) -> NDArray[np.intp]:
    """The places of at most MOST_POINTS points that look like all of them, ascending.

    Of each of many stretches of equal length of ``x``, ascending, these are the first and the last point and those at
    which a line is least and greatest (Jugel et al., "M4", VLDB 2014).
    """
    if len(x) <= MOST_POINTS:
        return np.arange(len(x))
    stretches = MOST_POINTS // (2 + 2 * len(lines))
    edges = np.searchsorted(x, np.linspace(x[0], x[-1], stretches + 1)[1:-1], side="right")
    kept: set[int] = set()
    for start, end in zip([0, *edges], [*edges, len(x)], strict=True):
        if start == end:
            continue
        kept |= {int(start), int(end) - 1}
        for line in lines:
            part = line[start:end]
            if not np.isnan(part).all():
                kept |= {int(start + np.nanargmin(part)), int(start + np.nanargmax(part))}
    return np.array(sorted(kept))


@dataclass(frozen=True)
class Entry:
    """An entry of the legend, and ``by`` what of a line it tells."""

    words: str
    colour: str
    look: str
    dashes: str
    hollow: bool
    by: str

    def tells(self, series: Series) -> bool:
        """Whether it is about this line."""
        if self.by == "name":
            return series.name == self.words
        if self.by == "colour":
            return series.colour == self.colour and self.dashes in (DASHES[0], series.dashes)
        if self.by == "dashes":
            return series.look == "line" and series.dashes == self.dashes
        return self.by == "marker" and series.look == "points" and series.marker == self.look


def _entries(chart: Chart) -> list[Entry]:
    """The entries of the chart's legend, and of its panels' own."""
    series = list(chart.series())
    entries: list[Entry] = []
    for key in chart.legend:
        tells = ("colour", "dashes") if key.look in ("line", "patch") else ("marker", "colour")
        made = [Entry(key.words, key.colour, key.look, key.dashes, key.hollow, by) for by in tells]
        taken = {(one.by, getattr(one, one.by or "words")) for one in entries if one.by != "marker"}
        usable = (
            one for one in made if (one.by, getattr(one, one.by, "")) not in taken and any(map(one.tells, series))
        )
        entries.append(next(usable, replace(made[0], by="")))
    named = {one.name: one for one in series if one.name}
    return [*entries, *(Entry(name, one.colour, "line", one.dashes, False, "name") for name, one in named.items())]


def _panel(panel: Panel, entries: Sequence[Entry], arrays: Arrays) -> dict[str, Any]:
    return {
        **{name: getattr(panel, name) for name in _OF_PANEL},
        "marks": [[mark.x, mark.marker, mark.colour] for mark in panel.marks],
        "series": [_series(one, entries, arrays) for one in panel.series],
    }


def _series(series: Series, entries: Sequence[Entry], arrays: Arrays) -> dict[str, Any]:
    about = [place for place, one in enumerate(entries) if one.tells(series)]
    parts = {"x": series.x, "y": series.y, "low": series.low, "high": series.high, **series.over}
    known = {name: _clipped(values) for name, values in parts.items() if values is not None}
    if series.look == "line":
        places = thinned(known["x"], *(known[name] for name in ("y", "low", "high") if name in known))
        known = {name: values[places] for name, values in known.items()}
    placed = {name: arrays.place(values) for name, values in known.items()}
    return {
        **{name: getattr(series, name) for name in _OF_SERIES},
        **{name: placed.get(name) for name in ("x", "y", "low", "high")},
        "over": {name: placed[name] for name in series.over},
        "label": series.label or ", ".join(entries[place].words for place in about),
        "entries": about,
        **({"each": list(series.each)} if series.each else {}),
    }


def _clipped(values: Sequence[float]) -> Floats:
    return np.clip(np.asarray(values, dtype=np.float64), -CEILING, CEILING)
