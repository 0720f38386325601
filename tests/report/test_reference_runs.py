"""The committed runs, some of earlier versions, keep the verdicts of their reports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.report.claims import counted, judge_job
from orchestrator.state.files import read_job
from orchestrator.store.local import LocalStore
from orchestrator.study import load_study

RESULTS = Path(__file__).parents[2] / "results"
RUNS = sorted(path.parent.name for path in RESULTS.glob("*/job.yaml"))
_VERDICTS = re.compile(r"\d+ (?:supported|refuted|undecided)(?:, \d+ \w+)*")


@pytest.mark.parametrize("name", RUNS)
def test_a_reference_run_keeps_its_verdicts(name: str) -> None:
    store = LocalStore(RESULTS / name)
    page = store.read("report/index.html").decode()
    found = judge_job(store, read_job(store)).verdicts
    printed = _VERDICTS.search(page)
    assert counted(found) == (printed[0] if printed else "")


def test_the_entry_of_the_grid_is_known_of_trials_of_an_earlier_version() -> None:
    study = load_study(LocalStore(RESULTS / "fish_relativistic"))
    assert study.job is not None
    assert set(study.trials["trial_id"]) <= set(study.planned)
    assert study.levels("grid.case") == ["ralsgan", "rasgan", "rsgan", "ralsgan lr=0.002"]
