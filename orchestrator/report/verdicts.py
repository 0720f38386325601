"""From the values of two groups, one a seed, to a verdict. Pure functions; the intervals are ``statistics.intervals``.

A claim is of a bound: that the effect (the difference group - than, or the ratio) is beyond it, or ``within`` it on
both sides of 0. Supported: the whole 95 % interval is where the claim has it; refuted: none of it is. Either is wrong
in at most 2.5 % of studies as far as the interval holds what it says, also of a claim ``within`` (two one-sided tests,
Schuirmann 1987, at 2.5 % each; the usual 90 % interval would allow 5 %).

What is undecided is one of two things. "No difference": the claim has no bound but 0, and the whole interval lies where
a seed of one group is better than one of the other in less than 75 % (Bouthillier et al., arXiv 2103.03098, take that
for what matters), which of normal values with equal spread is 0.95 standard deviations between seeds. Otherwise there
are "too few seeds", with the number that would do if effect and spread are what they seem.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from orchestrator import text
from orchestrator.spec.claims import Scale
from orchestrator.statistics.effects import hedges_g, probability_above
from orchestrator.statistics.intervals import Design, Interval, compare
from orchestrator.statistics.power import BEYOND, MOST_SEEDS, outcomes, power, power_between, seeds_needed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.statistics.intervals import Comparison
    from orchestrator.statistics.power import Seeds

LEAST_SEEDS = 2
LEVEL = 0.05
"""P-values below this decide a claim."""
LARGEST = 1e60
"""What is not smaller counts as no number: squares of variances would leave the range of numbers."""
ALIKE = 0.6744897501960817
"""The quantile of the normal distribution at 75 %: spreads of pairs, or from a constant, that do not matter."""
ALIKE_SHARES = 0.2
"""Differences of shares that do not matter."""
MOST_NAMED = 6
"""Members of a claim that are named in the reason of its verdict."""

Better = Literal["lower", "higher"]


class Word(StrEnum):
    """What is said of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


class Undecided(StrEnum):
    """What an undecided claim is; None of them where a group has no number."""

    NO_DIFFERENCE = "no difference"
    TOO_FEW_SEEDS = "too few seeds"


@dataclass(frozen=True)
class Judgement:
    """``effect`` is the difference group - than, or their ratio, ``bound`` what it is claimed to be beyond or within.

    ``p_supported`` and ``p_refuted`` are one-sided p-values, None where there is no interval. ``seeds_needed`` are
    seeds a side that would decide a claim with too few, BEYOND where even MOST_SEEDS do not. ``size`` (Hedges' g) and
    ``probability`` (that a seed of ``group`` is better than one of ``than``) are in the direction of the better values,
    or of the higher ones where none are better.
    """

    word: Word
    effect: Interval | None
    bound: float
    why: str
    undecided: Undecided | None = None
    seeds_needed: int | None = None
    p_supported: float | None = None
    p_refuted: float | None = None
    size: float | None = None
    probability: float | None = None

    @property
    def p_value(self) -> float | None:
        """The two-sided p-value of the bound: below 0.05 where the claim is supported or refuted."""
        if self.p_supported is None or self.p_refuted is None:
            return None
        return min(1.0, 2 * min(self.p_supported, self.p_refuted))

    def corrected(self, p_value: float | None) -> Word:
        """The word that is left under a p-value corrected for the number of claims."""
        return self.word if p_value is not None and p_value < LEVEL else Word.UNDECIDED


@dataclass(frozen=True)
class Region:
    """Where a claim has the effect: between ``low`` and ``high``, of which one is infinite unless it is ``within``."""

    low: float
    high: float
    words: str

    @classmethod
    def of(cls, better: Better | None, bound: float) -> Region:
        """Above or below the bound, or within it on both sides of 0."""
        if better is None:
            return cls(-bound, bound, "within the bound")
        if better == "higher":
            return cls(bound, math.inf, "above the bound")
        return cls(-math.inf, bound, "below the bound")

    def word(self, effect: Interval) -> Word:
        """Whether all of the interval, none of it or some of it lies here."""
        if self.low < effect.low and effect.high < self.high:
            return Word.SUPPORTED
        return Word.REFUTED if effect.high < self.low or self.high < effect.low else Word.UNDECIDED

    def p_values(self, compared: Comparison) -> tuple[float, float]:
        """One-sided, for an effect that is here, and for one that is not."""
        inside = max(compared.p_above(self.low), compared.p_below(self.high))
        return inside, min(compared.p_below(self.low), compared.p_above(self.high))


