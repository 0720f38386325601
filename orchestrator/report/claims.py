"""The claims of a job with what its results say of each."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from orchestrator import text
from orchestrator.errors import SettingsError
from orchestrator.evaluations.evaluation import FOLDER
from orchestrator.report.evaluated import EvaluationRows, rows_of
from orchestrator.report.verdicts import LARGEST, Judgement, Word, judge
from orchestrator.spec.claims import ENDS, Claim, Measure, columns_of, meant, measures_of, selects
from orchestrator.spec.columns import declared
from orchestrator.state.files import read_job
from orchestrator.state.stored import notice_of, stored_job
from orchestrator.store.columns import Column
from orchestrator.store.tables import left_out_notice, read_table
from orchestrator.study import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.spec.job import Job, Trial
    from orchestrator.store.location import Store

_Values = dict[str, float]
"""Finite values by trial id."""


@dataclass(frozen=True)
class Seed:
    """One seed of a group: its trials, and the mean of their values; None unless each of them has one.

    Where both groups are of the same trials it is None too unless the other group has a value of the seed.
    """

    seed: int
    trials: tuple[str, ...]
    value: float | None


@dataclass(frozen=True)
class Side:
    """One group of a claim: what it is told by, and its seeds in ascending order."""

    words: str
    seeds: tuple[Seed, ...]

    @property
    def known(self) -> dict[int, float]:
        """Values by seed, as far as there are any."""
        return {one.seed: one.value for one in self.seeds if one.value is not None}

    @property
    def mean(self) -> float | None:
        """The mean over seeds."""
        values = self.known.values()
        return math.fsum(values) / len(values) if values else None

    @property
    def missing(self) -> int:
        """Seeds without a value: a trial that has not ended, failed, is evaluated in part or has no finite measure."""
        return len(self.seeds) - len(self.known)


@dataclass(frozen=True)
class Verdict:
    """A claim, its two groups, and the judgement; ``measure`` is that of ``group``."""

    claim: Claim
    measure: Measure
    group: Side
    than: Side
    judgement: Judgement

    @property
    def compared(self) -> str:
        """What is compared: one measure, or that of each group."""
        other = self.claim.than_measure
        return f"{self.claim.measure} against {other}" if other else self.claim.measure

    @property
    def ratio(self) -> bool:
        """Whether the claim is of a ratio."""
        return self.claim.factor is not None


@dataclass(frozen=True)
class Claims:
    """What a report says of a job's claims, and what its reader has to know of them."""

    verdicts: tuple[Verdict, ...] = ()
    notices: tuple[str, ...] = ()


def judge_claims(store: Store, raw: Mapping[str, Any], job: Job | None = None) -> Claims:
    """The claims of the ``raw`` job in storage, or of ``job``; a job that cannot be read as one is a notice.

    Raises StorageError.
    """
    if not raw.get("claims"):
        return Claims()
    try:
        job = job or read_job(store)
    except SettingsError as error:
        return Claims(notices=(f"The claims cannot be judged: {error}.",))
    return judge_job(store, job)


def judge_job(store: Store, job: Job) -> Claims:
    """What the results below ``store`` say of each claim; only trials of this job count. Raises StorageError.

    A trial that has no row of the present spec version is judged by that of an earlier one, which a notice tells.
    """
    stored = stored_job(job, store)
    job = stored.job
    measures = [measure for claim in job.header.claims for measure in measures_of(claim)]
    columns = sorted({_column(measure) for measure in measures if not measure.kind})
    trials = read_table(store, "trials", ["trial_id", "status", *columns], declared("trials")) if columns else None
    kinds = sorted({measure.kind for measure in measures if measure.kind})
    rows = {kind: read_table(store, f"{FOLDER}/{kind}", schema=declared(f"{FOLDER}/{kind}")) for kind in kinds}
    readings = [*([] if trials is None else [trials]), *rows.values()]
    sorted_out: dict[str, EvaluationRows] = {}

    def values_of(measure: Measure, where: Mapping[str, Any]) -> _Values:
        if measure.kind is None:
            assert trials is not None
            return _trained(trials.table, measure)
        evaluation = meant(where, measure.kind, job.header.evaluate)
        assert evaluation is not None, where
        if evaluation.id not in sorted_out:
            sorted_out[evaluation.id] = rows_of(rows[measure.kind].table, evaluation, job.trials)
        return sorted_out[evaluation.id].means(measure, columns_of(where))

    verdicts = [_verdict(claim, job, values_of) for claim in job.header.claims]
    incomplete = sum(one.incomplete for one in sorted_out.values())
    notices = [_of_incomplete(incomplete, job.header.name)] if incomplete else []
    notices += [notice for reading in readings if (notice := left_out_notice(reading.left_out))]
    notices += [notice for one in sorted_out.values() for notice in one.notices]
    return Claims(tuple(verdicts), (*notices, *notice_of(stored.versions.values())))


def _of_incomplete(count: int, name: str) -> str:
    are = "evaluation is incomplete and counts" if count == 1 else "evaluations are incomplete and count"
    return f"{count} {are} as missing in the claims; 'orch evaluate {name}' computes the rest."


