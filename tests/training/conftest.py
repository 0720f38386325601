"""Trials small enough to train in milliseconds: 22 images, batches of 4, networks two maps wide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.training.gan import Gan
from orchestrator.training.settings import TrialSettings
from tests.jobs import trial_settings

IMAGES, BATCH, STEPS_PER_EPOCH = 22, 4, 5

MakeTrial = Callable[..., TrialSettings]
MakeGan = Callable[..., Gan]
Differences = Callable[..., list[str]]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Networks this small only lose by more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def images() -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (IMAGES, 1, 28, 28), generator=random, dtype=torch.uint8)


@pytest.fixture
def make_trial() -> MakeTrial:
    def make(
        objective: str = "non_saturating", *, width: int = 2, batch_norm: str = "synchronized", **training: Any
    ) -> TrialSettings:
        return trial_settings(
            model={"latent_dim": 3, "width": width, "batch_norm": batch_norm},
            objective={"kind": objective},
            training={"batch_size": BATCH, **training},
        )

    return make


@pytest.fixture
def make_gan(make_trial: MakeTrial, images: Tensor) -> MakeGan:
    def make(*args: Any, **kwargs: Any) -> Gan:
        trial = make_trial(*args, **kwargs)
        return Gan(trial.model, trial.objective, trial.training, images, trial.data.shape)

    return make


@pytest.fixture
def differences() -> Differences:
    """Where two nests of dicts, lists, numbers and tensors are not bitwise alike, leaving out some keys."""

    def find(one: Any, other: Any, leave_out: tuple[str, ...] = (), path: str = "") -> list[str]:
        if type(one) is not type(other):
            return [f"{path}: {type(one)}, {type(other)}"]
        if isinstance(one, Tensor):
            alike = one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
            return [] if alike else [path]
        if isinstance(one, dict):
            if one.keys() != other.keys():
                return [f"{path}: {sorted(one)}, {sorted(other)}"]
            kept = [key for key in one if key not in leave_out]
            return [d for key in kept for d in find(one[key], other[key], leave_out, f"{path}/{key}")]
        if isinstance(one, list | tuple):
            if len(one) != len(other):
                return [f"{path}: {len(one)}, {len(other)}"]
            return [d for i in range(len(one)) for d in find(one[i], other[i], leave_out, f"{path}/{i}")]
        return [] if one == other else [f"{path}: {one}, {other}"]

    return find