def judge(
    group: Sequence[float],
    than: Sequence[float] | float,
    scale: Scale,
    better: Better | None,
    *,
    paired: bool = False,
    by: float = 0.0,
    factor: float | None = None,
    within: float | None = None,
) -> Judgement:
    """Whether ``group`` is better than ``than`` by more than ``by``, or more than ``factor`` times as good.

    Or, with ``within`` and no ``better``, whether they differ by less than that. Both hold finite values, one a seed;
    ``than`` may be a constant. ``paired`` values stand at the same place on both sides and come from the same trained
    networks; all others are independent, whatever seeds their networks share. Where a side has fewer than two seeds
    nothing is decided.
    """
    assert (better is None) == (within is not None), "a claim is of what is better, or of a bound for both"
    bound = bound_of(better, by, factor, within)
    sides = [group] if isinstance(than, float | int) else [group, than]
    fewest = min(map(len, sides))
    if fewest < LEAST_SEEDS:
        why = "one seed says nothing of another" if fewest else "nothing was measured"
        return Judgement(Word.UNDECIDED, None, bound, why, Undecided.TOO_FEW_SEEDS if fewest else None)
    if factor is not None and min(min(side) for side in sides) <= 0:
        return Judgement(Word.UNDECIDED, None, bound, "a ratio needs values above 0")
    compared = compare(group, than, scale, paired=paired, ratio=factor is not None)
    effect, sign = compared.interval, -1 if better == "lower" else 1
    if effect.low == effect.high:
        why = "the seeds do not differ, which leaves their spread unknown"
        return Judgement(Word.UNDECIDED, effect, bound, why)
    claimed = Region.of(better, bound)
    word = claimed.word(effect)
    undecided, needed, why = _why(word, claimed, compared)
    size = hedges_g(compared)
    return Judgement(
        word, effect, bound, why, undecided, needed, *claimed.p_values(compared),
        None if size is None else sign * size, _probability(group, than, scale, sign, paired=paired),
    )  # fmt: skip


def _probability(
    group: Sequence[float], than: Sequence[float] | float, scale: Scale, sign: int, *, paired: bool
) -> float | None:
    """That a seed of ``group`` is better; None of yes and no against a constant, where it is the share itself."""
    if scale is Scale.YES_NO and isinstance(than, float | int):
        return None
    above = probability_above(group, than, paired=paired)
    return above if sign > 0 else 1 - above


def bound_of(better: Better | None, by: float | None, factor: float | None, within: float | None) -> float:
    """The difference, or the ratio, that a claim has to be beyond or within."""
    if within is not None:
        return within
    sign = 1.0 if better == "higher" else -1.0
    return sign * (by or 0.0) + 0.0 if factor is None else factor**sign  # 0, not -0


def _why(word: Word, claimed: Region, compared: Comparison) -> tuple[Undecided | None, int | None, str]:
    """What an undecided claim is, the seeds it would take, and the reason of each word."""
    if word is Word.SUPPORTED:
        return None, None, f"the whole interval is {claimed.words}, as claimed"
    if word is Word.REFUTED:
        return None, None, f"no part of the interval is {claimed.words}, as was claimed"
    effect = compared.interval
    if (alike := _alike(claimed, compared)) and alike[0] < effect.low and effect.high < alike[1]:
        ends = " to ".join(text.number(end) for end in alike)
        return Undecided.NO_DIFFERENCE, None, f"no difference that matters: the whole interval is within {ends}"
    needed = _needed(claimed, compared)
    side = " a side" if compared.design is Design.INDEPENDENT else ""
    return Undecided.TOO_FEW_SEEDS, needed, f"too few seeds: {enough(needed)}{side} would show an effect like this"


def enough(needed: int) -> str:
    """``about 12``, or ``more than 1,000``."""
    return f"more than {MOST_SEEDS:,}" if needed >= BEYOND else f"about {needed}"


