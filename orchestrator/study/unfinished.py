"""Rows of trials that have begun and not ended, in the form of those that have: for who watches a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from orchestrator.spec.columns import declared
from orchestrator.spec.identity import SPEC_VERSION, flatten

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.spec.job import Job


RUNNING, INTERRUPTED = UNFINISHED = "running", "interrupted"
"""Statuses of trials that have begun and not ended: those that a run is at work on, and those that none is."""


def with_unfinished(rows: pa.Table, metrics: pd.DataFrame, job: Job, status: str) -> pa.Table:
    """``rows`` of trials/, and one of this status for each trial of the job that has none but has logged steps.

    ``metrics`` has the logged rows by trial and step. The new rows have settings and position, and no measures: these
    are means over a last epoch, which is not over.
    """
    ended = set(rows["trial_id"].to_pylist()) if "trial_id" in rows.column_names else set()
    last = {row["trial_id"]: row for row in metrics[["trial_id", "step", "epoch"]].to_dict("records")}
    found = [
        {
            "trial_id": trial.id,
            "job": job.header.name,
            "status": status,
            "spec_version": SPEC_VERSION,
            "step": int(last[trial.id]["step"]),
            "epoch": float(last[trial.id]["epoch"]),
            **flatten(trial.settings.model_dump()),
        }
        for trial in job.trials
        if trial.id in last and trial.id not in ended
    ]
    if not found:
        return rows
    new = pa.Table.from_pylist(found, schema=declared("trials"))
    return pa.concat_tables([rows, new], promote_options="permissive")
