from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from pydantic import ValidationError

from orchestrator.data.batches import to_device
from orchestrator.data.digits import TRAIN_IMAGES, Digits
from orchestrator.errors import DataError
from orchestrator.store.local import LocalStore
from orchestrator.training.optimizers import Optimizer
from orchestrator.training.session import Session
from orchestrator.training.settings import TrialSettings
from tests.jobs import raw_settings

if TYPE_CHECKING:
    from pathlib import Path

GOOD = raw_settings(model={"kind": "dcgan"})


@pytest.mark.parametrize(("batch_size", "steps"), [(128, 11), (1500, 1), (751, 1), (750, 2), (2, 750)])
def test_an_epoch_has_as_many_steps_as_whole_batches(batch_size: int, steps: int) -> None:
    trial = TrialSettings.model_validate(GOOD | {"training": {"batch_size": batch_size, "epochs": 7}})
    assert trial.steps_per_epoch == TRAIN_IMAGES // batch_size == steps
    assert trial.total_steps == 7 * steps


def test_the_session_makes_just_those_steps(tmp_path: Path) -> None:
    trial = TrialSettings.model_validate(
        GOOD | {"data": {"name": "digits", "max_images": 10}, "training": {"batch_size": 4, "epochs": 2}}
    )
    session = Session("id", trial, to_device(trial.data.load(), "cpu"), LocalStore(tmp_path))
    assert session.progress.total == trial.total_steps == 4


@pytest.mark.parametrize("settings", [{"batch_size": 1501}, {"batch_size": 1_000_000}])
def test_a_batch_larger_than_the_data_set(settings: dict[str, int]) -> None:
    trial = TrialSettings.model_validate(GOOD | {"training": settings})
    batch = settings["batch_size"]
    with pytest.raises(
        DataError, match=rf"^training\.batch_size: got {batch}, but the data set holds only 1500 images$"
    ):
        _ = trial.steps_per_epoch


def test_a_batch_larger_than_the_images_kept() -> None:
    trial = TrialSettings.model_validate(GOOD | {"data": {"name": "digits", "max_images": 100}})
    with pytest.raises(DataError, match="got 128, but the data set holds only 100 images"):
        _ = trial.total_steps


