"""The grid: axes, their product, and jobs written out and read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import SettingsError
from orchestrator.spec import grid as grid_module
from orchestrator.spec.grid import with_path
from orchestrator.spec.job import make_job
from orchestrator.spec.yaml_file import dump_yaml, parse_yaml
from tests.jobs import raw_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.job import Job

BASE = raw_job(model={"kind": "dcgan", "width": 8}, training={"epochs": 5})


def test_no_grid_is_one_trial(load: Callable[..., Job]) -> None:
    (trial,) = load().trials
    assert trial.changes == {}
    assert trial.settings.training.epochs == 20


def test_cells_are_the_product_with_the_last_axis_fastest(load: Callable[..., Job]) -> None:
    job = load("grid: {training.d_steps: [1, 2], training.seed: [0, 1, 2]}")
    cells = [(trial.settings.training.d_steps, trial.settings.training.seed) for trial in job.trials]
    assert cells == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    assert job.trials[4].changes == {"training.d_steps": 2, "training.seed": 1}


def test_linked_values_go_together(load: Callable[..., Job]) -> None:
    job = load(
        "grid:\n  rates:\n  - {training.g_optimizer.lr: 1e-4, training.d_optimizer.lr: 4e-4}\n"
        "  - {training.g_optimizer.lr: 0.1}"
    )
    rates = [(t.settings.training.g_optimizer.lr, t.settings.training.d_optimizer.lr) for t in job.trials]
    assert rates == [(1e-4, 4e-4), (0.1, 2e-4)]


def test_an_axis_of_whole_sections(load: Callable[..., Job]) -> None:
    job = load("grid: {model: [{kind: dcgan, width: 8}, {kind: small_dcgan}], training.g_optimizer: [{lr: 0.1}]}")
    assert [trial.settings.model.kind for trial in job.trials] == ["dcgan", "small_dcgan"]
    assert {trial.settings.training.g_optimizer.lr for trial in job.trials} == {0.1}


def test_a_grid_may_hold_what_the_sections_leave_out(load: Callable[..., Job]) -> None:
    job = load("-objective\ngrid: {objective.kind: [saturating, least_squares]}")
    assert [trial.settings.objective.kind for trial in job.trials] == ["saturating", "least_squares"]


def test_the_largest_grid(load: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_module, "MAX_CELLS", 4)
    assert len(load("grid: {training.seed: [0, 1], training.d_steps: [1, 2]}").trials) == 4
    with pytest.raises(SettingsError, match=r"grid: has 5 cells, expected at most 4$"):
        load("grid: {training.seed: [0, 1, 2, 3, 4]}")


def test_what_a_job_file_may_leave_out(load: Callable[..., Job]) -> None:
    header = load("search: {scheduler: median, measure: g_loss, mode: max}").header
    assert header.model_dump() == {
        "name": "study",
        "description": "",
        "tags": (),
        "note": "",
        "resources": {
            "workers": 1,
            "cpus_per_worker": 1,
            "gpus_per_worker": None,
            "max_concurrent": None,
            "max_retries": 2,
            "max_hours": None,
            "slurm": None,
        },
        "search": {
            "algorithm": None,
            "trials": None,
            "scheduler": "median",
            "measure": "g_loss",
            "mode": "max",
            "grace_epochs": None,
            "reduction_factor": None,
        },
        "evaluate": (),
        "claims": (),
        "storage": "results",
    }


def test_a_path_is_set_in_a_copy() -> None:
    inner = {"x": 1}
    raw = {"a": {"b": inner}, "same": inner}
    assert with_path(raw, "a.b.x", 2, "s") == {"a": {"b": {"x": 2}}, "same": {"x": 1}}
    assert with_path(raw, "c.d", 3, "s") == {**raw, "c": {"d": 3}}
    listed = {"a": [inner, inner]}
    assert with_path(listed, "a.1.x", 2, "s") == {"a": [{"x": 1}, {"x": 2}]}
    assert listed == {"a": [{"x": 1}, {"x": 1}]}
    assert raw == {"a": {"b": {"x": 1}}, "same": {"x": 1}}
    with pytest.raises(SettingsError, match=r"^s: a\.b\.x\.y: cannot be set: a\.b\.x is 1, expected keys and values$"):
        with_path(raw, "a.b.x.y", 2, "s")


def rate() -> st.SearchStrategy[Any]:
    return st.floats(1e-9, 1.0) | st.just(1)


def axis(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=3)


ADAM = st.fixed_dictionaries(
    {}, optional={"lr": rate(), "betas": st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)).map(list)}
)
KINDS = st.sampled_from(["saturating", "non_saturating", "least_squares"])
RATES = st.fixed_dictionaries(
    {"training.g_optimizer.lr": rate()},
    optional={"training.d_optimizer.lr": rate(), "training.d_optimizer.eps": rate()},
)
GRIDS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "objective": axis(st.fixed_dictionaries({"kind": KINDS})),
            "training.d_steps": axis(st.integers(1, 9)),
            "training.g_optimizer": axis(ADAM),
            "data.max_images": axis(st.none() | st.integers(1, 99)),
            "2e4": axis(st.fixed_dictionaries({"model.width": st.integers(1, 9), "training.seed": st.integers(0, 9)})),
        },
    ),
    st.fixed_dictionaries(
        {"rates, [linked]": axis(RATES)},
        optional={
            "objective.kind": axis(KINDS),
            "model": st.just([{"kind": "small_dcgan"}, {"kind": "dcgan", "width": 3}]),
        },
    ),
)
HEADERS = st.fixed_dictionaries(
    {"name": st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)},
    optional={
        "description": st.text(st.characters(codec="utf-8"), max_size=30),
        "storage": st.sampled_from(["results", "1e5", "s3://bucket/prefix", "a: b", "010", "~"]),
        "resources": st.fixed_dictionaries(
            {}, optional={"gpus_per_worker": st.floats(0, 1), "max_concurrent": st.just(3)}
        ),
        "search": st.just({"scheduler": "asha", "measure": "d_loss", "mode": "min"}),
    },
)


@settings(deadline=None)
@given(HEADERS, GRIDS)
def test_a_resolved_job_is_a_job_file_that_makes_the_same_trials(header: dict[str, Any], grid: dict[str, Any]) -> None:
    job = make_job({**BASE, **header, **({"grid": grid} if grid else {})}, "first")
    again = make_job(parse_yaml(dump_yaml(job.resolved()), "again"), "again")
    assert again.header == job.header
    assert again.trials == job.trials


def test_a_resolved_job_keeps_what_aliases_repeat(load: Callable[..., Job]) -> None:
    job = load(
        "training: {g_optimizer: &adam {lr: 0.1}, d_optimizer: *adam}\ngrid: {training.g_optimizer.lr: [0.2, 0.3]}"
    )
    again = make_job(parse_yaml(dump_yaml(job.resolved()), "again"), "again")
    assert again.trials == job.trials
