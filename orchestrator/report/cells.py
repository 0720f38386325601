"""Cells and headings of tables: settings, spreads over seeds, counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import text
from orchestrator.report.blocks import Cell, Head
from orchestrator.study import Spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

SEVERAL = "Several networks saw these: FID, KID and all that rests on features do not compare between them."
MEANS = "Of several seeds the mean, below it the least and the greatest where they differ."

NONE = Cell(text.NOTHING, look="none")


def setting_heads(names: Sequence[str]) -> list[Head]:
    """Headings over the settings of a row."""
    return [Head(name) for name in names or ("trials",)]


def setting_cells(values: Sequence[str]) -> list[Cell]:
    """The settings of a row as its first cells; without any, a heading of its own."""
    return [Cell(value) for value in values or ("all trials",)]


def numeric_heads(names: Iterable[str]) -> list[Head]:
    """Headings over numbers."""
    return [Head(name, numeric=True) for name in names]


def number(value: object) -> Cell:
    """A number, or words that stand for one."""
    return Cell(value if isinstance(value, str) else text.number(value), look="num")


def spread(
    measure: Spread | None,
    write: Callable[[float], str] = text.number,
    small: Sequence[str] = (),
    *,
    best: bool = False,
) -> Cell:
    """The mean of a measure over seeds, below it the least and the greatest where they differ, and ``small`` words."""
    if measure is None:
        return NONE
    ends = [f"{write(measure.low)} – {write(measure.high)}"] if measure.low != measure.high else []
    return Cell(write(measure.mean), measure.mean, (*ends, *small), "num", strong=best)


def spread_of(values: Iterable[float], write: Callable[[float], str] = text.number) -> Cell:
    """The spread of the finite values."""
    return spread(Spread.of(values), write)


def between(low: int, high: int) -> str:
    """``64 – 256``; one number where both are the same."""
    return " – ".join(dict.fromkeys((text.number(low), text.number(high))))


def count_of(counts: Iterable[int]) -> Cell:
    """``256``, or ``64 – 256`` where counts differ."""
    known = sorted(int(count) for count in counts)
    return Cell(between(known[0], known[-1]) if known else "", look="num")


def seen_by(features: Iterable[object]) -> str:
    """A sentence on the networks whose features measures rest on; empty where they rest on none."""
    names = sorted({str(one) for one in features})
    if len(names) > 1:
        return f"{SEVERAL} ({', '.join(names)})"
    return f"Features are those of {names[0]}; nothing compares with measures of another network." if names else ""