def test_a_session_refuses_what_the_settings_would(make_trial, images: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^training\.batch_size: 23 .* only 22 "):
        Session("id", make_trial(batch_size=23), images, LocalStore(tmp_path))


@pytest.mark.parametrize(
    ("model", "data", "problem"),
    [
        (
            {"kind": "small_dcgan"},
            {"name": "digits", "image_size": 32},
            "small_dcgan makes 28x28 images, the data's are 32x32",
        ),
    ],
)
def test_a_model_that_cannot_make_the_datas_images(model: dict[str, Any], data: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        TrialSettings.model_validate(GOOD | {"model": model, "data": data})


@pytest.mark.parametrize(
    "training",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"epochs": "3"},
        {"batch_size": 1},
        {"batch_size": -128},
        {"d_steps": 0},
        {"d_steps": True},
        {"g_steps": 0},
        {"g_steps": 1001},
        {"seed": -1},
        {"seed": 2**32},
        {"seed": None},
        {"log_every": 0},
        {"samples_every": -1},
        {"checkpoint_every": 0},
        {"accumulate": 0},
        {"accumulate": 2.0},
        {"precision": "fp16"},
        {"precision": 32},
        {"g_optimizer": {"lr": 0.0}},
        {"g_optimizer": {"lr": -1e-4}},
        {"g_optimizer": {"lr": float("nan")}},
        {"g_optimizer": {"lr": float("inf")}},
        {"g_optimizer": {"lr": "fast"}},
        {"d_optimizer": {"lr": 1.5}},
        {"d_optimizer": {"betas": [0.5]}},
        {"d_optimizer": {"betas": [0.5, 1.0]}},
        {"d_optimizer": {"betas": [-0.1, 0.9]}},
        {"d_optimizer": {"betas": 0.5}},
        {"d_optimizer": {"eps": 0.0}},
        {"d_optimizer": {"kind": "rmsprop"}},
        {"d_optimizer": None},
        {"learning_rate": 0.1},
        {"d_optimizer": {"momentum": 1.0}},
        {"schedule": {"kind": "steps"}},
        {"schedule": {"final": -0.1}},
        {"unrolled_steps": -1},
        {"g_ema": 1.0},
    ],
    ids=str,
)
def test_impossible_values_are_refused_where_they_stand(training: dict[str, Any]) -> None:
    (key, value), *_ = training.items()
    with pytest.raises(ValidationError) as caught:
        TrialSettings.model_validate(GOOD | {"training": training})
    (error,) = caught.value.errors()
    place = [str(part) for part in error["loc"]]
    assert place[:2] == ["training", key]
    if isinstance(value, dict):
        assert place[2] == next(iter(value))


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "near"),
    [(128, 3, "126 or 129"), (128, 100, "100 or 200"), (4, 8, "8"), (2, 3, "3"), (1001, 1000, "1000 or 2000")],
)
def test_a_batch_is_cut_into_equal_parts(batch_size: int, accumulate: int, near: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TrialSettings.model_validate(GOOD | {"training": {"batch_size": batch_size, "accumulate": accumulate}})
    (error,) = caught.value.errors()
    assert error["loc"] == ("training",)
    assert str(error["ctx"]["error"]) == (
        f"batch_size: got {batch_size}, which {accumulate} parts (accumulate) do not divide; "
        f"the nearest that they do: {near}"
    )
    for size in near.split(" or "):
        TrialSettings.model_validate(GOOD | {"training": {"batch_size": int(size), "accumulate": accumulate}})


def test_whole_numbers_do_for_rates_and_lists_for_betas() -> None:
    adam = Optimizer.model_validate({"lr": 1, "betas": [0, 0.9]})
    assert (adam.lr, adam.betas) == (1.0, (0.0, 0.9))
    assert Optimizer.model_validate_json(adam.model_dump_json()) == adam


def test_each_network_gets_an_adam_of_its_own_settings(make_gan) -> None:
    gan = make_gan(
        g_optimizer={"lr": 0.01, "betas": [0.1, 0.2], "eps": 1e-3}, d_optimizer={"lr": 0.02, "betas": [0.3, 0.4]}
    )
    for optimizer, parameters, lr, betas, eps in (
        (gan.g_optimizer, gan.g_parameters, 0.01, (0.1, 0.2), 1e-3),
        (gan.d_optimizer, gan.d_parameters, 0.02, (0.3, 0.4), 1e-8),
    ):
        (group,) = optimizer.param_groups
        assert isinstance(optimizer, torch.optim.Adam)
        assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (lr, betas, eps, 0)
        assert [id(p) for p in group["params"]] == [id(p) for p in parameters]


def test_a_trial_is_frozen_and_hashable() -> None:
    trial = TrialSettings.model_validate(GOOD)
    with pytest.raises(ValidationError, match="frozen"):
        trial.training.epochs = 3
    assert trial == TrialSettings.model_validate(GOOD)
    assert len({trial, TrialSettings.model_validate(GOOD)}) == 1


@pytest.mark.parametrize("section", ["data", "model", "objective"])
def test_a_trial_needs_data_a_model_and_an_objective(section: str) -> None:
    with pytest.raises(ValidationError, match=section):
        TrialSettings.model_validate({key: value for key, value in GOOD.items() if key != section})


def test_counting_images_is_done_once_for_all_trials_of_a_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(Digits, "count_images", lambda _self: counted.append(1) or 300)
    for seed in range(50):
        settings = {"data": {"name": "digits", "max_images": 299}, "training": {"seed": seed}}
        assert TrialSettings.model_validate(GOOD | settings).steps_per_epoch == 299 // 128
    assert len(counted) == 1


@pytest.mark.parametrize(
    ("optimizer", "name"), [({"momentum": 0.9}, "momentum"), ({"kind": "sgd", "betas": [0.9, 0.9]}, "betas")]
)
def test_settings_of_the_other_optimizer_are_refused_by_name(optimizer: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name}: .* has none; take it out, or choose another kind"):
        TrialSettings.model_validate(GOOD | {"training": {"g_optimizer": optimizer}})
    resolved = Optimizer(kind="sgd").model_dump(mode="json")
    assert Optimizer.model_validate(resolved) == Optimizer(kind="sgd")


@pytest.mark.parametrize(
    ("training", "objective", "problem"),
    [
        ({"unrolled_steps": 2, "accumulate": 2}, {}, "accumulate: got 2, expected 1 with unrolled_steps"),
        ({"unrolled_steps": 2}, {"r1": 1.0}, "training.unrolled_steps: got 2, expected 0 with a gradient penalty"),
        ({"schedule": {"kind": "plateau"}}, {}, "training.schedule.measure: got 'm_global', expected one of d_loss, "),
    ],
)
def test_what_cannot_go_together_is_named(training: dict[str, Any], objective: dict[str, Any], problem: str) -> None:
    raw = GOOD | {"training": training, "objective": {"kind": "non_saturating", **objective}}
    raw["model"] = {**raw["model"], "discriminator_norm": "none"}
    with pytest.raises(ValidationError, match=problem):
        TrialSettings.model_validate(raw)
