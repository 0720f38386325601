"""Objectives without a discriminator of images: one process against several, on the same global batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from orchestrator.distributed.group import ALONE, Group
from orchestrator.training.learners import learner_of
from orchestrator.training.settings import TrialSettings
from orchestrator.training.wae import Wae
from tests.distributed.trials import BATCH, OfEachProcess, doubles, images, in_default_precision

if TYPE_CHECKING:
    from torch import Tensor

    from tests.distributed.processes import Processes

CODED = {"kind": "encoder_decoder", "latent_dim": 3, "width": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    **{kind: {"objective": {"kind": kind}, "model": CODED} for kind in ("autoencoder", "wae_mmd", "glo")},
    "wae_moments": {"objective": {"kind": "wae_moments", "weight": 1.0}, "model": CODED},
    "separate losses": {
        "objective": {"kind": "wae_moments", "weight": 1.0, "encoder_reconstruction": 0.5},
        "model": CODED,
    },
    "wae_adversarial": {
        "objective": {"kind": "wae_adversarial", "critic_width": 4, "critic_layers": 1},
        "model": CODED,
    },
    "likelihood": {
        "objective": {"kind": "likelihood"},
        "model": {"kind": "glow", "levels": 2, "steps": 1, "width": 2},
    },
}
STEPS = 3


DATA = {"name": "digits"}


def state_after(group: Group, name: str, accumulate: int = 1) -> dict[str, Tensor]:
    """Signals of the last of some steps, every weight and latent vector after them; parts have no batch norm."""
    sections = FAMILIES[name]
    if accumulate > 1 and sections["model"] is CODED:
        sections = {**sections, "model": {**CODED, "batch_norm": "none"}}
    return _trained(group, sections, accumulate)


def _trained(group: Group, sections: dict[str, Any], accumulate: int) -> dict[str, Tensor]:
    training = {"batch_size": BATCH, "accumulate": accumulate, "g_optimizer": {"kind": "sgd", "lr": 0.01}}
    settings = TrialSettings.model_validate({"data": DATA, **sections, "training": training})
    with doubles():
        learner = in_default_precision(learner_of(settings, images(), group))
        for _ in range(STEPS):
            signals = learner.step()
        learner.sync_buffers()
        found = {"signals": signals, **learner.networks.state_dict()}
        if isinstance(learner, Wae) and learner.critic is not None:
            found |= {f"critic.{key}": value for key, value in learner.critic.state_dict().items()}
        if learner.table is not None:
            found["table"] = learner.table
        return {key: value.detach().clone() for key, value in found.items()}


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[key].double() - other[key].double()).abs().max()) for key in one)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", FAMILIES)
def test_training_comes_to_the_numbers_of_one_process(two: Processes, name: str, accumulate: int) -> None:
    expected = state_after(ALONE, name, accumulate)
    for answer in two.run(state_after, name, accumulate):
        assert furthest(answer, expected) < 1e-8


class PenaltyOfEachProcess(OfEachProcess, Wae):
    """An autoencoder so."""


def gradients(group: Group, *, own: bool) -> list[Tensor]:
    settings = TrialSettings.model_validate(
        {"data": DATA, **FAMILIES["wae_moments"], "training": {"batch_size": BATCH}}
    )
    parts = settings.model, settings.objective, settings.training, images(), settings.data.shape, group
    with doubles():
        learner = in_default_precision((PenaltyOfEachProcess if own else Wae)(*parts))
        learner.step()
        return [parameter.grad.clone() for parameter in learner.g_parameters if parameter.grad is not None]


@pytest.mark.slow
def test_the_property_sees_moments_of_each_process(two: Processes) -> None:
    expected = gradients(ALONE, own=False)
    right, wrong = (
        max(float((a - b).abs().max()) for a, b in zip(two.run(run)[0], expected, strict=True))
        for run in (_right, _wrong)
    )
    assert right < 1e-8
    assert wrong > 1e-4


def _right(group: Group) -> list[Tensor]:
    return gradients(group, own=False)


def _wrong(group: Group) -> list[Tensor]:
    return gradients(group, own=True)


def test_every_family_without_a_discriminator_is_here() -> None:
    from orchestrator.training.learners import LEARNERS

    families = {TrialSettings.model_validate({"data": DATA, **one}).objective.family for one in FAMILIES.values()}
    assert families == set(LEARNERS) - {"adversarial"}
    assert torch.get_default_dtype() == torch.float32
