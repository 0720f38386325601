"""Every objective with every model, plain and with other settings: nothing mixes, no step waits, and steps are static.

Static: each is the same operations on the same memory, as a CUDA graph would repeat them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from orchestrator.training.progress import Progress
from tests.device.cases import MODELS, OBJECTIVES, STEPS_PER_EPOCH, cases, names_of
from tests.device.pretend import needs_pretended
from tests.device.recording import differences
from tests.device.updates import learner_for, recorded_updates

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


def rewinds(case: Case) -> bool:
    """Whether passes that draw random numbers are made twice: a generator is rewound, which no graph records."""
    training, model = case.settings.training, case.settings.model
    drawn = any(getattr(model, name, 0) for name in ("dropout", "instance_noise", "feature_noise"))
    augmented = bool(training.augmentation.policies)
    return case.settings.objective.family == "adversarial" and training.accumulate > 1 and (drawn or augmented)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_nothing_mixes_no_step_is_waited_for_and_two_differ_in_the_contents_of_tensors_alone(
    device: Pretended, case: Case
) -> None:
    """The first step makes things ready. For the others, each of another epoch, the images are shuffled anew.

    A plateau's schedule fetches an epoch's means: the host waits once for each row, and for nothing else. Noise that
    falls is there in all three: without it a step is another variant.
    """
    falls = case.settings.training.noise_epochs > 0
    learner = learner_for(case.with_training(noise_epochs=3) if falls else case)
    progress, updates = Progress(learner, STEPS_PER_EPOCH), recorded_updates(device, learner)
    progress.advance(1)
    device.forget()
    rows = len(progress.rows)
    progress.advance(1)
    progress.advance(1)
    _, first, second = updates
    assert [str(difference) for difference in differences(first, second)] == []
    moved = {operation.name for operation in first.operations if operation.name.startswith("Generator")}
    assert moved == ({"Generator.get_state", "Generator.set_state"} if rewinds(case) else set())
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
