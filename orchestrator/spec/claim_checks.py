"""Which claims are well-formed, and which a job can decide: each mistake as its key and one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from orchestrator.evaluations import KINDS
from orchestrator.metrics.requirements import CLASSIFIER_FEATURES, lacking
from orchestrator.spec.claims import (
    ENDS,
    OWN,
    PLAIN,
    Scale,
    allows,
    alternatives_of,
    columns_of,
    find_measure,
    is_of_trial,
    meant,
    measures_of,
    members_of,
    numbers,
    selects,
    sides_of,
    sides_of_each,
)
from orchestrator.spec.columns import evaluation_columns, trial_columns
from orchestrator.spec.messages import did_you_mean, show
from orchestrator.store.columns import TRAINING_METRICS, TRIALS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from orchestrator.data import Dataset, Split
    from orchestrator.evaluations import Evaluation
    from orchestrator.spec.claims import Claim, Measure
    from orchestrator.store.columns import Column
    from orchestrator.training.settings import TrialSettings

    Counts: TypeAlias = Callable[[Dataset, Split], int | None]
    """The number of images of a data set's split, or None where it is not known."""

_TYPES: dict[pa.DataType, tuple[tuple[type, ...], str]] = {
    pa.string(): ((str,), "text"),
    pa.bool_(): ((bool,), "true or false"),
    pa.int64(): ((int,), "a whole number"),
    pa.float64(): ((int, float), "a number"),
}
_LISTS = (pa.list_(pa.float64()), pa.list_(pa.int64()))

Problem = tuple[str, str]
"""The key below the claim, and what is wrong there."""


def malformed(claim: Claim) -> Problem | None:
    """What no job could give this claim: keys that do not go together, or names and values that do not exist."""
    measure = find_measure(claim.measure)
    if measure is None:
        return "measure", f"got {show(claim.measure)}; {_measures(claim.measure)}"
    problems = (_ill_combined(claim), _misjudged(claim, measure), _misquantified(claim, measure))
    if problem := next(filter(None, problems), None):
        return problem
    if claim.than_measure and (mismatch := _incomparable(claim.than_measure, claim.measure, measure)):
        return "than_measure", mismatch
    known = {column.name: column for column in trial_columns() if is_of_trial(column.name)}
    if measure.kind:
        of_kind = evaluation_columns(KINDS[measure.kind])
        known |= {column.name: column for column in of_kind if column.name.startswith(OWN)}
        known |= {column.name: column for column in KINDS[measure.kind].columns}
    for side, where in (*sides_of(claim).items(), ("each", claim.each or {})):
        for path, allowed in where.items():
            if mismatch := _misnamed(path, allowed, known, measure):
                return f"{side}.{path}", mismatch
    return None


def _ill_combined(claim: Claim) -> Problem | None:
    """A claim compares with one thing, and ``each`` needs a side that it may vary on."""
    if claim.than is None and claim.than_value is None:
        return "than", "is missing; name the trials to compare with, or a constant as than_value"
    if claim.than_value is not None:
        for key in ("than", "than_measure", "by", "factor"):
            if getattr(claim, key) is not None:
                return key, "stands beside than_value, the one number that group is compared with; take one out"
    if claim.each is not None and not sides_of_each(claim):
        (path,) = claim.each
        sides = " and ".join(sides_of(claim))
        return f"each.{path}", f"is set in {sides} too; take it out of the side whose trials it is to vary"
    return None


def _misjudged(claim: Claim, measure: Measure) -> Problem | None:
    """A claim is of a difference, of a ratio, or of being within a bound."""
    if claim.within is None:
        if claim.better is None:
            return "better", "is missing, expected 'lower' or 'higher', or within: the difference that both stay within"
        if claim.by is not None and claim.factor is not None:
            return "factor", "stands beside by; a claim is of a difference or of a ratio, take one out"
    for key in ("better", "by", "factor"):
        if claim.within is not None and getattr(claim, key) is not None:
            return key, "stands beside within, which claims that neither is better by its bound; take one out"
    if claim.factor is not None and measure.scale is Scale.YES_NO:
        return "factor", f"{claim.measure} is yes or no; take by, a difference of shares of the seeds"
    return None


def _misquantified(claim: Claim, measure: Measure) -> Problem | None:
    """Numbers are in the measure's unit, which a constant has to state; shares of a yes or no are in [0, 1]."""
    if claim.unit is not None:
        if claim.than_value is None and claim.by is None and claim.within is None:
            return "unit", f"got {show(claim.unit)}, but no number of this claim has a unit; take it out"
        if claim.unit != measure.unit:
            of = f"that of {claim.measure} is {measure.unit}" if measure.unit else f"{claim.measure} has none"
            return "unit", f"got {show(claim.unit)}, but {of}"
    shares = measure.scale is Scale.YES_NO
    if claim.than_value is not None and measure.unit and claim.unit is None and not shares:
        return "unit", f"is missing: than_value is compared with {claim.measure}, whose unit is {measure.unit}"
    if shares and claim.than_value is not None and not 0 <= claim.than_value <= 1:
        return "than_value", f"got {claim.than_value:g}, expected a share of the seeds in [0, 1]"
    if shares and claim.within is not None and claim.within >= 1:
        return "within", f"got {claim.within:g}, expected a difference of shares of the seeds, below 1"
    return None


