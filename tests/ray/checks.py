"""What must hold of a job's storage whatever happened on the way."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from orchestrator.store.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store


def logged_steps(trial: Trial) -> list[int]:
    """The steps that a whole run of the trial logs: every ``log_every`` and the last."""
    every, total = trial.settings.training.log_every, trial.settings.total_steps
    return sorted({*range(every, total + 1, every), total})


def assert_exactly_once(store: Store, trials: Iterable[Trial]) -> list[dict[str, Any]]:
    """Each trial has one row, finished, and each of its logged steps once, in order; returns the rows."""
    trials = list(trials)
    rows = read_table(store, "trials").table.to_pylist()
    assert sorted(row["trial_id"] for row in rows) == sorted(trial.id for trial in trials)
    assert {row["status"] for row in rows} == {"finished"}
    metrics = sorted(read_table(store, "metrics").table.to_pylist(), key=lambda row: (row["trial_id"], row["step"]))
    found = {key: [row["step"] for row in group] for key, group in itertools.groupby(metrics, lambda r: r["trial_id"])}
    assert found == {trial.id: logged_steps(trial) for trial in trials}
    return rows
