"""The best trial is the first of the table, by FID, else by the measure of the study's first claim."""

from __future__ import annotations

from typing import Any

from orchestrator.report.sections.trials import trial_table
from orchestrator.state.ledger import Status
from orchestrator.study import load_study
from tests.report import claimed

MEASURED = ({"fid": 9.0, "modes": 3}, {"fid": 4.0, "modes": 7}, {"fid": None, "modes": 10}, {"fid": 1.0, "modes": 1})


def table(stored: Any, *claims: dict[str, Any], **same: Any) -> list[tuple[str, tuple[str, ...]]]:
    job = stored(claimed.study(*claims, seeds=2))
    for trial, measured in zip(job.job.trials, MEASURED, strict=True):
        failed = measured["modes"] == 1
        job.end(trial, Status.FAILED if failed else Status.FINISHED, **{**measured, **same})
    first = [row.id.removeprefix("trial-") for row in trial_table(load_study(job.store)).rows]
    named = {row.id.removeprefix("trial-"): row.cells[0].small for row in trial_table(load_study(job.store)).rows}
    order = [trial.id for trial in job.job.trials]
    return [(order.index(one), named[one]) for one in first]


def test_by_fid_of_those_that_ended(stored: Any) -> None:
    assert table(stored) == [(1, ("best FID",)), (0, ()), (2, ()), (3, ())]


def test_by_fid_whatever_is_claimed(stored: Any) -> None:
    assert table(stored, claimed.claim("c", "modes", "higher"))[0] == (1, ("best FID",))


def test_by_the_first_claim(stored: Any) -> None:
    found = table(stored, claimed.claim("c", "modes", "higher"), fid=None)
    assert found == [(2, ("best modes covered",)), (0, ()), (1, ()), (3, ())]


def test_no_trial_is_best_where_all_are_alike(stored: Any) -> None:
    assert table(stored, fid=5.0) == [(place, ()) for place in range(4)]
