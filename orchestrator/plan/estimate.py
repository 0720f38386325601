"""How long a trial will take: from the speed of finished ones where there are any, else from the networks' size."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from orchestrator.objectives.adversarial import Adversarial
from orchestrator.objectives.wae_adversarial import WaeAdversarial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.plan.ledger import Ended
    from orchestrator.spec.job import Trial
    from orchestrator.training.settings import TrialSettings

_OPERATIONS_PER_SECOND = {"cpu": 60e9, "cuda": 4e12}
"""Sustained floating point operations per second that small convolutional networks reach on one processor core or
one data-centre GPU: orders of magnitude, used until a trial of the job has been measured."""


_AHEAD, _PENALTY = 17, 6
"""Forward passes of the discriminator that an update ahead (two passes, their gradients, and the way back through
both), and a gradient penalty (a pass, its gradient in the image, and the way back through both), come to."""


def operations(settings: TrialSettings) -> float:
    """Floating point operations of the whole trial.

    A backward pass costs twice its forward pass; the generator's step skips the discriminator's weight gradients,
    and the last discriminator step's images serve the first generator step too where they may. With ``accumulate``
    each pass is made once more, for what it says.
    """
    training, objective = settings.training, settings.objective
    generator, discriminator, encoder = settings.model.multiply_adds(settings.data.shape)
    again = int(training.accumulate > 1)
    if not isinstance(objective, Adversarial):
        step = (3 + again) * (generator + encoder if "encoder" in objective.trains else generator)
        if isinstance(objective, WaeAdversarial):
            step += encoder + (8 + 3 * again) * objective.multiply_adds(settings.latent_dim)
        return 2.0 * step * training.batch_size * settings.total_steps
    judged = 1 + again
    d_update = generator + (6 + 2 * again + _PENALTY * len(objective.penalties)) * discriminator
    g_update = (3 + again) * generator + (1 + judged + _AHEAD * training.unrolled_steps) * discriminator
    if objective.sees_real:
        g_update += judged * discriminator
    saved = 0 if again or objective.draws_apart else generator
    step = training.d_steps * d_update + training.g_steps * g_update - saved
    return 2.0 * step * training.batch_size * settings.total_steps


def estimate_device_s(trials: Sequence[Trial], ended: Mapping[str, Ended], device: str, cores: int) -> dict[str, float]:
    """Device-seconds of each trial, by id."""
    speed = _measured_speed(trials, ended, device)
    if speed is None:
        speed = _OPERATIONS_PER_SECOND[device] * (cores if device == "cpu" else 1)
    return {trial.id: operations(trial.settings) / speed for trial in trials}


def _measured_speed(trials: Sequence[Trial], ended: Mapping[str, Ended], device: str) -> float | None:
    """Median operations per second of such a device in the trials that have ended on it; None where none has."""
    speeds = []
    for trial in trials:
        past = ended.get(trial.id)
        if past and past.device == device and past.images_per_second:
            training = trial.settings.training
            images = trial.settings.total_steps * training.d_steps * training.batch_size
            speeds.append(operations(trial.settings) / images * past.images_per_second / past.workers)
    return median(speeds) if speeds else None