def _incomparable(name: str, other: str, measure: Measure) -> str | None:
    """Why the measure of this name cannot be compared with the ``other``, or None where it can."""
    other_measure = find_measure(name)
    if other_measure is None:
        return f"got {show(name)}; {_measures(name)}"
    if other_measure == measure:
        return f"got {show(name)}, which measure is; take it out"
    if other_measure.kind != measure.kind:
        of = f"a column of {measure.kind}" if measure.kind else "a measure of trials/"
        return f"got {show(name)}, expected {of}, as {other} is"
    if other_measure.unit != measure.unit:
        units = [one.unit or "none" for one in (other_measure, measure)]
        return f"got {show(name)}, whose unit is {units[0]}, but that of {other} is {units[1]}"
    return None


def _misnamed(path: str, allowed: Any, known: Mapping[str, Column], measure: Measure) -> str | None:
    if path not in known:
        of_rows = [name for name in known if not is_of_trial(name)]
        return f"unknown setting; {_nearest(path, known)}{_also(of_rows, measure)}"
    column = known[path]
    if column.dtype in _LISTS:
        return _not_listed(allowed)
    if column.dtype not in _TYPES:
        return "is a list, by which trials cannot be told apart; name another setting"
    types, expected = _TYPES[column.dtype]
    for value in alternatives_of(allowed):
        right = isinstance(value, types) and (isinstance(value, bool) == (types == (bool,)))
        if not right and value is not None:
            return f"got {show(value)}, expected {expected}"
    return None


def _not_listed(allowed: Any) -> str | None:
    """Of a setting that is a list of numbers each value is one, within the list of those allowed."""
    for value in alternatives_of(allowed):
        numbers_alone = isinstance(value, list) and all(
            isinstance(one, int | float) and not isinstance(one, bool) for one in value
        )
        if not numbers_alone and value is not None:
            return f"got {show(value)}, expected a list of numbers within a list, as in [[0.5, 1]]"
    return None


def _nearest(path: str, known: Iterable[str]) -> str:
    hint = did_you_mean(path, list(known)).partition("allowed: ")[0]
    return f"{hint}expected a dotted path, as in trials/ ('orch results --schema' has all)"


def _also(columns: Sequence[str], measure: Measure) -> str:
    return f", or of the rows of {measure.kind}: {', '.join(columns)}" if measure.kind else ""


def _measures(name: str) -> str:
    kind, dot, _ = name.partition(".")
    if dot and kind in KINDS:
        return did_you_mean(name, [f"{kind}.{column}" for column in numbers(KINDS[kind].columns)])
    ofkinds = [f"{one}.<column>" for one in KINDS]
    return did_you_mean(name, [*ENDS, *PLAIN, *ofkinds])


def known_images(data: Dataset, split: Split) -> int | None:
    """The number of images that settings alone do not allow more than; None where they allow any."""
    return data.known_images(split)


def unanswered(
    claim: Claim, trials: Collection[TrialSettings], evaluations: Sequence[Evaluation], counts: Counts = known_images
) -> Problem | None:
    """Why a job of these trials and evaluations cannot decide a well-formed claim, or None where it can.

    ``counts`` tells the number of images of a data set's split, or None; by default what follows from settings.
    """
    for member in members_of(claim):
        if problem := _unanswered(member, trials, evaluations, counts):
            return problem if claim.each is None else _of_each(claim, problem)
    return None


def without_measure(name: str, trials: Collection[TrialSettings], counts: Counts = known_images) -> str | None:
    """Why some of these trials have no value of a measured column of trials/, or None where all have."""
    measure = find_measure(name)
    assert measure is not None, name
    too_few = (_too_few(measure, one, None, counts) for one in trials)
    return _unmeasured(measure, trials) or next(filter(None, too_few), None)


def _of_each(claim: Claim, problem: Problem) -> Problem:
    """The problem of a member of ``each``, whose key is that of the value where the value is on the side."""
    key, line = problem
    return (f"each.{next(iter(claim.each or {}))}", line) if key in sides_of_each(claim) else problem


