"""The values that a job's claims compare: one a seed and side, from trials/ and evaluations/ in storage."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from orchestrator import text
from orchestrator.evaluations.evaluation import FOLDER
from orchestrator.report.evaluated import EvaluationRows, rows_of
from orchestrator.report.verdicts import LARGEST, judge
from orchestrator.spec.claims import (
    ENDS,
    Claim,
    Measure,
    alternatives_of,
    columns_of,
    meant,
    measures_of,
    members_of,
    selects,
    sides_of,
    sides_of_each,
)
from orchestrator.spec.columns import declared
from orchestrator.spec.identity import flatten
from orchestrator.state.ledger import ENDED
from orchestrator.state.stored import notice_of, stored_job
from orchestrator.store.tables import Reading, left_out_notice, read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from orchestrator.report.verdicts import Judgement
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
class Compared:
    """A claim without ``each``, the values of its sides, and whether they are pairs; a constant has no side ``than``.

    ``measure`` is that of ``group``; ``value`` is what the member of a claim about each value is told by.
    """

    claim: Claim
    measure: Measure
    group: Side
    than: Side | None
    paired: bool
    value: str = ""

    def judge(self) -> Judgement:
        """The judgement on the values that are known."""
        claim = self.claim
        group = list(self.group.known.values())
        than = list(self.than.known.values()) if self.than else claim.than_value
        assert than is not None, claim
        by, factor = claim.by or 0.0, claim.factor
        return judge(
            group, than, self.measure.scale, claim.better, paired=self.paired, by=by, factor=factor, within=claim.within
        )


@dataclass
class ClaimValues:
    """Everything in storage that the claims of a job are about; ``job`` has the ids of its trials' rows."""

    job: Job
    trials: Reading | None
    rows: dict[str, Reading]
    versions: tuple[int, ...]
    _sorted_out: dict[str, EvaluationRows] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store, job: Job) -> ClaimValues:
        """Read the columns of all measures. Raises StorageError."""
        stored = stored_job(job, store)
        measures = [measure for claim in job.header.claims for measure in measures_of(claim)]
        columns = sorted({_column(measure) for measure in measures if not measure.kind})
        trials = read_table(store, "trials", ["trial_id", "status", *columns], declared("trials")) if columns else None
        kinds = sorted({measure.kind for measure in measures if measure.kind})
        rows = {kind: read_table(store, f"{FOLDER}/{kind}", schema=declared(f"{FOLDER}/{kind}")) for kind in kinds}
        return cls(stored.job, trials, rows, tuple(stored.versions.values()))

    def of(self, measure: Measure, where: Mapping[str, Any]) -> _Values:
        """The measure of each trial, for rows of an evaluation with what ``where`` asks of these."""
        if measure.kind is None:
            assert self.trials is not None
            return _trained(self.trials.table, measure)
        evaluation = meant(where, measure.kind, self.job.header.evaluate)
        assert evaluation is not None, where
        if evaluation.id not in self._sorted_out:
            self._sorted_out[evaluation.id] = rows_of(self.rows[measure.kind].table, evaluation, self.job.trials)
        return self._sorted_out[evaluation.id].means(measure, columns_of(where))

    def compared(self, claim: Claim) -> list[Compared]:
        """The claim with the values of its sides; one for each value of ``each``."""
        return [self._compared(member, claim) for member in members_of(claim)]

    def _compared(self, member: Claim, claim: Claim) -> Compared:
        measures = measures_of(member)
        names = text.short_names(dict.fromkeys(path for where in sides_of(member).values() for path in where))
        group, *others = (
            Side(words_of(where, names), _seeds(where, self.job.trials, self.of(measure, where)))
            for where, measure in zip(sides_of(member).values(), measures, strict=False)
        )
        than = others[0] if others else None
        paired = than is not None and [one.trials for one in group.seeds] == [one.trials for one in than.seeds]
        if than is not None and paired:
            group, than = _pairs(group, than)
        value = ""
        if claim.each is not None:
            ((path, _),) = claim.each.items()
            varied, *_ = sides_of_each(claim)  # another side may name the setting for itself
            (one,) = alternatives_of(sides_of(member)[varied][path])
            value = text.setting(one)
        return Compared(member, measures[0], group, than, paired, value)

    def by_cell(self, measure: Measure, where: Mapping[str, Any]) -> list[list[float]]:
        """Values of all trials of the job, those of equal settings but the seed together."""
        values, cells = self.of(measure, where), dict[str, list[float]]()
        for trial in self.job.trials:
            if trial.id in values:
                settings = {**flatten(trial.settings.model_dump(mode="json")), text.SEED: None}
                cells.setdefault(str(settings), []).append(values[trial.id])
        return list(cells.values())

    def notices(self) -> Iterator[str]:
        """What a reader of the verdicts has to know; of evaluations only once their values were asked for."""
        incomplete = sum(one.incomplete for one in self._sorted_out.values())
        if incomplete:
            are = "evaluation is incomplete and counts" if incomplete == 1 else "evaluations are incomplete and count"
            name = self.job.header.name
            yield f"{incomplete} {are} as missing in the claims; 'orch evaluate {name}' computes the rest."
        for reading in [*([] if self.trials is None else [self.trials]), *self.rows.values()]:
            if notice := left_out_notice(reading.left_out):
                yield notice
        for one in self._sorted_out.values():
            yield from one.notices
        yield from notice_of(self.versions)


def _pairs(group: Side, than: Side) -> tuple[Side, Side]:
    """Two sides of the same trials with the values of those seeds alone that have one on both: a pair takes two."""
    whole = group.known.keys() & than.known.keys()
    of_pairs = [
        tuple(one if one.seed in whole else replace(one, value=None) for one in side.seeds) for side in (group, than)
    ]
    return replace(group, seeds=of_pairs[0]), replace(than, seeds=of_pairs[1])


def words_of(where: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """``objective = saturating, d_steps = 2 or 3``."""
    words = []
    for path, allowed in where.items():
        values = [text.setting(value) for value in alternatives_of(allowed)]
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
