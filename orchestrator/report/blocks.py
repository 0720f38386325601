"""What a section of the report consists of, as data: the page, its PNG files and any other reader draw these.

Words are plain text, which the page escapes, or ``Markup`` of the report's own making, which stands as it is.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4D4D4D")
"""The colours of Okabe and Ito, which readers with any colour vision can tell apart (yellow is too pale here)."""
GREY, INK = PALETTE[-1], "#1b2026"

DASHES = ("solid", "dashed", "dotted", "dashdot")
"""Styles of lines, in the order in which they are used."""

MOST_ROWS = 300
"""Rows of a table that are shown, unless it says otherwise."""

_APART = 4

DECADES = 100.0
"""Positive values whose greatest is so many times the least are drawn on a logarithmic scale."""

FLOOR, CEILING = 1e-10, 1e100
"""On a logarithmic axis smaller values are drawn at the floor; larger ones than the ceiling at the ceiling, on any."""


@dataclass(frozen=True)
class Text:
    """A paragraph; ``look`` is one of "", "notes", "missing", "lead", "verdict" and "source", which is a quotation."""

    kind: ClassVar[str] = "text"
    words: str
    look: str = ""
    id: str = ""


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    words: str


@dataclass(frozen=True)
class Items:
    """A list; ``look`` is "notes", "notices" or "failures". Of more than ``most`` it says how many there are."""

    kind: ClassVar[str] = "items"
    items: tuple[str, ...]
    look: str = "notes"
    most: int = 1000


@dataclass(frozen=True)
class Facts:
    """Names with values, and smaller words below these; ``look`` is "facts", "facts small" or "levels"."""

    kind: ClassVar[str] = "facts"
    facts: tuple[tuple[str, ...], ...]
    look: str = "facts"


@dataclass(frozen=True)
class Code:
    """A file as it stands."""

    kind: ClassVar[str] = "code"
    words: str


@dataclass(frozen=True)
class Fold:
    """Blocks behind a line that opens them; ``aside`` is added for those who hear the line without its surroundings."""

    kind: ClassVar[str] = "fold"
    summary: str
    blocks: tuple[Block, ...]
    aside: str = ""


@dataclass(frozen=True)
class Card:
    """Blocks in a frame; ``badge`` is the verdict before its ``title``."""

    kind: ClassVar[str] = "card"
    blocks: tuple[Block, ...]
    look: str
    title: str = ""
    badge: str = ""
    id: str = ""


@dataclass(frozen=True)
class Head:
    """The heading of a column; a ``long`` one has room for more words."""

    words: str
    numeric: bool = False
    long: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is read, the unrounded ``value`` that it is sorted by, and ``small`` words below.

    ``badge`` puts the words into a badge of this look, ``link`` leads to an id, ``fold`` is behind the words.
    """

    words: str = ""
    value: object = None
    small: tuple[str, ...] = ()
    look: str = ""
    strong: bool = False
    badge: str = ""
    link: str = ""
    fold: Facts | None = None


@dataclass(frozen=True)
class Row:
    """A row of a table; its first cell is its heading."""

    cells: tuple[Cell, ...]
    id: str = ""
    look: str = ""


@dataclass(frozen=True)
class Table:
    """A table, of which ``label`` says what it is of and ``note`` is the id of the text that describes it.

    A ``sortable`` one can be sorted by each column, and columns be chosen; the first ``most`` rows are shown.
    """

    kind: ClassVar[str] = "table"
    label: str
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    note: str = ""
    look: str = "scale"
    sortable: bool = False
    most: int = MOST_ROWS


