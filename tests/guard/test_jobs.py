"""The job files that come with the project."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from orchestrator.plan.placement import Cluster, Machine
from orchestrator.plan.plan import CellState, make_plan
from orchestrator.spec.claims import ENDS
from orchestrator.spec.job import Job, load_job
from orchestrator.spec.schema_file import FILE_NAME, FIRST_LINE, schema_text

FILES = sorted((Path(__file__).parents[2] / "jobs").glob("*.yaml"))
OBJECTIVES = {"saturating", "non_saturating", "least_squares"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data is where the job files say: validating one must not need any."""
    monkeypatch.chdir(tmp_path)


def load(name: str) -> Job:
    (path,) = (path for path in FILES if path.stem == name)
    return load_job(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_job_file_is_valid_and_named_after_its_job(path: Path) -> None:
    job = load_job(path)
    assert job.header.name == path.stem
    assert job.header.description
    assert len(job.examples) > 1
    assert job.header.claims or job.space


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_first_line_names_the_schema(path: Path) -> None:
    assert path.read_text().splitlines()[0] == FIRST_LINE


def test_the_schema_beside_them_is_that_of_this_version() -> None:
    """Where it is not: ``orch schema --out jobs/orch.schema.json``."""
    assert (FILES[0].parent / FILE_NAME).read_text() == schema_text()


def submits(path: Path) -> list[list[str]]:
    """The words of each ``orch submit`` in a job file's remarks; one goes on after a line that ends in a backslash."""
    remarks = "\n".join(line.removeprefix("#").strip() for line in path.read_text().splitlines() if line[:1] == "#")
    lines = re.sub(r"\s*\\\n\s*", " ", remarks).splitlines()
    return [shlex.split(line, comments=True)[2:] for line in lines if line.startswith("orch submit ")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_commands_in_its_remarks_work(path: Path) -> None:
    commands = submits(path)
    assert commands
    for name, *rest in commands:
        assert name == f"jobs/{path.name}"
        assert set(rest[::2]) <= {"--set"}
        assert load_job(path, rest[1::2]).examples


def test_the_quickstart_needs_nothing_and_compares_three_objectives_at_two_step_ratios() -> None:
    job = load("quickstart")
    assert {trial.settings.data.name for trial in job.trials} == {"digits"}
    cells = {(trial.settings.objective.kind, trial.settings.training.d_steps) for trial in job.trials}
    assert cells == {(objective, d_steps) for objective in OBJECTIVES for d_steps in (1, 3)}
    assert len(job.trials) == 18
    assert {claim.measure for claim in job.header.claims} == {"g_score_gradient", "fid"}
    plan = make_plan(job, {}, (), Cluster((Machine(2, 0),)), "here")
    assert plan.problem is None
    assert len(plan.having(CellState.NEW)) == 18


def test_the_saturation_sweep_is_the_whole_of_its_experiment() -> None:
    job = load("saturation_sweep")
    assert {trial.settings.data.name for trial in job.trials} == {"mnist"}
    cells = {(t.settings.objective.kind, t.settings.training.d_steps, t.settings.training.seed) for t in job.trials}
    assert cells == {(kind, steps, seed) for kind in OBJECTIVES for steps in (1, 2, 3) for seed in range(5)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_sources_of_claims_are_quoted_beside_them_not_in_remarks(path: Path) -> None:
    quoted = [claim.source for claim in load_job(path).header.claims if claim.source is not None]
    assert all(len(source.split()) > 3 and source.strip().endswith((".", '."', '".')) for source in quoted)
    assert not re.search(r"^ +# (The )?[Ss]ource\b.*:", path.read_text(), flags=re.M)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_claims_of_what_is_yes_or_no_have_five_seeds(path: Path) -> None:
    job = load_job(path)
    seeds = {trial.settings.training.seed for trial in job.trials}
    for claim in job.header.claims:
        assert claim.measure not in ENDS or len(seeds) >= 5, claim.id


def test_networks_of_the_fish_study_have_the_source_s_labels_and_eps() -> None:
    for trial in (*load("fish_dcgan").trials, *load("fish_noise").trials):
        labels, training = trial.settings.objective.labels, trial.settings.training
        assert (labels.real, labels.fake, labels.generator) == ((0.9, 1.0), (0.0, 0.1), (0.9, 1.0))
        assert training.g_optimizer.eps == training.d_optimizer.eps == 1e-7


def test_the_dcgan_variants_differ_in_their_objective_alone() -> None:
    job = load("dcgan_variants")
    assert {trial.settings.objective.kind for trial in job.trials} == OBJECTIVES
    assert (
        len({trial.settings.model_dump_json(exclude={"objective": True, "training": {"seed"}}) for trial in job.trials})
        == 1
    )


def test_the_chain_claims_what_its_studies_claim() -> None:
    names = ("inversion", "encoder_inversion", "restoration", "interpolation", "truncation")
    claims = [claim for name in names for claim in load(name).header.claims if not claim.id.startswith("C5-skip")]
    assert list(load("latent_space").header.claims) == claims
    assert {claim.id.partition("-")[0] for claim in claims} == {"C5", "D1", "D2", "D3", "D4", "D5", "D6", "D7"}
