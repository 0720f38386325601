"""Every objective with every model, plain and with other settings: nothing mixes, and no step waits for the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from orchestrator.data.batches import to_device
from orchestrator.distributed.group import ALONE
from orchestrator.training.learners import learner_of
from orchestrator.training.progress import Progress
from tests.device.cases import MODELS, OBJECTIVES, STEPS_PER_EPOCH, cases, images, names_of
from tests.device.pretend import needs_pretended

if TYPE_CHECKING:
    from orchestrator.training.learner import Learner
    from tests.device.cases import Case
    from tests.device.pretend import Pretended

pytestmark = needs_pretended


def tensors_of(learner: Learner) -> dict[str, torch.Tensor]:
    """All that a learner keeps of numbers, by name."""
    networks = {"averaged": learner.averaged.module if learner.averaged else None, "networks": learner.networks}
    networks["discriminator"] = getattr(learner, "discriminator", None)
    found = {
        f"{place}.{name}": value
        for place, network in networks.items()
        if network is not None
        for name, value in network.state_dict().items()
    }
    return found | learner.state | ({} if learner.table is None else {"table": learner.table})


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_nothing_mixes_and_no_step_is_waited_for(device: Pretended, case: Case) -> None:
    """The first step makes things ready. For the second, of another epoch, the images are shuffled anew.

    A plateau's schedule fetches an epoch's means: the host waits once for each row, and for nothing else.
    """
    learner = learner_of(case.settings, to_device(images(), "cuda"), ALONE)
    progress = Progress(learner, STEPS_PER_EPOCH)
    progress.advance(1)
    device.forget()
    rows = len(progress.rows)
    progress.advance(1)
    assert [wait for wait in device.waits if not wait.where.startswith("training/progress.py")] == []
    assert device.waits.total() == len(progress.rows) - rows, device.waits
    assert device.launches > 0
    tensors = tensors_of(learner)
    assert {name for name, value in tensors.items() if value.device.type != "cuda"} == set()
    parameters = {parameter.dtype for parameter in [*learner.g_parameters, *learner.d_parameters]}
    assert parameters == {torch.float32}


def test_every_kind_is_in_some_case() -> None:
    assert {case.objective for case in cases()} == set(OBJECTIVES)
    assert {case.model for case in cases()} == set(MODELS)


def test_every_other_value_of_a_setting_is_in_some_case() -> None:
    """Of each objective, of each model and of training; one that goes together with nothing would be in none."""
    wanted, found = ({name for case in cases() for name in names_of(case, chosen=chosen)} for chosen in (False, True))
    assert wanted - found == set()
