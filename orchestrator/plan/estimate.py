"""Estimates how long trials take: by the size of their networks, corrected by the job's finished trials."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import DataError
from orchestrator.models.model import MultiplyAdds
from orchestrator.training.cost import gpu_step_s, passes, step_operations
from orchestrator.training.precision import auto_on_gpu

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.data import Dataset
    from orchestrator.spec.job import Trial
    from orchestrator.state.ledger import Ended
    from orchestrator.training.settings import TrialSettings

# Fitted to steps of forty small jobs of all families on one processor, each within a factor of two.
_OPERATIONS_PER_SECOND = 90e9
"""Floating point operations that convolutions of some width sustain on one processor core."""
_LAYER_S = 130e-6
"""Overhead of a pass through a layer of any size: Python, torch, and its share of the optimizer's."""
_PIXEL_S = 28e-9
"""Overhead of a pass for each pixel of an image, however narrow the layers are; on a core."""

_MEASURE_S = {"cpu": 0.3e-6, "cuda": 0.02e-6}
"""Sample metrics of a sample, for each pixel; on a core."""
_CLASSIFIER_S = {"cpu": 2.1e-6, "cuda": 0.03e-6}
"""Training the classifier of the sample metrics, for each pixel of each image in each epoch; on a core."""
MOST_CPUS = 8
"""The most cores that speed up that training."""
CLASSIFIER_EPOCHS, CLASSIFIER_IMAGES = 16, 150_000
"""Epochs of that training, and the most images in all epochs together."""

_TRIAL_S, _EPOCH_S = 0.3, 0.05
"""Building networks and storing results, for a trial and for each epoch."""
_BETWEEN_S = 0.3
"""From the end of a trial to the start of the next on the same worker, and its share of the report."""
START_S, WORKER_GROUP_START_S = 11.0, 12.0
"""Before the first step and after the last: Ray, workers and their torch; more for worker groups."""


class _Parts(NamedTuple):
    """Number of steps of a trial, seconds of a step on its devices together, and seconds of everything else."""

    steps: int
    step_s: float
    rest_s: float


class _Measured(NamedTuple):
    """Measured over estimated seconds, of a step and of the rest (None where the rest was not measured)."""

    step: float
    rest: float | None


def estimate_device_s(trials: Sequence[Trial], ended: Mapping[str, Ended], device: str, cores: int) -> dict[str, float]:
    """Device-seconds of each trial, by id; NaN where the data is missing.

    The estimate by size is multiplied by the ratio of measured to estimated seconds of finished trials: those of the
    most similar kind whose estimated step is nearest to the trial's.
    """
    modelled: dict[str, _Parts] = {}
    for trial in trials:
        try:
            modelled[trial.id] = by_size(trial.settings, trial.workers, device, cores)
        except DataError:  # the plan reports it where the trial is to be run
            continue
    measured = _measured(trials, modelled, ended, device)
    seconds = dict.fromkeys((trial.id for trial in trials), math.nan)
    for trial in trials:
        if trial.id in modelled:
            steps, step_s, rest_s = modelled[trial.id]
            ratio = _nearest(_kind(trial), step_s, measured)
            train_s = min(steps * step_s * ratio.step, 60 * (trial.settings.training.max_minutes or math.inf))
            wall = train_s + rest_s * (1.0 if ratio.rest is None else ratio.rest) + _BETWEEN_S
            seconds[trial.id] = trial.workers * wall
    return seconds


def wall_s(seconds: Iterable[float], at_once: int) -> float:
    """Seconds until trials of these lengths are done, started in this order, ``at_once`` at a time."""
    ends = [0.0] * at_once
    for length in seconds:
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)


