"""orch results as LaTeX and Markdown: the rows and columns that it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.spec.job import load_job
from orchestrator.state.files import write_job
from orchestrator.state.ledger import Status, provenance, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.local import LocalStore

CLAIM = "claims: [{id: A_1, says: 50 % & more, measure: d_loss, better: lower, group: {training.d_steps: 3}, than: {training.d_steps: 1}}]\n"  # noqa: E501


@pytest.fixture(autouse=True)
def _four_trials(folder: Path, store: LocalStore) -> None:
    (folder / "job.yaml").write_text((folder / "job.yaml").read_text() + CLAIM)
    job = load_job(folder / "job.yaml")
    write_job(store, job)
    for place, trial in enumerate(job.trials):
        record(store, "study", trial, Status.FINISHED, {"step": 30, "d_loss": place + 0.25}, provenance())


def test_the_trials(orch: Callable[..., Any], folder: Path) -> None:
    assert orch("results", "study", "--latex", "t.tex").code == 0
    lines = (folder / "t.tex").read_text().splitlines()
    assert lines[1] == r"\begin{tabular}{llrrrr}"
    assert lines[3] == r"trial\_id & status & training.d\_steps & training.seed & d\_loss & step \\"
    assert [line.split(" & ", 2)[2] for line in lines[5:9]] == [
        r"1 & 0 & 0.25 & 30 \\", r"1 & 1 & 1.25 & 30 \\", r"3 & 0 & 2.25 & 30 \\", r"3 & 1 & 3.25 & 30 \\",
    ]  # fmt: skip
    lines = orch("results", "study", "--markdown", "-").out.splitlines()
    assert lines[0] == r"| trial\_id | status | training.d\_steps | training.seed | d\_loss | step |"
    assert [line.split(" | ", 2)[2] for line in lines[2:]] == [
        "1 | 0 | 0.25 | 30 |", "1 | 1 | 1.25 | 30 |", "3 | 0 | 2.25 | 30 |", "3 | 1 | 3.25 | 30 |",
    ]  # fmt: skip


def test_claims_and_queries(orch: Callable[..., Any]) -> None:
    claims = orch("results", "study", "--claims", "--latex", "-").out
    assert r"A\_1 & undecided: " in claims
    assert orch("results", "study", "--sql", "select 'a|b' as x_y, 0.123456::double as z", "--markdown", "-").out == (
        "| x\\_y | z |\n| --- | ---: |\n| a\\|b | 0.1235 |\n"
    )


def test_mistakes(orch: Callable[..., Any], folder: Path) -> None:
    line = orch("results", "study", "--latex", "t.tex", "--markdown", "t.md").mistake
    assert line == "--markdown: has no effect with --latex; leave one of them out"
    line = orch("results", "study", "--markdown", "no/t.md").mistake
    assert line == f"--markdown: got 'no/t.md', but there is no folder {folder}/no; make it first"
