"""How often the intervals of claims hold the true effect, of few seeds and values that are normal, skewed or bimodal.

``python -m benchmarks.coverage`` prints the table of docs/verdicts.md. Numbers are drawn at random, STUDIES times; of
yes and no all outcomes are counted, each by its probability, over a grid of true shares.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.rows import publish, row
from orchestrator.spec.claims import Scale
from orchestrator.statistics.intervals import Design, compare
from orchestrator.statistics.power import Seeds, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

STUDIES = 2000
SEEDS = (3, 5, 10)
SHARES = np.linspace(0, 1, 21)
LEAST = {"normal": 0.94, "lognormal": 0.8, "bimodal": 0.7}
"""Aims: what is normal is held as often as it says; of skewed values few seeds hide the tail from any interval."""
COLLAPSED = 0.3
"""Share of the seeds that are far from the others, of bimodal values."""
TRUE_MEAN = {"normal": 0.0, "lognormal": float(np.exp(0.5)), "bimodal": COLLAPSED}


def draw(name: str, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Values of so many seeds: N(0, 1), exp N(0, 1), or N(0, 0.1^2) with a share around 1."""
    if name == "bimodal":
        return (rng.random(count) < COLLAPSED) + rng.normal(0, 0.1, count)
    values = rng.normal(size=count)
    return np.exp(values) if name == "lognormal" else values


def coverage(name: str, design: Design, count: int, studies: int = STUDIES) -> tuple[float, float, float]:
    """Shares of the studies whose interval holds the truth: of the whole, of Student's t and of the bootstrap alone.

    Both groups have the same distribution, so that their difference is 0; a constant is the distribution's mean.
    """
    rng = np.random.default_rng(0)
    held = [0, 0, 0]
    for _ in range(studies):
        group = list(draw(name, rng, count))
        than = TRUE_MEAN[name] if design is Design.CONSTANT else list(draw(name, rng, count))
        found = compare(group, than, Scale.NUMBER, paired=design is Design.PAIRED)
        ends = [(found.interval.low, found.interval.high), *(part.ends() for part in found.parts)]
        held = [count + bool(low <= 0 <= high) for count, (low, high) in zip(held, ends, strict=True)]
    whole, student, bootstrap = (count / studies for count in held)
    return whole, student, bootstrap


def coverage_of_shares(design: Design, count: int) -> tuple[float, float]:
    """The mean and the least over true shares, exactly."""
    found = []
    for a, b in itertools.product(SHARES, repeat=2):
        if design is Design.PAIRED and a + b > 1 + 1e-9:
            continue
        if design is Design.CONSTANT and a != b:
            continue
        possible = outcomes(Seeds.equal(design, count), (a, b))
        truth = 0.0 if design is Design.CONSTANT else a - b
        held = (possible.low - 1e-9 <= truth) & (truth <= possible.high + 1e-9)
        found.append(float(possible.probability[held].sum()))
    return float(np.mean(found)), min(found)


def cells(studies: int = STUDIES) -> Iterator[tuple[str, str, list[str], bool]]:
    """A line of the table: values, what they are compared with, a cell for each number of seeds, and the aim's end."""
    for name, design in itertools.product(TRUE_MEAN, Design):
        held = [coverage(name, design, count, studies) for count in SEEDS]
        words = [f"{100 * all_:.1f} ({100 * t:.1f}, {100 * bootstrap:.1f})" for all_, t, bootstrap in held]
        yield name, design.value, words, min(one[0] for one in held) >= LEAST[name]
    for design in Design:
        shares = [coverage_of_shares(design, count) for count in SEEDS]
        met = min(mean for mean, _ in shares) >= 0.95
        yield "yes or no", design.value, [f"{100 * mean:.1f}, least {100 * least:.1f}" for mean, least in shares], met


def main() -> None:
    """Print the table as Markdown, then the rows for the table of all benchmarks."""
    lines = list(cells())
    heads = ["values", "compared with", *(f"n = {count}" for count in SEEDS)]
    table = [heads, ["---"] * len(heads), *([name, than, *words] for name, than, words, _ in lines)]
    sys.stdout.write("\n".join(f"| {' | '.join(cell)} |" for cell in table) + "\n")
    publish(
        *(
            row(f"coverage of 95 % intervals, {name}, against {than}, n = 3, 5, 10", "; ".join(words), _aim(name), met)
            for name, than, words, met in lines
        )
    )


def _aim(name: str) -> str:
    return f">= {100 * LEAST[name]:.0f} %" if name in LEAST else ">= 95 % on average"


if __name__ == "__main__":
    main()
