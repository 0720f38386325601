"""What a step has of its own, which ``Learner.prepare`` writes into tensors, and the variants of ``Learner.update``.

That each step is otherwise the same, for every objective with every model, is shown by ``test_steps``.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from orchestrator.store.tensors import pack, unpack
from orchestrator.training.networks import EMA
from orchestrator.training.progress import Progress
from tests.device.cases import STEPS_PER_EPOCH, Case, cases, validated
from tests.device.pretend import needs_pretended
from tests.device.recording import differences
from tests.device.updates import learner_for, recorded_updates

if TYPE_CHECKING:
    from tests.device.pretend import Pretended

pytestmark = needs_pretended

WRITES = {"fill_", "copy_", "slice", "select", "unbind", "randperm"}
"""What ``prepare`` may do: write numbers, copy indices, shuffle."""


def case_of(objective: str, model: str, **training: Any) -> Case:
    case = next(case for case in cases() if (case.objective, case.model, case.turn) == (objective, model, 0))
    return case.with_training(**training)


@pytest.mark.parametrize("case", {case.objective: case for case in cases()}.values(), ids=lambda case: case.objective)
def test_what_a_step_has_of_its_own_is_written_before_it(device: Pretended, case: Case) -> None:
    settings = case.with_training(schedule={"kind": "cosine"}, g_ema=0.9)
    learner = learner_for(settings)
    learner.step()
    with device.recorded() as recording:
        learner.prepare()
    names = {operation.name for operation in recording.operations if not operation.name.startswith("Generator")}
    assert {"fill_", "copy_"} <= names <= WRITES
    assert len(recording.operations) <= 16


def test_falling_noise_has_two_variants_with_noise_and_without(device: Pretended) -> None:
    raw = case_of("hinge", "dcgan").settings.model_dump()
    noisy = {**raw["model"], "instance_noise": 0.1, "feature_noise": 0.2}
    settings = validated({**raw, "model": noisy, "training": {**raw["training"], "noise_epochs": 3}})
    assert settings is not None
    learner = learner_for(Case("hinge", "dcgan", 0, settings))
    updates, noisy_steps = recorded_updates(device, learner), 3 * STEPS_PER_EPOCH
    for _ in range(noisy_steps + 2):
        learner.step()
    variants = [updates[1:noisy_steps], updates[noisy_steps:]]
    assert all(differences(variant[0], other) == [] for variant in variants for other in variant[1:])
    drawn = [[operation.name for operation in variant[0].operations].count("normal_") for variant in variants]
    assert drawn[0] - drawn[1] == 6  # on images and on features, in three passes


@pytest.mark.parametrize(
    ("objective", "model"), [("non_saturating", "dcgan"), ("wae_moments", "encoder_decoder"), ("glo", "dcgan")]
)
def test_a_trial_that_goes_on_is_static_too(device: Pretended, objective: str, model: str) -> None:
    """A loaded optimizer has a rate that lies elsewhere, on the host at that."""
    training = {"schedule": {"kind": "linear"}, "g_optimizer": {"kind": "sgd", "momentum": 0.9}, "g_ema": 0.9}
    case = case_of(objective, model, epochs=9, **training)
    learner, resumed = learner_for(case), learner_for(case)
    updates = recorded_updates(device, resumed)
    for _ in range(2):
        learner.step()
    resumed.load_state_dict(unpack(pack(learner.state_dict()), "state"))
    if learner.table is not None and resumed.table is not None:
        resumed.table.copy_(learner.table)
    for _ in range(3):
        assert resumed.step().tolist() == learner.step().tolist()
    assert [differences(updates[0], other) for other in updates[1:]] == [[], []]


def test_the_average_of_weights_and_buffers_is_that_of_a_cpu(device: Pretended) -> None:
    networks = nn.ModuleDict({"generator": nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))})
    there = deepcopy(networks).to("cuda")
    ours, theirs = EMA(there, 0.6, 2), EMA(networks, 0.6, 2)
    for step in range(8):
        ours.prepare()
        theirs.prepare()
        for number in range(2):
            for network in (networks, there):
                for value in network.state_dict().values():
                    value.add_(step + number)
            ours.update(there, number)
            theirs.update(networks, number)
    found = {name: value.cpu() for name, value in ours.module.state_dict().items()}
    torch.testing.assert_close(found, dict(theirs.module.state_dict()))
    assert ours.updates == theirs.updates == 16


def test_what_the_loop_adds_is_static(device: Pretended) -> None:
    progress = Progress(learner_for(case_of("non_saturating", "dcgan")), STEPS_PER_EPOCH)
    metrics = progress.learner.step()
    recordings = []
    for _ in range(2):
        with device.recorded() as recording:
            progress._count(metrics)
        recordings.append(recording)
    assert differences(*recordings) == []
    assert 0 < len(recordings[0].operations) <= 10


def test_a_number_of_python_s_that_changes_is_seen(device: Pretended) -> None:
    """The test itself: as a rate was until it became a tensor."""
    learner = learner_for(case_of("non_saturating", "dcgan"))
    updates = recorded_updates(device, learner)
    for _ in range(2):
        learner.step()
    learner.g_optimizer.param_groups[0]["weight_decay"] = 0.1
    learner.step()
    (difference,) = differences(*updates[1:])
    assert difference.first is not None
    assert difference.first.name == "_fused_adam_"
