"""Axes of a grid that set several settings: their labels, and the entries that made their trials."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from orchestrator.spec.grid import read_axes
from orchestrator.spec.identity import flatten
from orchestrator.study import Study
from orchestrator.study.levels import Level, link, names_of

if TYPE_CHECKING:
    from orchestrator.spec.grid import Axis

SGD = {"training.g_optimizer": {"kind": "sgd", "lr": 0.01}, "training.d_optimizer": {"kind": "sgd", "lr": 0.01}}


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in columns})


def rates(kind: str, lr: float, **more: Any) -> dict[str, Any]:
    return {
        f"training.{net}_optimizer.{name}": value for net in "gd" for name, value in (("kind", kind), ("lr", lr))
    } | more


def study_of(
    name: str, entries: list[Any], rows: list[dict[str, Any]], *, planned: bool = True, seeds: int = 2
) -> Study:
    """Trials of an axis, ``seeds`` of each row, the last row's first; planned ones are known to the job."""
    axes = read_axes({name: entries, "training.seed": list(range(seeds))}, "job.yaml")
    trials = table(
        [
            {**row, "training.seed": seed, "trial_id": f"{place}-{seed}"}
            for place, row in reversed([*enumerate(rows)])
            for seed in range(seeds)
        ]
    )
    known: Any = {
        f"{place}-{seed}": SimpleNamespace(changes=flatten(entry) | {"training.seed": seed})
        for place, entry in enumerate(axes[0].entries)
        for seed in range(seeds)
    }
    return Study(None, link(trials, axes, known if planned else {}), axes=axes)  # type: ignore[arg-type]


def labels_of(name: str, entries: list[Any], rows: list[dict[str, Any]]) -> list[str]:
    study = study_of(name, entries, rows)
    assert study.varying == (f"grid.{name}", "training.seed")
    return study.levels(f"grid.{name}")


def test_levels_are_told_by_their_kinds_and_by_what_parts_equal_kinds() -> None:
    found = labels_of(
        "case",
        [
            {"objective": {"kind": "ralsgan"}},
            {"objective": {"kind": "rasgan"}, "training.epochs": 100, **SGD},
            {"objective": {"kind": "rsgan"}, "training.epochs": 100, **SGD},
            {
                "objective": {"kind": "ralsgan"},
                "training.g_optimizer": {"lr": 2e-3},
                "training.d_optimizer": {"lr": 2e-3},
            },
        ],
        [
            rates("adam", 2e-4, **{"objective.kind": "ralsgan", "training.epochs": 400}),
            rates(
                "sgd",
                0.01,
                **{"objective.kind": "rasgan", "training.epochs": 100, "objective.labels.real": "[1.0, 1.0]"},
            ),
            rates("sgd", 0.01, **{"objective.kind": "rsgan", "training.epochs": 100}),
            rates("adam", 2e-3, **{"objective.kind": "ralsgan", "training.epochs": 400}),
        ],
    )
    assert found == ["ralsgan", "rasgan", "rsgan", "ralsgan lr=0.002"]
    assert [level.place for level in found if isinstance(level, Level)] == [0, 1, 2, 3]


def test_switches_that_add_up() -> None:
    base = {"width": 64, "batch_norm": "per_device", "skip_z": "none"}
    added = [{}, {}, {"width": 96}, {"width": 96, "batch_norm": "synchronized"}]
    added.append({**added[-1], "skip_z": "chunks"})
    batches = [256, 2048, 2048, 2048, 2048]
    entries = [
        {"model": {"kind": "residual", "batch_norm": "per_device", **more}, "training.batch_size": batch}
        for more, batch in zip(added, batches, strict=True)
    ]
    rows = [
        {f"model.{key}": value for key, value in {**base, **more}.items()} | {"training.batch_size": batch}
        for more, batch in zip(added, batches, strict=True)
    ]
    assert labels_of("switches", entries, rows) == [
        "batch_norm=per_device batch_size=256",
        "batch_norm=per_device batch_size=2048",
        "batch_norm=per_device batch_size=2048 width=96",
        "batch_norm=synchronized",
        "batch_norm=synchronized skip_z=chunks",
    ]


def test_two_rates_are_both_told() -> None:
    rows = [{"training.g_optimizer.lr": g, "training.d_optimizer.lr": d} for g, d in ((1e-4, 4e-4), (2e-4, 2e-4))]
    assert labels_of("rates", rows, rows) == ["g_lr=0.0001 d_lr=0.0004", "g_lr=0.0002 d_lr=0.0002"]


