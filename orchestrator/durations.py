"""How a length of time is written for a reader, on a screen and in a report."""

from __future__ import annotations

import math


def duration(seconds: float) -> str:
    """A length of time in the two units that matter: ``45 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d 4 h``."""
    if math.isnan(seconds):
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
