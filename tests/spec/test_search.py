"""The grammar of a search: what may be searched, what is proposed, and which trials proposals make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.grid import Range
from orchestrator.spec.job import Job, make_job

if TYPE_CHECKING:
    from collections.abc import Callable

SEARCH = "search: {algorithm: tpe, trials: 12, measure: g_loss, mode: min}\n"
LR = "training.g_optimizer.lr: {low: 1.0e-5, high: 1.0e-2, log: true}"
SPACE = f"""{SEARCH}grid:
  {LR}
  model.width: {{low: 4, high: 12, step: 4}}
  model.dropout: {{low: 0, high: 0.5}}
  model.instance_noise: {{low: 0, high: 1}}
  objective: [{{kind: hinge}}, {{kind: non_saturating}}]
  rates:
    - {{training.d_optimizer.lr: 1.0e-4, training.d_steps: 2}}
    - {{training.d_optimizer.lr: 2.0e-4}}
  training.seed: [0, 1, 2]
"""
VALUES = {
    "training.g_optimizer.lr": 1.23456e-4,
    "model.width": 8,
    "model.dropout": 0.123456,
    "model.instance_noise": 0.98765,
    "objective": 1,
    "rates": 0,
}
PROPOSAL = {
    "training.g_optimizer.lr": 1.23e-4,
    "model.width": 8,
    "model.dropout": 0.123,
    "model.instance_noise": 0.988,
    "objective": {"kind": "non_saturating"},
    "training.d_optimizer.lr": 1.0e-4,
    "training.d_steps": 2,
}


def test_a_proposal_is_rounded_and_found_again(load: Callable[..., Job]) -> None:
    space = load(SPACE).space
    assert space is not None
    assert space.proposal(VALUES) == PROPOSAL
    stored = json.loads(json.dumps(PROPOSAL))
    assert space.proposal(space.values(stored) or {}) == PROPOSAL
    assert space.values(PROPOSAL | {"model.width": 6}) is None
    assert space.values(PROPOSAL | {"model.width": 16}) is None
    assert space.values(PROPOSAL | {"model.width": True}) is None
    assert space.values(PROPOSAL | {"model.latent_dim": 3}) is None
    assert space.values({key: value for key, value in PROPOSAL.items() if key != "objective"}) is None


def test_trials_of_a_proposal_have_the_ids_that_a_grid_gives_them(load: Callable[..., Job]) -> None:
    proposed = load(SPACE).proposing([PROPOSAL])
    axes = "".join(f"  {path}: [{json.dumps(value)}]\n" for path, value in PROPOSAL.items())
    grid = load(f"grid:\n{axes}  training.seed: [0, 1, 2]")
    assert [trial.id for trial in proposed.trials] == [trial.id for trial in grid.trials]
    assert [trial.changes for trial in proposed.trials] == [trial.changes for trial in grid.trials]


def test_a_search_written_again_is_the_same(load: Callable[..., Job]) -> None:
    job = load(SPACE)
    again = make_job(job.resolved(), "job.yaml")
    assert (again.space, again.header.search) == (job.space, job.header.search)
    assert [trial.id for trial in again.ends] == [trial.id for trial in job.ends]


def test_the_cap_counts_each_seed_and_the_size_of_the_space(load: Callable[..., Job]) -> None:
    assert (load(SPACE).most_proposals, load(SPACE).to_propose) == (4, 12)
    assert load(SPACE, "search.trials=11").to_propose == 9
    assert (
        load(f"{SEARCH}grid: {{training.d_steps: {{low: 1, high: 4}}, objective.kind: [hinge, rsgan]}}").to_propose == 8
    )
    assert load(SPACE).proposing([PROPOSAL, PROPOSAL]).to_propose == 9


def test_proposals_outside_the_space_or_beyond_the_cap_are_no_trials_of_the_job(load: Callable[..., Job]) -> None:
    others = [PROPOSAL | {"model.width": width} for width in (4, 6, 8, 12)]
    assert [one["model.width"] for one in load(SPACE).proposing(others).proposals] == [4, 8, 12]
    assert len(load(SPACE, "search.trials=8").proposing(others).trials) == 6


def test_a_range_is_of_whole_numbers_where_the_setting_is(load: Callable[..., Job]) -> None:
    space = load(SPACE).space
    assert space is not None
    assert {one.name: one.whole for one in space.ranges} == {
        "training.g_optimizer.lr": False,
        "model.width": True,
        "model.dropout": False,
        "model.instance_noise": False,
    }


@given(st.floats(1e-12, 1e12), st.floats(1.0001, 1e6), st.floats(0, 1))
def test_what_is_proposed_lies_between_the_ends(low: float, factor: float, share: float) -> None:
    one = Range("x", low, low * factor)
    value = one.rounded(low + share * (low * factor - low))
    assert one.holds(value)
    assert value in (one.low, one.high) or float(f"{value:.3g}") == value


NOTHING = (
    "search.algorithm: has nothing to search: the grid has neither a range, such as {low: 1.0e-5, high: 1.0e-2, "
    "log: true}, nor a list of values other than seeds"
)
UNSEARCHED = "is a range, which only a search proposes values of; set search.algorithm, or list values"
MISTAKES = {
    SEARCH: NOTHING,
    f"{SEARCH}grid: {{training.seed: [0, 1]}}": NOTHING,
    f"grid: {{{LR}}}": f"grid.training.g_optimizer.lr: {UNSEARCHED}",
    "search: {scheduler: asha, measure: g_loss, mode: min}\ngrid: {training.d_steps: {low: 1, high: 3}}": (
        f"grid.training.d_steps: {UNSEARCHED}"
    ),
    "search: {measure: g_loss, mode: min}": (
        "search: scheduler: is missing; allowed: asha, median; or algorithm: tpe, or both"
    ),
    "search: {algorithm: tpe, measure: g_loss, mode: min}": (
        "search: trials: is missing, expected the most trials of the search, 1 to 10,000"
    ),
    "search: {scheduler: asha, trials: 3, measure: g_loss, mode: min}": (
        "search: trials: got 3, which goes with an algorithm alone; allowed: tpe"
    ),
    SEARCH.replace("min", "min, grace_epochs: 2") + f"grid: {{{LR}}}": (
        "search: grace_epochs: got 2, which goes with a scheduler alone; allowed: asha, median"
    ),
    SEARCH.replace("12", "0") + f"grid: {{{LR}}}": "search.trials: got 0, expected a number >= 1",
    SEARCH.replace("12", "2") + f"grid: {{{LR}, training.seed: [0, 1, 2]}}": (
        "search.trials: got 2, expected at least 3: a proposal is trained once for each seed"
    ),
    SEARCH.replace("tpe", "random"): "search.algorithm: got 'random', expected 'tpe'",
    SEARCH.replace("g_loss", "fid") + f"grid: {{{LR}}}": (
        "search.measure: got 'fid', which is measured of samples: set training.measure_every"
    ),
    SEARCH.replace("g_loss", "fid") + f"training: {{measure_every: 1}}\ndata: {{name: celeba}}\ngrid: {{{LR}}}": (
        "search.measure: got 'fid', which needs a data set with classes; celeba has none"
    ),
    SEARCH.replace("g_loss", "fid")
    + f"training: {{measure_every: 1}}\ndata: {{name: digits, max_images: 128}}\ngrid: {{{LR}}}": (
        "search.measure: got 'fid', which takes 129 training images or more, not 128"
    ),
    SEARCH.replace("g_loss", "k") + f"grid: {{{LR}}}": (
        "search.measure: got 'k', which a trial under non_saturating does not have; expected one of d_loss, g_loss, "
        "d_real, d_fake, d_real_probability, d_fake_probability, g_score_gradient, g_image_gradient, g_grad_norm"
    ),
    f"{SEARCH}grid: {{{LR}, both: [{{training.seed: 1, training.d_steps: 2}}]}}": (
        "grid.both: sets training.seed, which a search cannot choose; give seeds a list of their own"
    ),
    f"{SEARCH}grid: {{{LR}, resources.workers: [1, 2]}}": (
        "grid.resources.workers: sets resources.workers, which a search cannot choose; all trials of a search have as "
        "many workers"
    ),
    f"{SEARCH}grid: {{training.seed: {{low: 0, high: 9}}}}": (
        'grid.training.seed: got {"low": 0, "high": 9}, expected a list of values: no search chooses among them'
    ),
    f"{SEARCH}grid: {{{LR}}}\nclaims: [{{id: a, says: b, measure: fid, better: lower, group: {{}}, than_value: 1}}]": (
        "claims: a search chooses its trials by their measure, so no interval over them holds; claim it of a grid"
    ),
    # ranges
    f"{SEARCH}grid: {{x: {{low: 0, high: 1}}}}": (
        "grid.x: is no path of a setting; allowed: data, model, objective, training"
    ),
    f"{SEARCH}grid: {{model.width: {{low: 4}}}}": "grid.model.width.high: is missing, expected a number",
    f"{SEARCH}grid: {{model.width: {{low: 4, high: x}}}}": "grid.model.width.high: got 'x', expected a number",
    f"{SEARCH}grid: {{model.width: {{low: 4, high: .inf}}}}": "grid.model.width.high: got inf, expected a number",
    f"{SEARCH}grid: {{model.width: {{low: 4, high: 8, by: 2}}}}": (
        "grid.model.width.by: unknown key; allowed: low, high, log, step"
    ),
    f"{SEARCH}grid: {{model.width: {{low: 4, high: 4}}}}": (
        "grid.model.width.high: got 4, expected a number > low, which is 4"
    ),
    f"{SEARCH}grid: {{model.width: {{low: 4, high: 8, log: 1}}}}": (
        "grid.model.width.log: got 1, expected true or false"
    ),
    f"{SEARCH}grid: {{training.g_optimizer.lr: {{low: 0.0, high: 0.1, log: true}}}}": (
        "grid.training.g_optimizer.lr.low: got 0.0, expected a number > 0 with log"
    ),
    f"{SEARCH}grid: {{model.width: {{low: 4, high: 8, step: 3}}}}": (
        "grid.model.width.step: got 3, which does not lead from 4 to 8"
    ),
    f"{SEARCH}grid: {{model.width: {{low: 4, high: 8, step: 0}}}}": (
        "grid.model.width.step: got 0, expected a whole number >= 1, between whole numbers and without log"
    ),
    f"{SEARCH}grid: {{training.g_optimizer.lr: {{low: 0.1, high: 0.4, step: 1}}}}": (
        "grid.training.g_optimizer.lr.step: got 1, expected a whole number >= 1, between whole numbers and without log"
    ),
    # what an end of a range does to a trial
    f"{SEARCH}grid: {{model.dropout: {{low: 0.0, high: 1.5}}}}": (
        "grid.model.dropout: got 1.5, expected a number < 1.0"
    ),
    f"{SEARCH}grid: {{model.width: {{low: 4.0, high: 8.5}}}}": "grid.model.width: got 4.0, expected a whole number",
    f"{SEARCH}grid: {{model.with: {{low: 4, high: 8}}}}": "",
    f"{SEARCH}grid: {{model: [{{kind: dcgan}}], model.width: {{low: 4, high: 8}}}}": (
        "grid.model.width: sets model.width, which grid.model sets too"
    ),
    SEARCH.replace("trials", "scheduler: asha, grace_epochs: 3, trials")
    + "grid: {training.epochs: {low: 2, high: 8}}": (
        "search.grace_epochs: got 3, but a trial trains for 2 epochs only"
    ),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=[text[-60:] for text in MISTAKES])
def test_a_mistake_is_one_line(mistake: Callable[..., str], text: str, message: str) -> None:
    said = mistake(text).removeprefix("job.yaml: ")
    assert said == message if message else said.startswith("grid.model.with: unknown key; did you mean 'width'?")


def test_a_range_that_an_override_fixes_is_none_any_more(load: Callable[..., Job], mistake: Callable[..., str]) -> None:
    job = load(SPACE, "model.width=4", "search.trials=3")
    assert job.space is not None
    assert "model.width" not in [one.name for one in job.space.ranges]
    assert {trial.settings.model.width for trial in job.ends} == {4}  # type: ignore[union-attr]
    assert mistake(f"{SEARCH}grid: {{{LR}}}", "training.g_optimizer.lr=0.1").startswith(
        "job.yaml: search.algorithm: has nothing to search"
    )