def test_a_path_with_mappings_and_numbers_that_stand_for_a_range() -> None:
    column = "objective.labels"
    rows = [("[1.0, 1.0]", "[0.0, 0.0]"), ("[0.9, 0.9]", "[0.0, 0.0]"), ("[0.9, 1.0]", "[0.0, 0.1]")]
    entries = [{"real": 1.0, "fake": 0.0}, {"real": 0.9}, {"real": [0.9, 1.0], "fake": [0.0, 0.1]}]
    found = labels_of(column, entries, [{f"{column}.real": real, f"{column}.fake": fake} for real, fake in rows])
    assert found == ["real=1 fake=0", "real=0.9", "real=[0.9, 1.0] fake=[0.0, 0.1]"]


def test_an_axis_in_which_one_setting_differs_stays_that_setting() -> None:
    rhythm = [{"training.d_steps": 1, "training.g_steps": 1}, {"training.d_steps": 1, "training.g_steps": 5}]
    study = study_of("rhythm", rhythm, rhythm)
    assert "grid.rhythm" not in study.trials
    assert study.varying == ("training.g_steps", "training.seed")


def test_kinds_with_what_belongs_to_them_stay_the_kind() -> None:
    entries = [{"kind": "began", "gamma": 0.5}, {"kind": "hinge"}]
    rows = [{"objective.kind": "began", "objective.gamma": 0.5}, {"objective.kind": "hinge", "objective.gamma": None}]
    assert study_of("objective", entries, rows).varying == ("objective.kind", "training.seed")


def test_what_comes_with_a_kind_from_elsewhere_is_no_plain_kind() -> None:
    entries = [{"model": {"kind": "a"}}, {"model": {"kind": "b"}, "training.g_optimizer.lr": 1e-3}]
    rows = [{"model.kind": "a", "training.g_optimizer.lr": 2e-4}, {"model.kind": "b", "training.g_optimizer.lr": 1e-3}]
    assert labels_of("networks", entries, rows) == ["a", "b"]
    ((axis, levels),) = study_of("networks", entries, rows).meanings
    assert axis == "networks"
    assert levels == [
        ("a", "model.kind = a, training.g_optimizer.lr = 0.0002"),
        ("b", "model.kind = b, training.g_optimizer.lr = 0.001"),
    ]


def test_trials_of_no_entry_still_have_a_level_of_their_own() -> None:
    entries = [{"training.x": 1, "training.y": 1}, {"training.x": 2, "training.y": 2}]
    rows = [{"training.x": 1, "training.y": 1}, {"training.x": 2, "training.y": 2}, {"training.x": 3, "training.y": 2}]
    assert len(set(labels_of("pair", entries, rows))) == 3


def test_without_a_job_that_can_be_read_levels_stand_in_the_order_of_their_trials() -> None:
    entries = [{"training.epochs": 1, "training.lr": 1}, {"training.epochs": 2, "training.lr": 2}]
    study = study_of("pair", entries, entries, planned=False)
    assert study.levels("grid.pair") == ["epochs=2", "epochs=1"]


def test_an_axis_of_which_one_setting_differs_is_named_by_it() -> None:
    entries = [{"model": {"kind": "a", "width": 64}}, {"model": {"kind": "a"}, "training.epochs": 3}]
    rows = [{"model.kind": "a", "model.width": 64, "training.epochs": epochs} for epochs in (1, 3)]
    study = study_of("networks", entries, rows)
    assert "grid.networks" not in study.trials
    assert study.factors == ("training.epochs",)


@pytest.mark.parametrize(
    "entries", [[{"training.none": 1}], [{"training.epochs": 1}], [{"training.epochs": 1, "data": {}}]]
)
def test_an_axis_that_links_nothing(entries: Any) -> None:
    axes: tuple[Axis, ...] = read_axes({"case": entries}, "job.yaml")
    trials = table([{"trial_id": "a", "training.epochs": 1}, {"trial_id": "b", "training.epochs": 2}])
    assert list(link(trials, axes, {}).columns) == ["trial_id", "training.epochs"]
    assert link(trials.iloc[:0], axes, {}).empty


def test_names_are_the_axes_own() -> None:
    columns = ["grid.case", "training.seed", "data.seed", "objective.kind"]
    assert names_of(columns, ["grid.case", "training.seed"]) == {
        "grid.case": "case", "training.seed": "seed", "data.seed": "data.seed", "objective.kind": "objective",
    }  # fmt: skip
    assert names_of(columns, ["data.seed", "training.seed"])["training.seed"] == "training.seed"