@dataclass(frozen=True)
class Picture:
    """An image of a trial, or several ``frames`` side by side, (h, w) or (h, w, 3) uint8, each with its heading."""

    trial_id: str
    title: str
    alt: str
    caption: str
    frames: tuple[NDArray[np.uint8], ...]
    heads: tuple[str, ...] = ()

    @cached_property
    def png(self) -> bytes:
        """The frames side by side, 4 white pixels apart, as one PNG."""
        height, width = (max(frame.shape[side] for frame in self.frames) for side in (0, 1))
        mode = "L" if all(frame.ndim == 2 for frame in self.frames) else "RGB"
        image = Image.new(mode, (len(self.frames) * (width + _APART) - _APART, height), color="white")
        for place, frame in enumerate(self.frames):
            image.paste(Image.fromarray(frame).convert(mode), (place * (width + _APART), 0))
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", optimize=True)
        return buffer.getvalue()


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side; with a ``name`` they are a file too, a row of frames each."""

    kind: ClassVar[str] = "gallery"
    pictures: tuple[Picture, ...]
    look: str = "panels"
    name: str = ""


@dataclass(frozen=True)
class Grid:
    """Pictures in labelled rows and columns; None leaves a gap. The grid is a file of this ``name`` too."""

    kind: ClassVar[str] = "grid"
    label: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Picture | None, ...]], ...]
    name: str


@dataclass(frozen=True)
class Series:
    """Values ``y`` over ``x`` in one panel, with a band from ``low`` to ``high`` where it has one.

    ``look`` is "line", "points" or "bars", whose ``x`` are edges, one more than ``y``. A ``marker`` stands at each
    point. A ``name`` is told in the panel's own legend. ``label`` is what a reader is told who points at it: of which
    trials and settings it is; ``each`` adds what is to be told of one point alone. ``over`` are further things it can
    be drawn over, by name, each as long as ``x``.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    colour: str = PALETTE[0]
    dashes: str = DASHES[0]
    look: str = "line"
    marker: str = ""
    hollow: bool = False
    size: float = 4.0
    width: float = 1.5
    opacity: float = 1.0
    band_opacity: float = 0.15
    name: str = ""
    label: str = ""
    each: Sequence[str] = ()
    over: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def values(self) -> Iterator[float]:
        """All values on the panel's upright axis."""
        for part in (self.y, self.low, self.high):
            yield from part if part is not None else ()


@dataclass(frozen=True)
class Mark:
    """An event at a value of the lower axis: a tick from below, with a marker on top."""

    x: float
    marker: str
    colour: str


@dataclass(frozen=True)
class Panel:
    """One pair of axes. ``across`` and ``up`` are their labels, ``ticks`` the values named on the lower one.

    ``targets`` are values, each with a colour, at which a dotted line is drawn; ``rule`` is a dashed line upright, and
    ``shaded`` the side of it, "above" or "below", that is shaded; "within" draws it on both sides of 0 and shades what
    is between. A ``message`` stands in the middle. A ``flat`` panel has no scale upwards.
    """

    series: tuple[Series, ...] = ()
    title: str = ""
    across: str = ""
    up: str = ""
    log_x: bool = False
    log_y: bool = False
    x_limits: tuple[float, float] | None = None
    limits: tuple[float, float] | None = None
    ticks: tuple[tuple[float, str], ...] = ()
    marks: tuple[Mark, ...] = ()
    targets: tuple[tuple[float, str], ...] = ()
    rule: float | None = None
    shaded: str = ""
    message: str = ""
    flat: bool = False

    @property
    def named(self) -> bool:
        """Whether the panel has a legend of its own."""
        return any(one.name for one in self.series)


@dataclass(frozen=True)
class PanelRow:
    """Panels of one quantity; ``shared`` ones have the same limits, so that they can be compared by eye."""

    panels: tuple[Panel, ...]
    shared: bool = False


@dataclass(frozen=True)
class Key:
    """An entry of a chart's legend; ``look`` is "line", "patch" or a marker."""

    words: str
    colour: str
    look: str = "line"
    dashes: str = DASHES[0]
    hollow: bool = False
    width: float = 2.0


@dataclass(frozen=True)
class Chart:
    """A figure: rows of panels with one legend. ``alt`` is for those who do not see it; its file is ``name``.png."""

    kind: ClassVar[str] = "chart"
    name: str
    title: str
    alt: str
    caption: str
    rows: tuple[PanelRow, ...]
    legend: tuple[Key, ...] = ()
    panel_inches: tuple[float, float] = (3.5, 2.5)

    def series(self) -> Iterator[Series]:
        """All series of all panels."""
        for row in self.rows:
            for panel in row.panels:
                yield from panel.series

    @property
    def measured(self) -> bool:
        """Whether it has lines or points on two scales, to point at and to enlarge; else it is a picture alone."""
        return any(not panel.flat for row in self.rows for panel in row.panels) and any(self.series())


Block = Text | Heading | Items | Facts | Code | Fold | Card | Table | Gallery | Grid | Chart


@dataclass(frozen=True)
class Section:
    """A section of the page: its id, its title, what the page's navigation calls it, and its blocks."""

    id: str
    title: str
    nav: str
    blocks: tuple[Block, ...] = field(repr=False)


def walk(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks, and those within them."""
    for block in blocks:
        yield block
        if isinstance(block, Fold | Card):
            yield from walk(block.blocks)


def spans_decades(values: Iterable[float]) -> bool:
    """Whether values are all positive, and the greatest is at least DECADES times the least."""
    known = [value for value in values if not math.isnan(value)]
    return bool(known) and min(known) > 0 and max(known) >= DECADES * min(known)
