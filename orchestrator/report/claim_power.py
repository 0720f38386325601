"""What the planned seeds of a job can show of each of its claims, before anything is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from orchestrator import text
from orchestrator.report.claim_values import ClaimValues
from orchestrator.report.verdicts import LEAST_SEEDS
from orchestrator.spec.claims import Scale
from orchestrator.statistics.intervals import ROUNDING, Design, bounded_exp
from orchestrator.statistics.power import (
    Seeds,
    smallest_difference_of_shares,
    smallest_distance,
    smallest_within,
    smallest_within_of_shares,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from orchestrator.report.claim_values import Compared
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store


@dataclass(frozen=True)
class ClaimPower:
    """The smallest effect that a claim's seeds show with a probability of 80 %, beyond or within its bound.

    ``in_sd`` is in standard deviations between seeds, of ratios in those of logarithms. ``effect`` is in the measure's
    unit, or a ratio: known of shares of yes and no, and where ``spread``, the standard deviation of ``earlier`` values
    in storage, is known. Both are None where a side has fewer than two seeds, or no effect is large enough.
    """

    claim: str
    seeds: Seeds
    in_sd: float | None = None
    effect: float | None = None
    unit: str = ""
    spread: float | None = None
    earlier: int = 0
    ratio: bool = False
    within: bool = False
    bounded: bool = False
    members: int = 1

    @property
    def words(self) -> str:
        """``3 and 3 seeds show a difference of 3.1 standard deviations between seeds (80 % power)``."""
        return f"{self._seeds()} {self._shown()}{self._told_apart()}"

    def _seeds(self) -> str:
        each = f"each of {self.members}, " if self.members > 1 else ""
        if self.seeds.design is Design.INDEPENDENT:
            return f"{each}{self.seeds.group} and {self.seeds.than} seeds"
        of = "pairs" if self.seeds.design is Design.PAIRED else "seeds"
        return f"{each}{self.seeds.group} {of if self.seeds.group != 1 else of[:-1]}"

    def _shown(self) -> str:
        if min(self.seeds.group, self.seeds.than) < LEAST_SEEDS:
            return "decide nothing; two on each side are the least"
        if self.in_sd is None and self.effect is None:
            return "cannot show any difference of shares (80 % power)"
        sd = "standard deviations of its logarithm" if self.ratio else "standard deviations"
        size = f"{self.effect:.2g} of the seeds" if self.in_sd is None else f"{self.in_sd:.2g} {sd} between seeds"
        if self.within:
            return f"show equality within {size} (80 % power)"
        what = "a ratio" if self.ratio else "a difference"
        return f"show {what} {'beyond the bound by' if self.bounded or self.ratio else 'of'} {size} (80 % power)"

    def _told_apart(self) -> str:
        if self.in_sd is None or self.effect is None:
            return ""
        unit = f" {self.unit}" if self.unit else ""
        effect = f"a factor of {text.number(self.effect)}" if self.ratio else f"{text.number(self.effect)}{unit}"
        return f": {effect} by the spread of {self.earlier} earlier values"


def claims_power(store: Store, job: Job) -> list[ClaimPower]:
    """What the seeds of each claim can show; of one about each value the member that shows the least.

    Raises StorageError.
    """
    values = ClaimValues.read(store, job)
    powers = []
    for claim in job.header.claims:
        members = values.compared(claim)
        least = max((_power(claim.id, one, values, len(members)) for one in members), key=_difficulty)
        powers.append(least)
    return powers


def _difficulty(power: ClaimPower) -> float:
    """How much of an effect is needed, in standard deviations or shares; without an end where none is enough."""
    needed = power.in_sd if power.in_sd is not None else power.effect
    return math.inf if needed is None else needed


def _power(name: str, one: Compared, values: ClaimValues, members: int) -> ClaimPower:
    claim = one.claim
    design = Design.CONSTANT if one.than is None else Design.PAIRED if one.paired else Design.INDEPENDENT
    seeds = Seeds(design, len(one.group.seeds), len((one.than or one.group).seeds))
    within, ratio = claim.within is not None, claim.factor is not None
    told = ClaimPower(name, seeds, unit=one.measure.unit, ratio=ratio, within=within, members=members)
    told = replace(told, bounded=bool(claim.by) or (claim.factor or 1.0) > 1.0)
    if min(seeds.group, seeds.than) < LEAST_SEEDS:
        return told
    if one.measure.scale is Scale.YES_NO:
        return replace(told, effect=_of_shares(one, seeds))
    in_sd = smallest_within(seeds) if within else smallest_distance(seeds)
    spread, earlier = _spread(one, values, design)
    if spread is None:
        return replace(told, in_sd=in_sd)
    effect = bounded_exp(in_sd * spread) if ratio else in_sd * spread
    return replace(told, in_sd=in_sd, effect=effect, spread=spread, earlier=earlier)


def _of_shares(one: Compared, seeds: Seeds) -> float | None:
    """The smallest difference of shares, beyond the bound where there is one."""
    claim, constant = one.claim, one.claim.than_value
    if claim.within is not None:
        return smallest_within_of_shares(seeds, constant)
    if constant is not None and claim.better == "lower":
        constant = 1 - constant  # the shares of no are the higher ones
    by = claim.by or 0.0
    smallest = smallest_difference_of_shares(seeds, by, constant)
    return None if smallest is None else smallest - by


def _spread(one: Compared, values: ClaimValues, design: Design) -> tuple[float | None, int]:
    """The standard deviation between seeds of the values that there are, and their number.

    Of the claim's own sides, pooled; where none has two, of all trials of the job that differ in their seeds alone.
    """
    ratio = one.claim.factor is not None
    sides = [side.known for side in (one.group, one.than) if side is not None]
    rounding = ROUNDING if one.measure.scale is Scale.WHOLE and not ratio else 0.0
    if design is Design.PAIRED:
        group, than = (_numbers(side.values(), ratio=ratio) for side in sides)
        if len(group) != len(than):
            return None, 0
        return _pooled([group - than], 2 * rounding)
    spread, count = _pooled([_numbers(side.values(), ratio=ratio) for side in sides], rounding)
    if spread is not None:
        return spread, count
    cells = values.by_cell(one.measure, one.claim.group)
    return _pooled([_numbers(cell, ratio=ratio) for cell in cells], rounding)


def _numbers(values: Iterable[float], *, ratio: bool) -> NDArray[np.float64]:
    """The values, of ratios the logarithms of those above 0."""
    numbers = np.array(list(values), dtype=np.float64)
    return np.log(numbers[numbers > 0]) if ratio else numbers


def _pooled(groups: Sequence[NDArray[np.float64]], rounding: float) -> tuple[float | None, int]:
    """The root of the variances within groups, weighted by degrees of freedom; None without any spread."""
    several = [group for group in groups if len(group) >= LEAST_SEEDS]
    if not several:
        return None, 0
    free = [len(group) - 1 for group in several]
    variance = max(float(np.average([group.var(ddof=1) for group in several], weights=free)), rounding)
    return (math.sqrt(variance), sum(map(len, several))) if variance else (None, 0)
