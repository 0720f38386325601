"""What a CUDA graph of a step would hold: the operations of ``Learner.update``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.data.batches import to_device
from orchestrator.distributed.group import ALONE
from orchestrator.training.learners import learner_of
from tests.device.cases import images

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.training.learner import Learner
    from tests.device.cases import Case
    from tests.device.pretend import Pretended
    from tests.device.recording import Recording


def learner_for(case: Case) -> Learner:
    """A learner on the device."""
    return learner_of(case.settings, to_device(images(), "cuda"), ALONE)


def recorded_updates(device: Pretended, learner: Learner) -> list[Recording]:
    """A list that grows by the operations of each further step, without what is written before it."""
    recordings: list[Recording] = []
    update = learner.update

    def recorded() -> Tensor:
        with device.recorded() as recording:
            metrics = update()
        recordings.append(recording)
        return metrics

    learner.update = recorded  # type: ignore[method-assign]
    return recordings
