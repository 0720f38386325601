"""The ``claims`` of a job file: which of two groups of trials is to be better by a measure, and by how much."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from orchestrator.evaluations import KINDS
from orchestrator.settings import Settings
from orchestrator.spec.columns import evaluation_columns, trial_columns
from orchestrator.spec.messages import did_you_mean, show
from orchestrator.store.columns import TRAINING_METRICS, TRIALS, Column

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from orchestrator.evaluations import Evaluation
    from orchestrator.training.settings import TrialSettings

ENDS = ("saturated", "collapsed", "diverged")
"""Measures that are yes or no: whether ``<end>_at`` of trials/ has a step."""

_OWN = "evaluation."
_PLAIN = {column.name: column for column in TRIALS if column.claimable}
_OF_DISTRIBUTIONS = ("quality",)
"""Kinds of which a row is of a whole distribution; of others many rows are averaged, which rounds nothing."""
_TYPES: dict[pa.DataType, tuple[tuple[type, ...], str]] = {
    pa.string(): ((str,), "text"),
    pa.bool_(): ((bool,), "true or false"),
    pa.int64(): ((int,), "a whole number"),
    pa.float64(): ((int, float), "a number"),
}


def _known_by(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", name):
        raise ValueError(f"got {show(name)}, expected 1 to 40 letters, digits, _, . and -, the first a letter or digit")
    return name


def _where(raw: Any) -> Any:
    """Paths with the values they may have: each a single one or a list of them."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"got {show(raw)}, expected settings with their values")
    for path, value in raw.items():
        alternatives = value if isinstance(value, list | tuple) else [value]
        if not alternatives:
            raise ValueError(f"{path}: got [], expected a value or a list with at least one")
        for one in alternatives:
            if not isinstance(one, str | int | float | None) or (isinstance(one, float) and not math.isfinite(one)):
                raise ValueError(f"{path}: got {show(one)}, expected text, a finite number, true, false or null")
    return {path: list(value) if isinstance(value, list | tuple) else value for path, value in raw.items()}


Where = Annotated[dict[str, Any], BeforeValidator(_where)]


class Claim(Settings):
    """One entry of a job file's ``claims``; it is no part of a trial's id."""

    id: Annotated[str, AfterValidator(_known_by)]
    """the name that the report and scripts know it by"""
    says: str = Field(min_length=1, max_length=300)
    """the claim as a sentence"""
    measure: str
    """a measured column of trials/, one of ENDS, or ``<kind>.<column>`` of an evaluation"""
    better: Literal["lower", "higher"]
    """which values of the measure are the better ones"""
    group: Where
    """settings of the trials, and columns of an evaluation's rows, that are claimed to be better"""
    than: Where
    """settings and columns of those they are compared with"""
    by: float | None = Field(None, ge=0.0)
    """the difference, in the measure's unit, that has to be exceeded; unset is 0"""
    factor: float | None = Field(None, ge=1.0)
    """instead of a difference, how many times as good"""
    than_measure: str | None = None
    """the measure of ``than``, where it is another one than ``measure``"""

    @model_validator(mode="after")
    def _one_distance(self) -> Claim:
        if self.by is not None and self.factor is not None:
            raise ValueError("factor: stands beside by; a claim is of a difference or of a ratio, take one out")
        if self.factor is not None and self.measure in ENDS:
            raise ValueError(f"factor: {self.measure} is yes or no; take by, a difference of shares of the seeds")
        return self


class Scale(Enum):
    """What values a measure of one trial can have."""

    NUMBER = "number"
    WHOLE = "whole number"
    YES_NO = "yes or no"


@dataclass(frozen=True)
class Measure:
    """What a claim is about: a column of trials/, or of the rows of the ``kind`` of evaluation."""

    column: str
    scale: Scale
    unit: str
    kind: str | None = None


def find_measure(name: str) -> Measure | None:
    """The measure of this name; None where there is none."""
    if name in ENDS:
        return Measure(name, Scale.YES_NO, "share of seeds")
    kind, dot, column = name.partition(".")
    if dot:
        known = _numbers(KINDS[kind].columns) if kind in KINDS else {}
        return _measure(known[column], kind) if column in known else None
    return _measure(_PLAIN[name], None) if name in _PLAIN else None


