"""What a loss-saturation study says, in words that follow from its numbers and go no further."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from orchestrator.metrics.health import REJECTED
from orchestrator.text import listing, percent, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.report.saturation import Agreement, GradientRow
    from orchestrator.study import Spread

VANISHED = 0.01
"""A seed's gradient has vanished when its loss passes on less than this share."""

DAMPED = 0.1
"""Below this mean share, but not vanished in every seed, a gradient is called strongly damped."""

_UNIT = "\u00a0%"

AGREES = 1e-3
"""Greatest relative difference at which measure and theory are said to agree."""

LISTED = 8
"""So many cells are told one by one; the table has them all."""


class State(Enum):
    """What became of the saturating gradient in one cell."""

    VANISHED = "vanishes"
    MIXED = "vanishes for some seeds"
    DAMPED = "is strongly damped"
    PASSED = "does not vanish"


@dataclass(frozen=True)
class Answer:
    """``verdict`` is one sentence, ``cells`` one for each cell, ``notes`` what has to be known beside them."""

    verdict: str
    cells: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Pair:
    place: str
    saturating: Spread
    non_saturating: Spread
    rejected: tuple[int | None, ...]
    state: State


def answer(
    rows: Sequence[GradientRow],
    fit: Agreement | None,
    optimizers: Sequence[str],
    *,
    quality: bool = False,
) -> Answer:
    """Judge each cell in which both losses were measured; ``optimizers`` are the kinds the generators used.

    ``quality`` tells that samples were measured too.
    """
    pairs = _pairs(rows)
    if not pairs:
        return Answer("Not answered yet: no setting has a finished trial of both losses.", (), ())
    sentences = [_sentence(pair) for pair in pairs[:LISTED]]
    if len(pairs) > LISTED:
        sentences.append(f"{len(pairs) - LISTED} further settings are in the table.")
    return Answer(_verdict(pairs), tuple(sentences), tuple(_notes(pairs, fit, optimizers, quality=quality)))


def state_of(shares: Spread) -> State:
    """The state of a gradient of which each seed passes on a share in [0, 1]."""
    if shares.high < VANISHED:
        return State.VANISHED
    if shares.low < VANISHED:
        return State.MIXED
    return State.DAMPED if shares.mean < DAMPED else State.PASSED


def _pairs(rows: Sequence[GradientRow]) -> list[_Pair]:
    places: dict[str, dict[object, GradientRow]] = {}
    for row in rows:
        places.setdefault(row.place, {})[row.objective] = row
    pairs = []
    for place, cell in places.items():
        saturating, other = cell.get("saturating"), cell.get("non_saturating")
        if saturating and other and saturating.measured and other.measured:
            shares = saturating.measured
            pairs.append(_Pair(place, shares, other.measured, saturating.rejected_from, state_of(shares)))
    return pairs


def _verdict(pairs: Sequence[_Pair]) -> str:
    states = [pair.state for pair in pairs]
    worst, settings = max(pair.saturating.high for pair in pairs), plural(len(pairs), "setting")
    if all(state is State.VANISHED for state in states):
        where = f"in each of the {settings} tried" if len(pairs) > 1 else "in the one setting tried"
        return f"Yes: the saturating gradient vanishes {where}; at most {percent(worst)} of it is passed on."
    if not {State.VANISHED, State.MIXED} & set(states):
        least = min(pair.saturating.low for pair in pairs)
        damped = [pair.place for pair in pairs if pair.state is State.DAMPED]
        where = "" if len(damped) == len(pairs) else f" {_places(damped)}"
        but = f", though it is strongly damped{where}" if damped else ""
        return f"No: the saturating gradient does not vanish here{but}; at least {percent(least)} of it is passed on."
    parts = [
        f"{state.value} {_places([pair.place for pair in pairs if pair.state is state])}"
        for state in State
        if state in states
    ]
    return f"In part: the saturating gradient {listing(parts)}."


def _places(places: Sequence[str]) -> str:
    if len(places) > LISTED or any("," in place for place in places):
        return f"in {plural(len(places), 'setting')}"
    heads = {place.rpartition(" = ")[0] for place in places}
    if len(heads) == 1:
        return f"at {heads.pop()} = {listing(place.rpartition(' = ')[2] for place in places)}"
    return f"at {listing(places)}"


def _sentence(pair: _Pair) -> str:
    where = f"At {pair.place} the" if pair.place else "The"
    text = (
        f"{where} saturating loss passes on {_share(pair.saturating)} of the gradient, "
        f"the non-saturating loss {_share(pair.non_saturating)}: the saturating gradient {pair.state.value}."
    )
    seeds = [step for step in pair.rejected if step is not None]
    if seeds:
        which = f"in {len(seeds)} of {plural(len(pair.rejected), 'seed')} " if len(pair.rejected) > 1 else ""
        steps = f"step {min(seeds)}" if min(seeds) == max(seeds) else f"step {min(seeds)} to {max(seeds)}, by seed"
        fell = f"{which}mean σ(F) fell below {REJECTED:g} and stayed there (from {steps})."
        text += f" {fell[0].upper()}{fell[1:]}"
    return text


def _share(spread: Spread) -> str:
    if spread.count == 1:
        return f"{percent(spread.mean)} (one seed)"
    low = percent(spread.low).removesuffix(_UNIT)
    return f"{percent(spread.mean)} ({low} to {percent(spread.high)} over {spread.count} seeds)"


def _notes(pairs: Sequence[_Pair], fit: Agreement | None, optimizers: Sequence[str], *, quality: bool) -> list[str]:
    notes = []
    if any(pair.saturating.count == 1 or pair.non_saturating.count == 1 for pair in pairs):
        notes.append("Where there is one seed, nothing is known of how much another seed would differ.")
    if fit is not None:
        verb = "agrees with" if fit.relative <= AGREES else "DOES NOT agree with"
        notes.append(
            f"The measured |∂L_G/∂F| {verb} theory: the greatest relative difference "
            f"in {plural(fit.trials, 'trial')} is {fit.relative:.1e}.".replace("e-", "e\u2011")
            if fit.relative
            else f"The measured |∂L_G/∂F| is exactly what theory says in {plural(fit.trials, 'trial')}."
        )
    if "adam" in optimizers:
        notes.append(
            "Adam divides each gradient by its own recent size, so a generator need not slow down "
            "in proportion to its factor."
        )
    elsewhere = "see the measures of quality" if quality else "no measure of quality was taken"
    notes.append(
        "The two losses are compared in their own runs, each against its own discriminator. The factor says how "
        f"much gradient reaches the generator, not how good its images are: {elsewhere}."
    )
    return notes
