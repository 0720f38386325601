"""How long a trial will take: from the speed of finished ones where there are any, else from the networks' size."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.plan.ledger import Ended
    from orchestrator.spec.job import Trial
    from orchestrator.training.settings import TrialSettings

_OPERATIONS_PER_SECOND = {"cpu": 60e9, "cuda": 4e12}
"""Sustained floating point operations per second that small convolutional networks reach on one processor core or
one data-centre GPU: orders of magnitude, used until a trial of the job has been measured."""


def operations(settings: TrialSettings) -> float:
    """Floating point operations of the whole trial.

    A backward pass costs twice its forward pass; the generator's step skips the discriminator's weight gradients,
    and the last discriminator step's images serve the first generator step too.
    """
    training = settings.training
    generator, discriminator = settings.model.multiply_adds(settings.data.shape)
    d_update = generator + 2 * 3 * discriminator
    g_update = 3 * generator + 2 * discriminator
    step = training.d_steps * d_update + training.g_steps * g_update - generator
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
