"""``--set path=value``: what it changes, and what it will not silently undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.spec.job import make_job
from tests.jobs import raw_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.job import Job

GRID = "grid: {training.seed: [0, 1], objective.kind: [saturating, least_squares]}"
LINKED = "grid: {rates: [{training.g_optimizer.lr: 0.1, training.d_optimizer.lr: 0.2}], training.seed: [0, 1]}"


def test_values_are_yaml(load: Callable[..., Job]) -> None:
    job = load("", "training.epochs=5", "training.g_optimizer={lr: 3e-4}", "name=other", "description=a=b, c")
    settings = job.trials[0].settings.training
    assert (settings.epochs, settings.g_optimizer.lr) == (5, 3e-4)
    assert (job.header.name, job.header.description) == ("other", "a=b, c")


def test_the_last_of_several_counts(load: Callable[..., Job]) -> None:
    assert load("", "training.epochs=5", "training.epochs=6").trials[0].settings.training.epochs == 6


def test_a_section_that_the_file_lacks_is_made(load: Callable[..., Job]) -> None:
    job = load("", "search.scheduler=asha", "search.measure=d_loss", "search.mode=min")
    assert job.header.search is not None
    assert job.header.search.scheduler == "asha"


def test_a_value_in_place_of_an_axis_ends_it(load: Callable[..., Job]) -> None:
    job = load(GRID, "training.seed=7")
    assert [(trial.settings.training.seed, trial.settings.objective.kind) for trial in job.trials] == [
        (7, "saturating"),
        (7, "least_squares"),
    ]
    assert len(load(GRID, "training.seed=7", "objective.kind=saturating").trials) == 1


def test_an_axis_is_replaced_or_added(load: Callable[..., Job]) -> None:
    assert [trial.settings.training.seed for trial in load(GRID, "grid.training.seed=[5]").trials] == [5, 5]
    assert len(load(GRID, "grid.training.d_steps=[1, 2, 3]").trials) == 12
    assert len(load("", "grid.training.d_steps=[1, 2, 3]").trials) == 3
    assert len(load(GRID, "grid={training.epochs: [1, 2, 3]}").trials) == 3
    trials = load(LINKED, "grid.rates=[{training.g_optimizer.lr: 0.3}]").trials
    assert [trial.settings.training.g_optimizer.lr for trial in trials] == [0.3, 0.3]


def test_what_an_alias_repeats_is_changed_in_one_place_only(load: Callable[..., Job]) -> None:
    text = "training: {g_optimizer: &adam {lr: 0.1}, d_optimizer: *adam}"
    for job in (load(text, "training.g_optimizer.lr=0.2"), load(f"{text}\ngrid: {{training.g_optimizer.lr: [0.2]}}")):
        training = job.trials[0].settings.training
        assert (training.g_optimizer.lr, training.d_optimizer.lr) == (0.2, 0.1)


def test_the_raw_job_stays_as_it_was() -> None:
    raw = raw_job(training={"g_optimizer": {"lr": 0.1}}, grid={"training.g_optimizer.lr": [0.3, 0.4]})
    before = repr(raw)
    make_job(raw, "job.yaml", ["training.g_optimizer.lr=0.2", "model.width=8", "name=other"])
    assert repr(raw) == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "--set: training.epochs: expected path=value, such as training.epochs=5"),
        ("=5", "--set: =5: expected path=value, such as training.epochs=5"),
        ("", "--set: expected path=value, such as training.epochs=5"),
        ("training.=5", "--set: training.=5: expected path=value, such as training.epochs=5"),
        ("training..epochs=5", "--set: training..epochs=5: expected path=value, such as training.epochs=5"),
        ("traning.epochs=5", "--set: traning.epochs: unknown key; did you mean 'training'? allowed: name, "),
        ("training.epoch=5", "--set: training.epoch: unknown key; did you mean 'epochs'? allowed: epochs, "),
        ("training.epochs=", "--set: training.epochs: got null, expected a whole number"),
        ("training.epochs=five", "--set: training.epochs: got 'five', expected a whole number"),
        ("training=5", "--set: training: got 5, expected keys and values"),
        ("objective={kind: infogan}", "--set: objective.kind: got 'infogan'; allowed: autoencoder, began, "),
        ("name=../up", "--set: name: got '../up', expected 1 to 63 of "),
        ("storage=", "--set: storage: got null, expected text"),
        ("grid.training.seed=[]", "--set: grid.training.seed: got [], expected a list with at least one value"),
        ("grid.training.seed=[x]", "--set: grid.training.seed: got 'x', expected a whole number"),
        ("grid.rates=[{training.seed: x}]", "--set: grid.rates: training.seed: got 'x', expected a whole number"),
        ("grid=", "--set: grid: got null, expected paths with lists of values"),
        (
            "training.epochs.x=5",
            "--set: training.epochs.x: cannot be set: training.epochs is 3, expected keys and values",
        ),
        ("evaluate=[{kind: quality, samples: 5}]", "--set: evaluate.0.samples: got 5, expected a number >= 200"),
        ("evaluate=5", "--set: evaluate: got 5, expected a list"),
        (
            "training.epochs=[5",
            "--set training.epochs: line 1, column 3: not valid YAML: expected ',' or ']', but got ",
        ),
        ("training.epochs=5: 6: 7", "--set training.epochs: line 1, column 5: not valid YAML: mapping values are not "),
        ("training.epochs=\x1b[31m", r"--set training.epochs: line 1: not valid YAML: character '\x1b'"),
        ("tra\nining=5", r"--set: tra\nining: unknown key; did you mean 'training'? allowed: name, "),
    ],
)
def test_bad_overrides(mistake: Callable[..., str], override: str, message: str) -> None:
    assert mistake("training: {epochs: 3}", override).startswith(message)


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        (
            LINKED,
            "training.g_optimizer.lr=1",
            "training.g_optimizer.lr: is varied by grid.rates; override grid.rates instead",
        ),
        (
            GRID,
            "training={epochs: 3}",
            "training: is varied by grid.training.seed; override grid.training.seed instead",
        ),
        (
            "grid: {training: [{epochs: 3}]}",
            "training.epochs=4",
            "training.epochs: is varied by grid.training; override grid.training instead",
        ),
    ],
)
def test_an_override_that_the_grid_would_undo(
    mistake: Callable[..., str], text: str, override: str, message: str
) -> None:
    assert mistake(text, override) == f"--set: {message}"


def test_a_mistake_elsewhere_is_not_laid_at_the_override(mistake: Callable[..., str]) -> None:
    assert mistake("training: {batch_size: 0}", "training.epochs=5").startswith("job.yaml: training.batch_size: got 0")


def test_an_evaluation_is_added_and_changed(load: Callable[..., Job], mistake: Callable[..., str]) -> None:
    text = "evaluate: [{kind: quality}, {kind: quality, seed: 1}]"
    one, other = load(text, "evaluate.1.samples=500", "evaluate.1.truncation=[0.5, 1]").header.evaluate
    assert one.model_dump() == {
        "kind": "quality",
        "checkpoint": "last",
        "seed": 0,
        "samples": 10_000,
        "features": "classifier",
        "truncation": (),
        "statistics": "running",
        "resize": "torch_fidelity",
        "real_images": None,
    }
    assert other.model_dump() == {**one.model_dump(), "seed": 1, "samples": 500, "truncation": (0.5, 1.0)}
    assert load("", "evaluate=[{kind: quality}]").header.evaluate == (one,)
    assert mistake(text, "evaluate.2.samples=500").startswith(
        "--set: evaluate.2.samples: cannot be set: evaluate is [{"
    )
    assert mistake(text, "evaluate.2.samples=500").endswith("expected an entry from 0 to 1")
    assert mistake(text, "evaluate.1.samples=5") == "--set: evaluate.1.samples: got 5, expected a number >= 200"
