"""The result of a check that doctor makes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of one check; ``text`` has the remedy where it is not ``good``. An ``extra`` may be missing."""

    good: bool
    text: str
    extra: bool = False
