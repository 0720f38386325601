"""How values are written for a reader: numbers, shares, times, names of settings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from orchestrator.errors import one_line
from orchestrator.settings import TAGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOTHING = "–"

SEED = "training.seed"
LINKED = "grid."
"""Before the name of an axis of the grid whose levels set several settings; see ``study.levels``."""


GROUPING = "\u202f"
"""Stands between the thousands of a number."""
LONGEST = 200
"""Characters of a name or value that are shown: a stranger's may be megabytes."""


def excerpt(text: str, most: int = LONGEST) -> str:
    """So much of a text as there is room for; what cannot be printed is written as escapes, but line breaks stay."""
    shown = text if len(text) <= most else f"{text[:most]} … ({len(text) - most} more characters)"
    return shown if shown.isprintable() else "".join(c if c in "\n\t\u00a0" else one_line(c) for c in shown)


def more(count: int) -> str:
    """`` and 5 more``; empty where there are none."""
    return f" and {count} more" if count > 0 else ""


def number(value: object) -> str:
    """Four significant digits for a fraction, all digits for a whole number, a dash for none."""
    if value is None or isinstance(value, str):
        return excerpt(value or NOTHING)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return NOTHING if math.isnan(value) else str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", GROUPING) if abs(value) >= 10_000 else str(int(value))
    return f"{value:#.4g}".removesuffix(".") if 1e-3 <= abs(value) < 1e4 else f"{value:.3e}"


def setting(value: object) -> str:
    """A setting's value as the job file has it: no rounding, ``not set`` where the kind has no such setting."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else excerpt(str(value))


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage that never rounds to 0 % or to 100 % what is neither."""
    if 0 < share < 1e-6:
        return "under 0.0001\u00a0%"
    if 0.9999 < share < 1:
        return "over 99.99\u00a0%"
    digits = (
        f"{100 * share:.2f}" if 0.99 < share < 1 else f"{100 * share:.3g}" if share >= 0.01 else f"{100 * share:.2g}"
    )
    return f"{digits}\u00a0%"


def size(count: int) -> str:
    """A number of bytes: ``34.2 MB``, in powers of 1000."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB", "PB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.3g} {units[0]}"


def listing(items: Iterable[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``; ``last`` stands in front of the last."""
    words = list(items)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else "none"


def plural(count: int, noun: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def short_names(columns: Iterable[str]) -> dict[str, str]:
    """The shortest unambiguous name of each dotted setting: ``training.d_steps`` -> ``d_steps``.

    A last part ``kind`` or ``name`` says nothing by itself: ``objective.kind`` -> ``objective``. Where that would be
    another's name too, the whole path stays.
    """
    paths = {column: _meaningful(column) for column in columns}
    lengths = dict.fromkeys(paths, 1)
    while True:
        names = {column: ".".join(parts[-lengths[column] :]) for column, parts in paths.items()}
        taken = list(names.values())
        unclear = [c for c in paths if taken.count(names[c]) > 1 and lengths[c] < len(paths[c])]
        if not unclear:
            return {column: name if taken.count(name) == 1 else column for column, name in names.items()}
        for column in unclear:
            lengths[column] += 1


def _meaningful(column: str) -> list[str]:
    parts = column.split(".")
    return parts[:-1] if len(parts) > 1 and parts[-1] in TAGS else parts


def described(settings: Mapping[str, object], names: Mapping[str, str]) -> str:
    """``objective = saturating, d_steps = 3``."""
    return ", ".join(assigned(column, value, names) for column, value in settings.items())


def assigned(column: str, value: object, names: Mapping[str, str]) -> str:
    """``d_steps = 3``; of an axis that links settings the level's label alone, which tells them."""
    return setting(value) if column.startswith(LINKED) else f"{names[column]} = {setting(value)}"


def drawn(shown: int, count: int, what: str = "settings", more: str = "") -> str:
    """A sentence on what a figure leaves out; empty where it leaves out nothing."""
    return f" The first {shown} of {count} {what} are drawn{more}." if shown < count else ""