def _verdict(claim: Claim, job: Job, values_of: Callable[[Measure, Mapping[str, Any]], _Values]) -> Verdict:
    measures = measures_of(claim)
    names = text.short_names(dict.fromkeys([*claim.group, *claim.than]))
    sides = [
        Side(_words(where, names), _seeds(where, job.trials, values_of(measure, where)))
        for where, measure in zip((claim.group, claim.than), measures, strict=True)
    ]
    group, than = sides
    if paired := [one.trials for one in group.seeds] == [one.trials for one in than.seeds]:
        group, than = _pairs(group, than)
    values, others = (list(side.known.values()) for side in (group, than))
    by, factor = claim.by or 0.0, claim.factor
    judgement = judge(values, others, measures[0].scale, claim.better, paired=paired, by=by, factor=factor)
    return Verdict(claim, measures[0], group, than, judgement)


def _pairs(group: Side, than: Side) -> tuple[Side, Side]:
    """Two sides of the same trials with the values of those seeds alone that have one on both: a pair takes two."""
    whole = group.known.keys() & than.known.keys()
    of_pairs = [
        tuple(one if one.seed in whole else replace(one, value=None) for one in side.seeds) for side in (group, than)
    ]
    return replace(group, seeds=of_pairs[0]), replace(than, seeds=of_pairs[1])


def _words(where: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """``objective = saturating, d_steps = 2 or 3``."""
    words = []
    for path, allowed in where.items():
        values = [text.setting(value) for value in (allowed if isinstance(allowed, list) else [allowed])]
        words.append(f"{names[path]} = {' or '.join(values)}")
    return ", ".join(words) or "all"


def _seeds(where: Mapping[str, Any], trials: Sequence[Trial], values: _Values) -> tuple[Seed, ...]:
    by_seed: dict[int, list[str]] = {}
    for trial in trials:
        if selects(where, trial.settings):
            by_seed.setdefault(trial.settings.training.seed, []).append(trial.id)
    return tuple(
        Seed(seed, tuple(ids), _mean([values.get(one) for one in ids])) for seed, ids in sorted(by_seed.items())
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


def _column(measure: Measure) -> str:
    return f"{measure.column}_at" if measure.column in ENDS else measure.column


def _trained(trials: pa.Table, measure: Measure) -> _Values:
    """The measure of each trial that ended as it was told to; yes or no as 1 or 0."""
    values = {}
    for row in trials.to_pylist():
        value = row[_column(measure)]
        if row["status"] not in ENDED:
            continue
        if measure.column in ENDS:
            values[row["trial_id"]] = float(value is not None)
        elif value is not None and abs(value) < LARGEST:
            values[row["trial_id"]] = float(value)
    return values


_STRING, _FLOAT = pa.string(), pa.float64()
COLUMNS = (
    Column("claim", _STRING, "", "the claim's id in the job file"),
    Column("verdict", _STRING, "", "supported, refuted or undecided"),
    Column("why", _STRING, "", "what the verdict rests on"),
    Column("says", _STRING, "", "the claim as a sentence"),
    Column("measure", _STRING, "", "what is compared"),
    Column("than_measure", _STRING, "", "what it is compared with, where that is another measure"),
    Column("effect", _STRING, "", "difference (group - than) or ratio (group / than)"),
    Column("estimate", _FLOAT, "", "the effect"),
    Column("low", _FLOAT, "", "lower end of its 95 % interval"),
    Column("high", _FLOAT, "", "upper end of it"),
    Column("claimed", _STRING, "", "below or above, as the claim has it"),
    Column("bound", _FLOAT, "", "what the effect is claimed to be below or above"),
    Column("method", _STRING, "", "how the interval was found"),
    Column("group", _STRING, "", "what is claimed to be better, as JSON"),
    Column("group_mean", _FLOAT, "", "mean of the measure over seeds"),
    Column("group_seeds", pa.int64(), "", "seeds with a value"),
    Column("than", _STRING, "", "what it is compared with, as JSON"),
    Column("than_mean", _FLOAT, "", "mean of the measure over seeds"),
    Column("than_seeds", pa.int64(), "", "seeds with a value"),
)
"""The columns of ``claims_table``."""


def claims_table(verdicts: Sequence[Verdict]) -> pa.Table:
    """One row a claim, for scripts."""
    schema = pa.schema([pa.field(column.name, column.dtype) for column in COLUMNS])
    return pa.Table.from_pylist([_row(verdict) for verdict in verdicts], schema)


def _row(verdict: Verdict) -> dict[str, Any]:
    claim, judgement, effect = verdict.claim, verdict.judgement, verdict.judgement.effect
    return {
        "claim": claim.id,
        "verdict": str(judgement.word),
        "why": judgement.why,
        "says": claim.says,
        "measure": claim.measure,
        "than_measure": claim.than_measure,
        "effect": "ratio" if verdict.ratio else "difference",
        "estimate": effect and effect.estimate,
        "low": effect and effect.low,
        "high": effect and effect.high,
        "claimed": direction(claim),
        "bound": judgement.bound,
        "method": effect and effect.method,
        "group": json.dumps(claim.group),
        "group_mean": verdict.group.mean,
        "group_seeds": len(verdict.group.known),
        "than": json.dumps(claim.than),
        "than_mean": verdict.than.mean,
        "than_seeds": len(verdict.than.known),
    }


def direction(claim: Claim) -> str:
    """On which side of the bound the claim puts its effect."""
    return "above" if claim.better == "higher" else "below"


def counted(verdicts: Sequence[Verdict]) -> str:
    """``2 supported, 1 undecided``."""
    words = [verdict.judgement.word for verdict in verdicts]
    return ", ".join(f"{words.count(word)} {word}" for word in Word if word in words)