def classifiers_s(new: Iterable[Trial], done: Iterable[Trial], device: str, cores: int) -> float:
    """Seconds to train the classifiers of new trials' sample metrics, without those that trials that are done had.

    An upper bound: another job may have stored them in the same storage.
    """

    def measured(trials: Iterable[Trial]) -> set[Dataset]:
        return {trial.settings.data for trial in trials if trial.settings.training.measure_every}

    seconds = 0.0
    for data in measured(new) - measured(done):
        try:
            images = min(CLASSIFIER_EPOCHS * data.size, CLASSIFIER_IMAGES) if data.has_classes else 0
        except DataError:  # the plan reports it
            continue
        pixels = images * data.shape.height * data.shape.width
        seconds += pixels * _CLASSIFIER_S[device] / (cores if device == "cpu" else 1)
    return seconds


def by_size(settings: TrialSettings, workers: int, device: str, cores: int) -> _Parts:
    """The estimate by the size of a trial's networks, images and batches. Raises DataError where data is missing."""
    training, shape, steps = settings.training, settings.data.shape, settings.total_steps
    step_s = _gpu_step_s(settings, workers) if device == "cuda" else _cpu_step_s(settings, workers, cores)
    measured_samples = (
        training.epochs // training.measure_every * training.measure_samples if training.measure_every else 0
    )
    measure_s = measured_samples * shape.height * shape.width * _MEASURE_S[device] / (cores if device == "cpu" else 1)
    return _Parts(steps, step_s, _TRIAL_S + training.epochs * _EPOCH_S + measure_s)


def _cpu_step_s(settings: TrialSettings, workers: int, cores: int) -> float:
    model, objective, training, shape = settings.model, settings.objective, settings.training, settings.data.shape
    count = passes(objective, training, MultiplyAdds(1, 1, 1), 1)
    share = 1 / workers / cores
    pixels = share * training.batch_size * count * shape.height * shape.width * _PIXEL_S
    layers = count * model.layers(shape) * _LAYER_S
    return step_operations(model, objective, training, shape) * share / _OPERATIONS_PER_SECOND + pixels + layers


def _gpu_step_s(settings: TrialSettings, workers: int) -> float:
    parts = settings.model, settings.objective, settings.training, settings.data.shape
    asked = settings.training.precision
    return gpu_step_s(*parts, auto_on_gpu(*parts) if asked == "auto" else asked, workers)


def _kind(trial: Trial) -> tuple[str, str, int]:
    return trial.settings.model.kind, trial.settings.objective.kind, trial.workers


_Groups = dict[tuple[str, str, int], dict[float, _Measured]]
"""Keys: the kind of trial, then the estimated seconds of a step."""


def _measured(
    trials: Sequence[Trial], modelled: Mapping[str, _Parts], ended: Mapping[str, Ended], device: str
) -> _Groups:
    """Medians of measured over estimated seconds, over finished trials of the same kind and size on such a device."""
    groups: dict[tuple[str, str, int], dict[float, list[_Measured]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        past, parts = ended.get(trial.id), modelled.get(trial.id)
        if past is None or parts is None or past.device != device or not past.step or not past.train_s:
            continue
        epochs = past.step / parts.steps
        rest_s = _TRIAL_S + (parts.rest_s - _TRIAL_S) * epochs
        rest = None if past.wall_s is None else max(0.0, past.wall_s - past.train_s) / rest_s
        groups[_kind(trial)][parts.step_s].append(_Measured(past.train_s / past.step / parts.step_s, rest))
    return {kind: {step_s: _median(ratios) for step_s, ratios in sizes.items()} for kind, sizes in groups.items()}


def _median(ratios: Sequence[_Measured]) -> _Measured:
    rests = [ratio.rest for ratio in ratios if ratio.rest is not None]
    return _Measured(median(ratio.step for ratio in ratios), median(rests) if rests else None)


def _nearest(kind: tuple[str, str, int], step_s: float, measured: _Groups) -> _Measured:
    """The ratios of the most similar trials: the same networks first, then objective, then workers, then step size."""
    if not measured:
        return _Measured(1.0, None)
    nearest_kind = max(measured, key=lambda other: [a == b for a, b in zip(kind, other, strict=True)])
    size = min(measured[nearest_kind], key=lambda other: abs(math.log(other / step_s)))
    return measured[nearest_kind][size]
