"""Every setting of every kind has its column in trials/."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pydantic import BaseModel, Field

from orchestrator.data.dataset import Dataset
from orchestrator.models.model import Model
from orchestrator.objectives.labels import GeneratorLabels, Labels
from orchestrator.objectives.objective import Objective
from orchestrator.spec import columns as module
from orchestrator.spec.columns import trial_columns
from orchestrator.spec.identity import flatten
from orchestrator.store.columns import TRIALS, schema_of
from orchestrator.training.lr_schedule import Schedule
from orchestrator.training.optimizers import Optimizer
from orchestrator.training.patience import Patience
from orchestrator.training.settings import AugmentationSettings, TrainingSettings, TrialSettings


def leaves(base: type[Any]) -> list[type[Any]]:
    """Every class below ``base`` that stands for a kind, found by Python's own book-keeping."""
    below = [leaf for child in base.__subclasses__() for leaf in leaves(child)]
    return below if base.__subclasses__() else [base]


KINDS = [
    *(("data", kind) for kind in leaves(Dataset)),
    *(("model", kind) for kind in leaves(Model)),
    *(("objective", kind) for kind in leaves(Objective)),
]
NAMES = [column.name for column in trial_columns()]


@pytest.mark.parametrize(
    ("section", "kind"), KINDS, ids=lambda value: value if isinstance(value, str) else value.__name__
)
def test_every_setting_of_a_kind_has_a_column(section: str, kind: type[BaseModel]) -> None:
    plain = {name for name, field in kind.model_fields.items() if field.annotation not in (Labels, GeneratorLabels)}
    assert {f"{section}.{name}" for name in plain} <= set(NAMES)


def test_labels_have_a_column_each() -> None:
    assert {name for name in NAMES if name.startswith("objective.labels")} == {
        "objective.labels.real",
        "objective.labels.fake",
        "objective.labels.generator",
    }


def test_every_setting_of_training_has_a_column() -> None:
    nested = {
        "g_optimizer": Optimizer,
        "d_optimizer": Optimizer,
        "schedule": Schedule,
        "augmentation": AugmentationSettings,
        "patience": Patience,
    }
    expected = {f"training.{name}" for name in TrainingSettings.model_fields if name not in nested}
    expected |= {f"training.{section}.{name}" for section, kind in nested.items() for name in kind.model_fields}
    assert {name for name in NAMES if name.startswith("training.")} == expected


def test_the_fixed_columns_come_first_and_none_twice() -> None:
    assert trial_columns()[: len(TRIALS)] == TRIALS
    assert len(set(NAMES)) == len(NAMES)
    assert len(NAMES) > len(TRIALS) + 15


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("data.name", pa.string()),
        ("data.root", pa.string()),
        ("data.download", pa.bool_()),
        ("data.image_size", pa.int64()),
        ("data.height", pa.int64()),
        ("data.max_images", pa.int64()),
        ("model.kind", pa.string()),
        ("model.width", pa.int64()),
        ("training.g_optimizer.lr", pa.float64()),
        ("training.g_optimizer.betas", pa.list_(pa.float64())),
        ("training.seed", pa.int64()),
    ],
)
def test_a_setting_s_type_is_its_column_s(name: str, dtype: pa.DataType) -> None:
    assert schema_of(trial_columns()).field(name).type == dtype


DATA = {
    "celeba": {"image_size": 32},
    "digits": {},
    "mnist": {"max_images": 5},
    "fashion_mnist": {"root": "elsewhere"},
    "image_folder": {"root": "x", "height": 28, "width": 28, "cache": "y"},
    "procedural_fish": {"height": 28, "width": 28, "images": 5, "seed": 2**63 - 1},
}


@pytest.mark.parametrize(
    ("name", "model"),
    [*((name, "dcgan") for name in DATA), *((name, "small_dcgan") for name in DATA if name != "celeba")],
)
def test_a_trial_s_settings_fit_the_columns(name: str, model: str) -> None:
    raw = {"data": {"name": name, **DATA[name]}, "model": {"kind": model}, "objective": {"kind": "saturating"}}
    flat = flatten(TrialSettings.model_validate(raw).model_dump())
    schema = schema_of(trial_columns())
    table = pa.Table.from_pylist([flat], schema=schema)
    assert set(flat) <= set(schema.names)
    (row,) = table.to_pylist()
    assert {key: tuple(row[key]) if isinstance(flat[key], tuple) else row[key] for key in flat} == flat


def test_data_kinds_of_this_test_are_all_there_are() -> None:
    assert set(DATA) == {kind.model_fields["name"].default for kind in leaves(Dataset)}


def test_columns_say_what_they_hold() -> None:
    meanings = {column.name: column.meaning for column in trial_columns()}
    assert all(meanings.values())
    assert meanings["training.log_every"] == TrainingSettings.model_fields["log_every"].description


def test_two_kinds_that_disagree_on_a_type_are_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    class One(BaseModel):
        size: int = Field(description="size")

    class Two(BaseModel):
        size: str = Field(description="size")

    class Whole(BaseModel):
        part: One | Two

    monkeypatch.setattr(module, "TrialSettings", Whole)
    with pytest.raises(AssertionError, match=r"part\.size is int64 in one kind and string in another"):
        trial_columns.__wrapped__()


def test_a_setting_that_does_not_say_what_it_is_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    class Whole(BaseModel):
        size: int

    monkeypatch.setattr(module, "TrialSettings", Whole)
    with pytest.raises(AssertionError, match=r"Whole\.size has no docstring"):
        trial_columns.__wrapped__()
