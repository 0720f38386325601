"""The rows of one evaluation as a claim counts them: whole ones only, and by settings where a version has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.report.verdicts import LARGEST
from orchestrator.spec.claims import alternatives_of
from orchestrator.spec.recorded import evaluation_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.evaluations import Evaluation
    from orchestrator.spec.claims import Measure
    from orchestrator.spec.job import Trial


@dataclass(frozen=True)
class EvaluationRows:
    """Rows of the trials that have all parts of an evaluation; ``incomplete`` trials have only some."""

    rows: pa.Table
    incomplete: int = 0
    notices: tuple[str, ...] = ()

    def means(self, measure: Measure, columns: Mapping[str, Any]) -> dict[str, float]:
        """The mean of each trial's rows with these values in ``columns``, by trial id; a null is no value."""
        rows = self.rows
        for name, allowed in columns.items():
            if name not in rows.column_names:
                return {}
            column = rows[name]
            known = pa.array(alternatives_of(allowed), column.type)
            rows = rows.filter(pc.is_in(column, known))
        if measure.column not in rows.column_names:
            return {}
        means = rows.group_by("trial_id").aggregate([(measure.column, "mean")]).to_pylist()
        by_trial = {row["trial_id"]: row[f"{measure.column}_mean"] for row in means}
        return {trial: float(mean) for trial, mean in by_trial.items() if mean is not None and abs(mean) < LARGEST}


def rows_of(table: pa.Table, evaluation: Evaluation, trials: Sequence[Trial]) -> EvaluationRows:
    """The rows of an evaluation among those of its kind.

    A part left out is no sample of the others: a shard may be all that there is of a corruption. A trial that has no
    row of the present version of the evaluation counts by those that an earlier one computed by the same settings.
    """
    if not table.num_rows:  # nor any column, where there is no file
        return EvaluationRows(table)
    present = table.filter(pc.equal(table["evaluation_id"], evaluation.id))
    earlier = _earlier(table, evaluation, set(present["trial_id"].to_pylist()), trials)
    rows = pa.concat_tables([present, earlier])
    there: dict[str, set[int]] = {}
    for part in rows.group_by(["trial_id", "shard"]).aggregate([]).to_pylist():
        there.setdefault(part["trial_id"], set()).add(part["shard"])
    begun = [trial for trial in trials if trial.id in there]
    whole = [trial.id for trial in begun if there[trial.id].issuperset(range(evaluation.shards(trial.settings)))]
    complete = rows.filter(pc.is_in(rows["trial_id"], pa.array(whole, pa.string())))
    notice = f"Results of {evaluation.kind} of an earlier version, which 'orch evaluate' computes anew."
    return EvaluationRows(complete, len(begun) - len(whole), (notice,) if earlier.num_rows else ())


def _earlier(table: pa.Table, evaluation: Evaluation, without: set[str], trials: Sequence[Trial]) -> pa.Table:
    """Rows of the trials of a job but some, of the last evaluation of each by these settings."""
    wanted = [trial.id for trial in trials if trial.id not in without]
    table = table.filter(pc.is_in(table["trial_id"], pa.array(wanted, pa.string())))
    same = [one for one in table["evaluation_id"].unique().to_pylist() if _has_settings(table, one, evaluation)]
    table = table.filter(pc.is_in(table["evaluation_id"], pa.array(same, pa.string())))
    ends = table.group_by(["trial_id", "evaluation_id"]).aggregate([("evaluated_at", "max")]).to_pylist()
    ends.sort(key=lambda end: str(end["evaluated_at_max"]))
    last = {end["trial_id"]: end["evaluation_id"] for end in ends}
    kept = [
        last[trial] == one
        for trial, one in zip(table["trial_id"].to_pylist(), table["evaluation_id"].to_pylist(), strict=True)
    ]
    return table.filter(pa.array(kept, pa.bool_()))


def _has_settings(table: pa.Table, evaluation_id: str, evaluation: Evaluation) -> bool:
    (first,) = table.filter(pc.equal(table["evaluation_id"], evaluation_id)).slice(0, 1).to_pylist()
    settings = evaluation_of(type(evaluation), first)
    return settings is not None and settings.id == evaluation.id