def _alike(claimed: Region, compared: Comparison) -> tuple[float, float] | None:
    """Ends of the effects that do not matter, of a claim whose only bound is no effect at all."""
    nothing = 1.0 if compared.logarithms else 0.0
    if nothing not in (claimed.low, claimed.high):
        return None
    if compared.spread is None:
        return -ALIKE_SHARES, ALIKE_SHARES
    margin = compared.spread * ALIKE * (math.sqrt(2) if compared.design is Design.INDEPENDENT else 1.0)
    return (math.exp(-margin), math.exp(margin)) if compared.logarithms else (-margin, margin)


def _needed(claimed: Region, compared: Comparison) -> int:
    """Seeds a side that decide the claim in 80 % of studies, if effect and spread are as they were found.

    More than there are, with which it was not decided.
    """
    shown = _power_of_shares if compared.shares else _power_of_numbers
    needed = seeds_needed(compared.design, lambda seeds: shown(claimed, compared, seeds))
    return max(needed, min(compared.counts) + 1)


def _power_of_numbers(claimed: Region, compared: Comparison, seeds: Seeds) -> float:
    """The power to say where the effect that was found lies, in the claimed region or out of it."""
    assert compared.spread, compared
    numbers = [compared.interval.estimate, claimed.low, claimed.high]
    if compared.logarithms:
        numbers = [math.log(one) if 0 < one < math.inf else one for one in numbers]
    effect, low, high = (one / compared.spread for one in numbers)
    if low < effect < high:
        return power_between(effect, low, high, seeds)
    return power(low - effect if effect <= low else effect - high, seeds)


def _power_of_shares(claimed: Region, compared: Comparison, seeds: Seeds) -> float:
    assert compared.shares, compared
    possible, effect = outcomes(seeds, compared.shares), compared.interval.estimate
    if claimed.low < effect < claimed.high:
        return possible.between(claimed.low, claimed.high)
    return possible.below(claimed.low) if effect <= claimed.low else possible.above(claimed.high)


def together(members: Mapping[str, Judgement]) -> Judgement:
    """The judgement on a claim about each of its members, by their names.

    Supported where each is: an intersection-union test, whose p-value is the greatest of theirs without any correction
    (Berger, Technometrics 24, 1982). Refuted where one is, which the more members the more often happens by chance:
    that p-value is the least of theirs times their number. Effect and sizes are those of the member with the least
    support.
    """
    judged = list(members.values())
    undecided = [name for name, one in members.items() if one.word is Word.UNDECIDED]
    refuted = [name for name, one in members.items() if one.word is Word.REFUTED]
    if refuted:
        word, why = Word.REFUTED, f"refuted for {_names(refuted)}"
    elif undecided:
        word, why = Word.UNDECIDED, f"undecided for {_names(undecided)}"
    else:
        word, why = Word.SUPPORTED, f"supported for each of the {len(judged)}"
    weakest = members[least_supported(members)]
    kinds = {members[name].undecided for name in undecided}
    by_weight = (Undecided.TOO_FEW_SEEDS, None, Undecided.NO_DIFFERENCE)
    known = [one.p_refuted for one in judged if one.p_refuted is not None]
    return replace(
        weakest,
        word=word,
        why=why,
        undecided=None if word is not Word.UNDECIDED else next((kind for kind in by_weight if kind in kinds), None),
        seeds_needed=None if word is not Word.UNDECIDED else _most(members[name].seeds_needed for name in undecided),
        p_supported=1.0 if known and weakest.p_supported is None else weakest.p_supported,
        p_refuted=min(1.0, len(judged) * min(known)) if known else None,
    )


def least_supported(members: Mapping[str, Judgement]) -> str:
    """The member whose effect and sizes those of the whole claim are: one without any p-value where there is one."""
    p_values = {name: 2.0 if one.p_supported is None else one.p_supported for name, one in members.items()}
    return max(p_values, key=lambda name: p_values[name])


def _most(needed: Iterable[int | None]) -> int | None:
    """The greatest number of those that are known, where the others have no number: no difference, or no value."""
    return max((one for one in needed if one is not None), default=None)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + text.more(len(names) - MOST_NAMED)
