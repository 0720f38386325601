"""Several things timed in turn, round after round: what the machine does meanwhile falls on all of them alike."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def seconds_in_turn(
    functions: Mapping[str, Callable[[], object]], *, rounds: int, repeat: int = 1
) -> dict[str, list[float]]:
    """Seconds of a call of each in each round, after one call of each that does not count."""
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            began = time.perf_counter()
            for _ in range(repeat):
                function()
            times[name].append((time.perf_counter() - began) / repeat)
    return times


def ratio(one: list[float], other: list[float]) -> float:
    """Median over the rounds of one's time divided by the other's."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))
