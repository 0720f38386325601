"""Trials of two processes, each with a pretended device: nothing mixes, and no step waits for a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch

from orchestrator.data.batches import to_device
from orchestrator.distributed.group import ALONE, Group
from orchestrator.training.learners import learner_of
from tests.device.cases import cases, images
from tests.device.pretend import Pretended, needs_pretended
from tests.device.trained import of_each_family
from tests.distributed.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.training.settings import TrialSettings
    from tests.device.cases import Case

pytestmark = needs_pretended


class Found(NamedTuple):
    """What a process tells of its part in a trial's second step."""

    waits: dict[tuple[str, str], int]
    collectives: dict[str, int]
    metrics: torch.Tensor


@pytest.fixture(scope="module")
def two() -> Iterator[Processes]:
    with Processes(2) as processes:
        yield processes


def train(group: Group, settings: TrialSettings) -> Found:
    """The first step makes things ready; the second one, of another epoch, is looked at."""
    with Pretended() as device:
        learner = learner_of(settings, to_device(images(), "cuda"), group)
        learner.step()
        device.forget()
        metrics = learner.step()
        waits, collectives = dict(device.waits), dict(device.collectives)
        return Found({(wait.name, wait.where): count for wait, count in waits.items()}, collectives, metrics.cpu())


def of_each_kind() -> list[Case]:
    """For each objective and for each model the first plain case, and each family's first one with other settings."""
    found: list[Case] = []
    seen: set[str] = set()
    for case in cases():
        kinds = {case.objective, case.model} if case.turn == 0 else {f"other {case.settings.objective.family}"}
        if kinds - seen:
            found.append(case)
        seen |= kinds
    return found


def with_plain_descent(case: Case) -> Case:
    """Adam's first steps have the length of its rate, whatever rounding has left of a gradient that is 0."""
    descent = {"kind": "sgd", "lr": 0.05}
    names = [name for name in ("g_optimizer", "d_optimizer") if name not in case.settings.objective.ignores]
    return case.with_training(precision="fp32", **dict.fromkeys(names, descent))


@pytest.mark.parametrize("case", of_each_kind(), ids=lambda case: case.name)
def test_two_processes_mix_nothing_and_wait_for_no_step(two: Processes, case: Case) -> None:
    ours, theirs = two.run(train, case.settings)
    for found in (ours, theirs):
        assert not found.waits
        assert {name for name in found.collectives if not name.endswith("on the device")} == set()
        assert found.collectives
    assert torch.equal(ours.metrics, theirs.metrics)


@pytest.mark.parametrize("case", of_each_family(), ids=lambda case: case.name)
def test_two_processes_compute_what_one_does(two: Processes, case: Case) -> None:
    """Of each way of training: CUDA has its own batch norm over processes."""
    case = with_plain_descent(case.with_training(batch_size=8))
    found, _ = two.run(train, case.settings)
    torch.testing.assert_close(found.metrics, train(ALONE, case.settings).metrics, rtol=1e-3, atol=1e-4)