def _unanswered(
    claim: Claim, trials: Collection[TrialSettings], evaluations: Sequence[Evaluation], counts: Counts
) -> Problem | None:
    measure, other = measures_of(claim)
    sides = sides_of(claim)
    members = {side: [one for one in trials if selects(where, one)] for side, where in sides.items()}
    for side, chosen in members.items():
        if not chosen:
            return side, f"got {show(sides[side])}, which is no trial of this job"
        if problem := _unmeasured(measure if side == "group" else other, chosen):
            return _key_of(side, measure, other), problem
        if measure.kind and (lacks := _unasked(measure.kind, sides[side], evaluations, chosen)):
            key, problem = lacks
            return f"{side}{key}", problem
        compared = measure if side == "group" else other
        evaluation = meant(sides[side], compared.kind, evaluations) if compared.kind else None
        if problem := next(filter(None, (_too_few(compared, one, evaluation, counts) for one in chosen)), None):
            return _key_of(side, measure, other), problem
    others = {id(one) for one in members.get("than", ())}
    shared = [one for one in members["group"] if id(one) in others]
    if shared and measure == other and _same_rows(sides, measure, evaluations):
        both = f"{len(shared)} trial{'s are' if len(shared) > 1 else ' is'} in both groups"
        return "than", f"got {show(claim.than)}, but {both}; name what tells them apart"
    return None


def _key_of(side: str, measure: Measure, other: Measure) -> str:
    """The key that names the measure of a side."""
    return "measure" if side == "group" or measure == other else "than_measure"


def _too_few(measure: Measure, trial: TrialSettings, evaluation: Evaluation | None, counts: Counts) -> str | None:
    """Why a trial has no value of a measure, though it is measured: too few images, in most cases."""
    train = counts(trial.data, "train")
    if evaluation is None:
        problem = lacking(measure.column, CLASSIFIER_FEATURES, train=train)
    else:
        problem = evaluation.unmeasured(measure.column, trial, train, counts(trial.data, "test"))
    name = f"{measure.kind}.{measure.column}" if measure.kind else measure.column
    return f"got {show(name)}, {problem}" if problem else None


def _unmeasured(measure: Measure, trials: Iterable[TrialSettings]) -> str | None:
    signals = [column.name for column in TRAINING_METRICS]
    name = f"{measure.column}_at" if measure.column in ENDS else measure.column
    columns = KINDS[measure.kind].columns if measure.kind else TRIALS
    needs = next(column.needs for column in columns if column.name == name)
    for settings in trials:
        if not measure.kind and measure.column in signals and measure.column not in settings.measures:
            return f"got {show(measure.column)}, which a trial under {settings.objective.kind} does not have"
        if "codes" in needs and settings.objective.family == "adversarial":
            return f"got {show(measure.column)}, but no trial under {settings.objective.kind} has codes"
        if "samples" in needs and not settings.training.measure_every:
            return f"got {show(measure.column)}, which is measured of samples: set training.measure_every"
        if "classes" in needs and not settings.data.has_classes:
            of = f"{measure.kind}." if measure.kind else ""
            return (
                f"got {show(of + measure.column)}, which needs a data set with classes; {settings.data.name} has none"
            )
    return None


def _unasked(
    kind: str, where: Mapping[str, Any], evaluations: Sequence[Evaluation], trials: Collection[TrialSettings]
) -> Problem | None:
    """The key below the side, and what is wrong, where no evaluation has rows for it."""
    if meant({}, kind, evaluations) is None:
        return "", f"needs an evaluation of kind {kind}, which evaluate does not have"
    evaluation = meant(where, kind, evaluations)
    if evaluation is None:
        settings_named = {path: allowed for path, allowed in where.items() if path.startswith(OWN)}
        return "", f"got {show(settings_named)}, which is no {kind} under evaluate"
    if over := next((settings for settings in trials if evaluation.not_applicable(settings)), None):
        return "", f"trials under {over.objective.kind} have no {kind}"
    for column, allowed in columns_of(where).items():
        there = [evaluation.values_of(column, settings) for settings in trials]
        known = list(dict.fromkeys(value for values in there for value in values or ()))
        if None not in there and not any(allows(allowed, value) for value in known):
            return f".{column}", f"got {show(allowed)}, expected one of {', '.join(show(value) for value in known)}"
    return None


def _same_rows(sides: Mapping[str, dict[str, Any]], measure: Measure, evaluations: Sequence[Evaluation]) -> bool:
    """Whether, within a trial, the rows of one side are among those of the other by what is named alone."""
    if measure.kind is None:
        return True
    group, than = sides["group"], sides["than"]
    if meant(group, measure.kind, evaluations) != meant(than, measure.kind, evaluations):
        return False
    mine, other = columns_of(group), columns_of(than)
    common = set(mine) & set(other)
    if common not in (set(mine), set(other)):
        return False
    return all(any(allows(other[name], value) for value in alternatives_of(mine[name])) for name in common)