def _measure(column: Column, kind: str | None) -> Measure:
    whole = column.dtype == pa.int64() and (kind is None or kind in _OF_DISTRIBUTIONS)
    return Measure(column.name, Scale.WHOLE if whole else Scale.NUMBER, column.unit, kind)


def _numbers(columns: Iterable[Column]) -> dict[str, Column]:
    return {column.name: column for column in columns if column.dtype in (pa.int64(), pa.float64())}


def selects(where: Mapping[str, Any], settings: TrialSettings) -> bool:
    """Whether a trial of these settings is in the group, as far as its own settings tell."""
    return all(allows(allowed, _value(settings, path)) for path, allowed in where.items() if _of_trial(path))


def meant(where: Mapping[str, Any], kind: str, evaluations: Iterable[Evaluation]) -> Evaluation | None:
    """The first evaluation of a kind whose settings ``where`` allows: what is added behind it changes no verdict."""
    settings = {path.removeprefix(_OWN): allowed for path, allowed in where.items() if path.startswith(_OWN)}
    of_kind = (one for one in evaluations if one.kind == kind)
    return next(
        (one for one in of_kind if all(allows(allowed, _value(one, path)) for path, allowed in settings.items())), None
    )


def columns_of(where: Mapping[str, Any]) -> dict[str, Any]:
    """What ``where`` asks of an evaluation's rows beyond their trials and settings."""
    return {name: allowed for name, allowed in where.items() if "." not in name}


def allows(allowed: Any, value: Any) -> bool:
    """Whether a value is the allowed one or among those allowed; true is no 1."""
    alternatives = allowed if isinstance(allowed, list) else [allowed]
    return any(one == value and isinstance(one, bool) == isinstance(value, bool) for one in alternatives)


def _of_trial(path: str) -> bool:
    return "." in path and not path.startswith(_OWN)


def _value(settings: Settings, path: str) -> Any:
    here: Any = settings
    for part in path.split("."):
        here = getattr(here, part, None)
    return here


def measures_of(claim: Claim) -> tuple[Measure, Measure]:
    """The measures of a well-formed claim's ``group`` and ``than``."""
    measures = find_measure(claim.measure), find_measure(claim.than_measure or claim.measure)
    assert measures[0] is not None and measures[1] is not None, claim  # noqa: PT018
    return measures[0], measures[1]


Problem = tuple[str, str]
"""The key below the claim, and what is wrong there."""


def malformed(claim: Claim) -> Problem | None:
    """What no job could give this claim: a measure, a setting or a column that does not exist, a value of no type."""
    measure = find_measure(claim.measure)
    if measure is None:
        return "measure", f"got {show(claim.measure)}; {_measures(claim.measure)}"
    if claim.than_measure and (problem := _incomparable(claim.than_measure, claim.measure, measure)):
        return "than_measure", problem
    known = {column.name: column for column in trial_columns() if _of_trial(column.name)}
    if measure.kind:
        of_kind = evaluation_columns(KINDS[measure.kind])
        known |= {column.name: column for column in of_kind if column.name.startswith(_OWN)}
        known |= {column.name: column for column in KINDS[measure.kind].columns}
    for side, where in (("group", claim.group), ("than", claim.than)):
        for path, allowed in where.items():
            if problem := _misnamed(path, allowed, known, measure):
                return f"{side}.{path}", problem
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
        of_rows = [name for name in known if not _of_trial(name)]
        return f"unknown setting; {_nearest(path, known)}{_also(of_rows, measure)}"
    column = known[path]
    if column.dtype not in _TYPES:
        return "is a list, by which trials cannot be told apart; name another setting"
    types, expected = _TYPES[column.dtype]
    for value in allowed if isinstance(allowed, list) else [allowed]:
        right = isinstance(value, types) and (isinstance(value, bool) == (types == (bool,)))
        if not right and value is not None:
            return f"got {show(value)}, expected {expected}"
    return None


def _nearest(path: str, known: Iterable[str]) -> str:
    hint = did_you_mean(path, list(known)).partition("allowed: ")[0]
    return f"{hint}expected a dotted path, as in trials/ ('orch results --schema' has all)"


def _also(columns: Sequence[str], measure: Measure) -> str:
    return f", or of the rows of {measure.kind}: {', '.join(columns)}" if measure.kind else ""


