"""The learner of each family of objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.training.gan import Gan
from orchestrator.training.glo import Glo
from orchestrator.training.maximum_likelihood import MaximumLikelihood
from orchestrator.training.wae import Wae

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.distributed.group import Group
    from orchestrator.objectives.objective import Family
    from orchestrator.training.learner import Learner
    from orchestrator.training.settings import TrialSettings

LEARNERS: dict[Family, type[Learner]] = {
    "adversarial": Gan,
    "autoencoding": Wae,
    "free_latents": Glo,
    "likelihood": MaximumLikelihood,
}


def learner_of(settings: TrialSettings, images: Tensor, group: Group) -> Learner:
    """The learner for a trial's settings and images (n, c, h, w) uint8, as one of the group's processes."""
    learner = LEARNERS[settings.objective.family]
    return learner(settings.model, settings.objective, settings.training, images, settings.data.shape, group)
