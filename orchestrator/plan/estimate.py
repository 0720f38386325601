"""How long trials will take: by their networks' size, and by what the job's finished ones took where there are any."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import DataError
from orchestrator.models.model import MultiplyAdds
from orchestrator.objectives.adversarial import Adversarial
from orchestrator.objectives.wae_adversarial import WaeAdversarial

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.data import Dataset
    from orchestrator.spec.job import Trial
    from orchestrator.state.ledger import Ended
    from orchestrator.training.settings import TrialSettings

# Fitted to the steps of forty small jobs of all families on one processor, each within a factor of two. A GPU's are the
# launches of a step's kernels and the rates that published figures tell: orders of magnitude.
_OPERATIONS_PER_SECOND = {"cpu": 90e9, "cuda": 4e12}
"""Floating point operations that convolutions of some width sustain on one processor core or one GPU."""
_LAYER_S = {"cpu": 130e-6, "cuda": 80e-6}
"""What a pass through a layer takes besides, however small it is: Python, torch, and the share of the optimizer's."""
_PIXEL_S = {"cpu": 28e-9, "cuda": 0.0}
"""What a pass takes besides for each pixel of an image, however narrow the layers are; on a core."""

_LOOK_S = {"cpu": 0.3e-6, "cuda": 0.02e-6}
"""Measuring a sample, for each pixel; on a core."""
_CLASSIFIER_S = {"cpu": 2.1e-6, "cuda": 0.03e-6}
"""Training the classifier that samples are measured by, for each pixel of each image it sees; on a core."""
MOST_CPUS = 8
"""As many cores as that are of use to it."""
CLASSIFIER_EPOCHS, CLASSIFIER_IMAGES = 16, 150_000
"""How often it sees each image, and how many in all at most."""

_TRIAL_S, _EPOCH_S = 0.3, 0.05
"""Building networks and storing results, of a trial and of each epoch."""
_BETWEEN_S = 0.3
"""From the end of a trial to the beginning of the next on the same worker, and its share of the report."""
START_S, WORKER_GROUP_START_S = 11.0, 12.0
"""Before the first step and after the last: Ray, workers and their torch; more for worker groups."""


_AHEAD, _PENALTY = 17, 6
"""Forward passes of the discriminator that an update ahead (two passes, their gradients, and the way back through
both), and a gradient penalty (a pass, its gradient in the image, and the way back through both), come to."""


def operations(settings: TrialSettings) -> float:
    """Floating point operations of the whole trial."""
    each = _passes(settings, settings.model.multiply_adds(settings.data.shape), _critic(settings))
    return 2.0 * each * settings.training.batch_size * settings.total_steps


def _critic(settings: TrialSettings) -> int:
    """Multiply-add operations of the network that tells codes from the prior, where there is one."""
    objective = settings.objective
    return objective.multiply_adds(settings.latent_dim) if isinstance(objective, WaeAdversarial) else 0


def _passes(settings: TrialSettings, cost: MultiplyAdds, critic: int) -> int:
    """What the passes of a step cost, where one through each network costs so much.

    A backward pass costs twice its forward pass; the generator's step skips the discriminator's weight gradients,
    and the last discriminator step's images serve the first generator step too where they may. With ``accumulate``
    each pass is made once more, for what it says.
    """
    training, objective = settings.training, settings.objective
    generator, discriminator, encoder = cost
    again = int(training.accumulate > 1)
    if not isinstance(objective, Adversarial):
        step = (3 + again) * (generator + encoder if "encoder" in objective.trains else generator)
        return step + (encoder + (8 + 3 * again) * critic if isinstance(objective, WaeAdversarial) else 0)
    judged = 1 + again
    d_update = generator + (6 + 2 * again + _PENALTY * len(objective.penalties)) * discriminator
    g_update = (3 + again) * generator + (1 + judged + _AHEAD * training.unrolled_steps) * discriminator
    if objective.needs_real:
        g_update += judged * discriminator
    saved = 0 if again or objective.fresh_latents else generator
    return training.d_steps * d_update + training.g_steps * g_update - saved


class _Parts(NamedTuple):
    """Seconds of a trial on its devices together: of each of its steps, and of all that is no step."""

    steps: int
    step_s: float
    rest_s: float


class _Measured(NamedTuple):
    """How many times longer than by its size alone a step took, and the rest (None where it was not measured)."""

    step: float
    rest: float | None


