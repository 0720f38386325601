"""The ``claims`` of a job file: what a measure of a group of trials is compared with, and what is to come of it.

A claim compares the group with another one (``than``) or with a constant (``than_value``). It says which of them is
better, or that they differ by less than a bound (``within``). With ``each`` it is about every value of a setting apart:
see ``members_of``. ``spec.claim_checks`` tells which claims are well-formed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator.evaluations import KINDS
from orchestrator.settings import Settings
from orchestrator.spec.messages import show
from orchestrator.store.columns import TRIALS, Column

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.evaluations import Evaluation
    from orchestrator.training.settings import TrialSettings

ENDS = ("saturated", "collapsed", "diverged")
"""Measures that are yes or no: whether ``<end>_at`` of trials/ has a step."""

OWN = "evaluation."
"""Before the settings of an evaluation."""
PLAIN = {column.name: column for column in TRIALS if column.claimable}
"""Columns of trials/ that are measures."""
_OF_DISTRIBUTIONS = ("quality",)
"""Kinds of which a row is of a whole distribution; of others many rows are averaged, which rounds nothing."""


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
            if not (_is_value(one) or (isinstance(one, list) and one and all(map(_is_value, one)))):
                raise ValueError(f"{path}: got {show(one)}, expected text, a finite number, true, false or null")
    return {path: list(value) if isinstance(value, list | tuple) else value for path, value in raw.items()}


def _is_value(one: Any) -> bool:
    return isinstance(one, str | int | float | None) and not (isinstance(one, float) and not math.isfinite(one))


def _each(raw: Any) -> Any:
    """One path with a list of at least two distinct values."""
    expected = "expected one setting with a list of two values or more"
    if not isinstance(raw, Mapping) or len(raw) != 1:
        raise ValueError(f"got {show(raw)}, {expected}")
    ((path, values),) = raw.items()
    if not isinstance(values, list | tuple) or len(values) < 2:
        raise ValueError(f"{path}: got {show(values)}, {expected}; a claim about one value names it in group or than")
    if len(values) > MOST_MEMBERS:
        raise ValueError(f"{path}: got {len(values)} values, expected at most {MOST_MEMBERS}")
    for place, value in enumerate(values):
        if allows(list(values[:place]), value):
            raise ValueError(f"{path}: got {show(value)} twice; take one out")
    return _where(raw)


def _given(raw: Any) -> Any:
    """A key that is written has a value: ``within:`` alone is a mistake, not the same as no ``within``."""
    if raw is None:
        raise ValueError("got null, expected a value; give one or take the key out")
    return raw


MOST_MEMBERS = 50
"""Values of ``each``."""
Where = Annotated[dict[str, Any], BeforeValidator(_where)]


class Claim(Settings):
    """One entry of a job file's ``claims``; it is no part of a trial's id."""

    id: Annotated[str, AfterValidator(_known_by)]
    """the name that the report and scripts know it by"""
    says: str = Field(min_length=1, max_length=300)
    """the claim as a sentence"""
    source: Annotated[str | None, BeforeValidator(_given)] = Field(None, min_length=1, max_length=600)
    """the sentence of the source that the claim tests, quoted in the report"""
    measure: str
    """a measured column of trials/, one of ENDS, or ``<kind>.<column>`` of an evaluation"""
    unit: Annotated[str | None, BeforeValidator(_given)] = None
    """the unit of than_value, by and within, which must be that of the measure; needed with than_value"""
    better: Literal["lower", "higher"] | None = None
    """which values of the measure are the better ones; needed unless ``within`` is there"""
    group: Where
    """settings of the trials, and columns of an evaluation's rows, that are claimed to be better"""
    than: Where | None = None
    """settings and columns of those they are compared with"""
    than_value: Annotated[float | None, BeforeValidator(_given)] = None
    """instead of ``than`` a constant that the group is compared with; a share in [0, 1] of a yes or no"""
    each: Annotated[dict[str, list[Any]] | None, BeforeValidator(_each)] = None
    """a setting with values: the claim is about each of them, on the sides that do not name the setting"""
    by: float | None = Field(None, ge=0.0)
    """the difference, in the measure's unit, that has to be exceeded; unset is 0"""
    factor: float | None = Field(None, ge=1.0)
    """instead of a difference, how many times as good"""
    within: Annotated[float | None, BeforeValidator(_given)] = Field(None, gt=0.0)
    """instead of ``better``: the difference that both stay within, in the measure's unit"""
    than_measure: str | None = None
    """the measure of ``than``, where it is another one than ``measure``"""


