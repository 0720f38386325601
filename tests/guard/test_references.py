"""``make references``: its runs are jobs that can be planned, and its table says what the results say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import references
from benchmarks.references import RUNS, Run, figure, kept_mb, readme, table
from orchestrator.spec.job import load_job

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.job)
def test_each_run_is_a_job_of_several_seeds(run: Run) -> None:
    job = load_job(references.ROOT / "jobs" / f"{run.job}.yaml", list(run.changes))
    assert job.header.name == run.job
    assert job.header.storage == "results"
    assert len({trial.settings.training.seed for trial in job.trials}) >= 3


CLAIM: dict[str, Any] = {
    "claim": "A1",
    "source": "It | saturates.",
    "says": "other words",
    "verdict": "undecided",
    "undecided": "too few seeds",
    "effect": "difference",
    "estimate": -0.51234,
    "low": -1.0,
    "high": 0.25,
    "claimed": "below",
    "bound": 0.0,
    "group_seeds": 3,
    "than_seeds": 2,
}


def test_a_row_has_the_sources_sentence_verdict_interval_and_seeds() -> None:
    _, _, first, second, _ = table([CLAIM, CLAIM | {"source": None, "estimate": None, "than_seeds": None}])
    assert first.startswith("| A1 | “It \\| saturates.” | undecided: too few seeds | difference -0.512 (-1 to 0.25), ")
    assert first.endswith(", claimed below 0 | 3 and 2 |")
    assert second == "| A1 | other words | undecided: too few seeds |  | 3 |"
    assert figure(CLAIM | {"bound": 12345.678}).endswith("claimed below 12300")


def test_checkpoints_and_logs_do_not_count(tmp_path: Path) -> None:
    for name, size in (("checkpoints/a.pt", 9_000_000), ("lease/1.json", 10), ("trials/a.parquet", 1_500_000)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(bytes(size))
    assert kept_mb(tmp_path) == pytest.approx(1.5)


def test_the_table_is_what_the_results_say() -> None:
    assert (references.RESULTS / "README.md").read_text(encoding="utf-8") == readme()
