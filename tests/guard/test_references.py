"""``make references``: its runs are jobs that can be planned, and its tables say what the results say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from benchmarks import references
from benchmarks.references import LARGEST_MB, RESULTS, RUNS, Run, kept_mb, lighten, paragraphs, readme, refuted, table
from orchestrator.report.claims import judge_job
from orchestrator.report.verdicts import BEYOND, Judgement, Undecided, Word
from orchestrator.spec.job import load_job
from orchestrator.state.files import read_job
from orchestrator.store.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.report.claims import Verdict


def judged(run: str) -> tuple[Verdict, ...]:
    store = LocalStore(RESULTS / run)
    return judge_job(store, read_job(store)).verdicts


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.job)
def test_each_run_is_a_job_of_several_seeds(run: Run) -> None:
    """None of its claims is left out by what is changed in it; a trial leaves one sheet of samples, that of its end."""
    job = load_job(references.ROOT / "jobs" / f"{run.job}.yaml", list(run.changes))
    assert job.header.name == run.job
    assert job.header.storage == "results"
    assert job.left_out == ()
    assert all(one.settings.training.samples_every >= one.settings.training.epochs for one in job.trials)
    assert len({trial.settings.training.seed for trial in job.trials}) >= 3


def test_a_row_has_the_sentences_verdict_interval_and_seeds() -> None:
    """Written as the report writes them."""
    found = {one.claim.id: one for one in judged("saturation_sweep")}
    first, last = table([found["A1-saturates"], found["A1-best"]])[2:4]
    assert first == (
        "| A1-saturates | With more than one discriminator update a step the saturating loss saturates, and the "
        "non-saturating one does not. *“Saturating (minimax) BCE saturates as soon as D takes more than one step.”* "
        "| `saturated` (share of seeds) | **supported** | -1 (-1 to -0.3477) | below 0 | 5 and 5 | stands, p < 0.001 |"
    )
    assert last.endswith("| 5 and 5 | stands, p = 0.04 |")  # of the objective with the least support


def test_what_is_undecided_says_how_long_it_would_take() -> None:
    """Seeds a side, and the time that so many of the claim's trials train."""
    side = SimpleNamespace(known={0: 1.0, 1: 2.0}, seeds=[SimpleNamespace(seed=s, trials=(f"t{s}",)) for s in (0, 1)])

    def undecided(needed: int | None, kind: Undecided | None = Undecided.TOO_FEW_SEEDS) -> SimpleNamespace:
        judgement = Judgement(Word.UNDECIDED, None, 0.0, "nothing was measured", kind, needed)
        one = SimpleNamespace(claim=SimpleNamespace(id="A"), judgement=judgement, group=side, than=None, members=())
        return SimpleNamespace(**vars(one), shown=one)

    claims = [undecided(10), undecided(BEYOND), undecided(None, None), undecided(None, Undecided.NO_DIFFERENCE)]
    rows = references.unsettled_rows(claims, {"t0": 50.0, "t1": 70.0, "other": 9e9})  # type: ignore[arg-type]
    assert rows == [
        ("A", "2", "about 10", "10 min 00 s"),
        ("A", "2", "no number: the seeds show no effect at all", ""),
        ("A", "2", "nothing was measured", ""),
    ]


def test_each_refuted_claim_has_a_paragraph_and_no_other() -> None:
    names = [run.job for run in RUNS]
    found = {run: [one.claim.id for one in judged(run) if one.judgement.word is Word.REFUTED] for run in names}
    assert {run: ids for run, ids in found.items() if ids} == {run: list(why) for run, why in refuted().items()}
    told = paragraphs(judged("families"), {"E6-reconstruction": "It   is\nnot so.", "E5-ways": "It is."})
    assert told == ["**E6-reconstruction is refuted.** It is not so.", ""]


def test_checkpoints_and_logs_do_not_count(tmp_path: Path) -> None:
    for name, size in (("checkpoints/a.pt", 9_000_000), ("lease/1.json", 10), ("trials/a.parquet", 1_500_000)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(bytes(size))
    assert kept_mb(tmp_path) == pytest.approx(1.5)


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3)])
def test_sheets_take_a_fraction_and_look_alike(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """By less than a half of a level of grey, or by little of a palette; a second time changes nothing."""
    blocks = np.random.default_rng(0).integers(0, 256, (4, 6, *shape[2:]), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    noise = np.random.default_rng(1).integers(-8, 9, shape)
    pixels = (blocks.astype(int) + noise).clip(0, 255).astype(np.uint8)
    path = tmp_path / "samples" / "trial" / "epoch-0001.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(path, optimize=True)
    before = path.stat().st_size
    lighten(tmp_path)
    lighter = path.read_bytes()
    lighten(tmp_path)
    assert path.read_bytes() == lighter
    assert len(lighter) < before / 2
    with Image.open(path) as image:
        shown = np.asarray(image.convert("L" if len(shape) == 2 else "RGB")).astype(int)
    assert np.abs(shown - pixels).mean() < 10


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.job)
def test_what_git_keeps_of_a_run_is_small(run: Run) -> None:
    assert kept_mb(RESULTS / run.job) < LARGEST_MB


def test_the_table_is_what_the_results_say() -> None:
    assert (RESULTS / "README.md").read_text(encoding="utf-8") == readme()