def _measures(name: str) -> str:
    kind, dot, _ = name.partition(".")
    if dot and kind in KINDS:
        return did_you_mean(name, [f"{kind}.{column}" for column in _numbers(KINDS[kind].columns)])
    ofkinds = [f"{one}.<column>" for one in KINDS]
    return did_you_mean(name, [*ENDS, *_PLAIN, *ofkinds])


def unanswered(claim: Claim, trials: Collection[TrialSettings], evaluations: Sequence[Evaluation]) -> Problem | None:
    """Why a job of these trials and evaluations cannot decide a well-formed claim, or None where it can."""
    measure, other = measures_of(claim)
    sides = {"group": claim.group, "than": claim.than}
    members = {side: [one for one in trials if selects(where, one)] for side, where in sides.items()}
    for side, chosen in members.items():
        if not chosen:
            return side, f"got {show(sides[side])}, which is no trial of this job"
        if problem := _unmeasured(measure if side == "group" else other, chosen):
            return "measure" if side == "group" or measure == other else "than_measure", problem
        if measure.kind and (lacking := _unasked(measure.kind, sides[side], evaluations, chosen)):
            key, problem = lacking
            return f"{side}{key}", problem
    others = {id(one) for one in members["than"]}
    shared = [one for one in members["group"] if id(one) in others]
    if shared and measure == other and _same_rows(claim, measure, evaluations):
        both = f"{len(shared)} trial{'s are' if len(shared) > 1 else ' is'} in both groups"
        return "than", f"got {show(claim.than)}, but {both}; name what tells them apart"
    return None


def _unmeasured(measure: Measure, trials: Iterable[TrialSettings]) -> str | None:
    if measure.kind:
        return None
    signals = [column.name for column in TRAINING_METRICS]
    name = f"{measure.column}_at" if measure.column in ENDS else measure.column
    needs = next(column.needs for column in TRIALS if column.name == name)
    for settings in trials:
        if measure.column in signals and measure.column not in settings.measures:
            return f"got {show(measure.column)}, which a trial under {settings.objective.kind} does not have"
        if "codes" in needs and settings.objective.family == "adversarial":
            return f"got {show(measure.column)}, but no trial under {settings.objective.kind} has codes"
        if "samples" in needs and not settings.training.measure_every:
            return f"got {show(measure.column)}, which is measured of samples: set training.measure_every"
        if "classes" in needs and not settings.data.has_classes:
            return f"got {show(measure.column)}, which needs a data set with classes; {settings.data.name} has none"
    return None


def _unasked(
    kind: str, where: Mapping[str, Any], evaluations: Sequence[Evaluation], trials: Collection[TrialSettings]
) -> Problem | None:
    """The key below the side, and what is wrong, where no evaluation has rows for it."""
    if meant({}, kind, evaluations) is None:
        return "", f"needs an evaluation of kind {kind}, which evaluate does not have"
    evaluation = meant(where, kind, evaluations)
    if evaluation is None:
        settings_named = {path: allowed for path, allowed in where.items() if path.startswith(_OWN)}
        return "", f"got {show(settings_named)}, which is no {kind} under evaluate"
    if over := next((settings for settings in trials if evaluation.not_applicable(settings)), None):
        return "", f"trials under {over.objective.kind} have no {kind}"
    for column, allowed in columns_of(where).items():
        there = [evaluation.values_of(column, settings) for settings in trials]
        known = list(dict.fromkeys(value for values in there for value in values or ()))
        if None not in there and not any(allows(allowed, value) for value in known):
            return f".{column}", f"got {show(allowed)}, expected one of {', '.join(show(value) for value in known)}"
    return None


def _same_rows(claim: Claim, measure: Measure, evaluations: Sequence[Evaluation]) -> bool:
    """Whether, within a trial, the rows of one side are among those of the other by what is named alone."""
    if measure.kind is None:
        return True
    if meant(claim.group, measure.kind, evaluations) != meant(claim.than, measure.kind, evaluations):
        return False
    mine, other = columns_of(claim.group), columns_of(claim.than)
    common = set(mine) & set(other)
    if common not in (set(mine), set(other)):
        return False
    return all(any(allows(other[name], value) for value in _listed(mine[name])) for name in common)


def _listed(allowed: Any) -> list[Any]:
    return allowed if isinstance(allowed, list) else [allowed]