def estimate_device_s(trials: Sequence[Trial], ended: Mapping[str, Ended], device: str, cores: int) -> dict[str, float]:
    """Device-seconds of each trial, by id; NaN where the data is not there to be counted.

    What the finished trials took more or less than by their size is taken to hold for others: for each trial what
    those of its kind took whose steps were nearest to its own in size.
    """
    modelled: dict[str, _Parts] = {}
    for trial in trials:
        try:
            modelled[trial.id] = by_size(trial.settings, trial.workers, device, cores)
        except DataError:  # named by the plan, where the trial is to be run
            continue
    measured = _measured(trials, modelled, ended, device)
    seconds = dict.fromkeys((trial.id for trial in trials), math.nan)
    for trial in trials:
        if trial.id in modelled:
            steps, step_s, rest_s = modelled[trial.id]
            ratio = _nearest(_kind(trial), step_s, measured)
            wall = steps * step_s * ratio.step + rest_s * (1.0 if ratio.rest is None else ratio.rest) + _BETWEEN_S
            seconds[trial.id] = trial.workers * wall
    return seconds


def wall_s(seconds: Iterable[float], at_once: int) -> float:
    """Seconds until trials of these lengths are done, begun in their order, with so many at once."""
    ends = [0.0] * at_once
    for length in seconds:
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)


def classifiers_s(new: Iterable[Trial], done: Iterable[Trial], device: str, cores: int) -> float:
    """Seconds until the classifiers are trained that new trials are measured by, where no trial that is done had them.

    Another job may have left them in the same storage; then it takes less.
    """

    def looked_at(trials: Iterable[Trial]) -> set[Dataset]:
        return {trial.settings.data for trial in trials if trial.settings.training.measure_every}

    seconds = 0.0
    for data in looked_at(new) - looked_at(done):
        try:
            images = min(CLASSIFIER_EPOCHS * data.size, CLASSIFIER_IMAGES) if data.has_classes else 0
        except DataError:  # named by the plan
            continue
        pixels = images * data.shape.height * data.shape.width
        seconds += pixels * _CLASSIFIER_S[device] / (cores if device == "cpu" else 1)
    return seconds


def by_size(settings: TrialSettings, workers: int, device: str, cores: int) -> _Parts:
    """What the size of a trial's networks, images and batches makes likely. Raises DataError where data is missing."""
    training, model, steps = settings.training, settings.model, settings.total_steps
    passes = _passes(settings, MultiplyAdds(1, 1, 1), 1)
    share = training.batch_size / workers / (cores if device == "cpu" else 1)
    shape = settings.data.shape
    pixels = share * passes * shape.height * shape.width * _PIXEL_S[device]
    layers = passes * model.layers(shape) * _LAYER_S[device]
    compute = operations(settings) / steps / training.batch_size * share / _OPERATIONS_PER_SECOND[device]
    looks = training.epochs // training.measure_every * training.measure_samples if training.measure_every else 0
    look_s = looks * shape.height * shape.width * _LOOK_S[device] / (cores if device == "cpu" else 1)
    return _Parts(steps, compute + pixels + layers, _TRIAL_S + training.epochs * _EPOCH_S + look_s)


def _kind(trial: Trial) -> tuple[str, str, int]:
    return trial.settings.model.kind, trial.settings.objective.kind, trial.workers


_Groups = dict[tuple[str, str, int], dict[float, _Measured]]
"""By kind of trial, and by the seconds of a step by its size."""


def _measured(
    trials: Sequence[Trial], modelled: Mapping[str, _Parts], ended: Mapping[str, Ended], device: str
) -> _Groups:
    """Medians over the finished trials of the same size on such a device."""
    groups: dict[tuple[str, str, int], dict[float, list[_Measured]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        past, parts = ended.get(trial.id), modelled.get(trial.id)
        if past is None or parts is None or past.device != device or not past.step or not past.train_s:
            continue
        epochs = past.step / parts.steps
        rest_s = _TRIAL_S + (parts.rest_s - _TRIAL_S) * epochs
        rest = None if past.wall_s is None else max(0.0, past.wall_s - past.train_s) / rest_s
        groups[_kind(trial)][parts.step_s].append(_Measured(past.train_s / past.step / parts.step_s, rest))
    return {kind: {step_s: _median(some) for step_s, some in by_size.items()} for kind, by_size in groups.items()}


def _median(some: Sequence[_Measured]) -> _Measured:
    rests = [each.rest for each in some if each.rest is not None]
    return _Measured(median(each.step for each in some), median(rests) if rests else None)


def _nearest(kind: tuple[str, str, int], step_s: float, measured: _Groups) -> _Measured:
    """What was measured of trials as like as possible: of as many of kind of networks, objective and workers."""
    if not measured:
        return _Measured(1.0, None)
    like = max(measured, key=lambda other: [a == b for a, b in zip(kind, other, strict=True)])
    size = min(measured[like], key=lambda other: abs(math.log(other / step_s)))
    return measured[like][size]