def sides_of(claim: Claim) -> dict[str, dict[str, Any]]:
    """``group``, and ``than`` unless the claim compares with a constant."""
    return {"group": claim.group} | ({} if claim.than is None else {"than": claim.than})


def sides_of_each(claim: Claim) -> list[str]:
    """The sides that take the values of ``each``: those that do not name its setting."""
    (path,) = claim.each or {}
    return [side for side, where in sides_of(claim).items() if path not in where]


def members_of(claim: Claim) -> list[Claim]:
    """The claim itself, or one for each value of ``each``, which is added to the sides that do not name its setting.

    A claim with ``each`` holds where all of its members hold.
    """
    if claim.each is None:
        return [claim]
    ((path, values),) = claim.each.items()
    sides = {side: where for side, where in sides_of(claim).items() if side in sides_of_each(claim)}
    return [
        claim.model_copy(update={"each": None, **{side: {**where, path: one} for side, where in sides.items()}})
        for one in ([value] if isinstance(value, list) else value for value in values)
    ]


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
        known = numbers(KINDS[kind].columns) if kind in KINDS else {}
        return _measure(known[column], kind) if column in known else None
    return _measure(PLAIN[name], None) if name in PLAIN else None


def _measure(column: Column, kind: str | None) -> Measure:
    # Trials end with an epoch: what stops them early is measured once in several.
    whole = (column.dtype == pa.int64() and (kind is None or kind in _OF_DISTRIBUTIONS)) or column.name == "epoch"
    return Measure(column.name, Scale.WHOLE if whole else Scale.NUMBER, column.unit, kind)


def numbers(columns: Iterable[Column]) -> dict[str, Column]:
    """The columns of numbers, by name."""
    return {column.name: column for column in columns if column.dtype in (pa.int64(), pa.float64())}


def selects(where: Mapping[str, Any], settings: TrialSettings) -> bool:
    """Whether a trial of these settings is in the group, as far as its own settings tell."""
    return all(allows(allowed, _value(settings, path)) for path, allowed in where.items() if is_of_trial(path))


def meant(where: Mapping[str, Any], kind: str, evaluations: Iterable[Evaluation]) -> Evaluation | None:
    """The first evaluation of a kind whose settings ``where`` allows: what is added behind it changes no verdict."""
    settings = {path.removeprefix(OWN): allowed for path, allowed in where.items() if path.startswith(OWN)}
    of_kind = (one for one in evaluations if one.kind == kind)
    return next(
        (one for one in of_kind if all(allows(allowed, _value(one, path)) for path, allowed in settings.items())), None
    )


def columns_of(where: Mapping[str, Any]) -> dict[str, Any]:
    """What ``where`` asks of an evaluation's rows beyond their trials and settings."""
    return {name: allowed for name, allowed in where.items() if "." not in name}


def alternatives_of(allowed: Any) -> list[Any]:
    """The values that a claim allows where it names one or a list of them."""
    return allowed if isinstance(allowed, list) else [allowed]


def allows(allowed: Any, value: Any) -> bool:
    """Whether a value is the allowed one or among those allowed; true is no 1. That of a list is a list among them."""
    value = list(value) if isinstance(value, tuple) else value
    return any(one == value and isinstance(one, bool) == isinstance(value, bool) for one in alternatives_of(allowed))


def is_of_trial(path: str) -> bool:
    """Whether a path of a group is a setting of trials, not of an evaluation nor a column of its rows."""
    return "." in path and not path.startswith(OWN)


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
