"""How long a trial is thought to take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.distributed.group import ALONE
from orchestrator.metrics import classifier
from orchestrator.plan.estimate import (
    CLASSIFIER_EPOCHS,
    CLASSIFIER_IMAGES,
    by_size,
    classifiers_s,
    estimate_device_s,
    wall_s,
)
from orchestrator.plan.placement import Cluster, Machine
from orchestrator.plan.plan import make_plan
from orchestrator.state.ledger import Ended, Status
from orchestrator.training.cost import step_operations
from orchestrator.training.learners import learner_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.job import Job, Trial
    from orchestrator.training.settings import TrialSettings


def operations(settings: TrialSettings) -> float:
    """Floating point operations of a trial."""
    parts = settings.model, settings.objective, settings.training, settings.data.shape
    return step_operations(*parts) * settings.total_steps


def count(settings: TrialSettings) -> int:
    """Multiply-adds of a trial as two floating point operations each, pass by pass."""
    generator, discriminator, _ = settings.model.multiply_adds(settings.data.shape)
    forward, backward, inputs_only = 1, 2, 1
    total = 0
    for _ in range(settings.training.epochs * (1500 // settings.training.batch_size)):
        for _ in range(settings.training.d_steps):
            total += forward * generator
            for _real_and_fake in range(2):
                total += (forward + backward) * discriminator
        for update in range(settings.training.g_steps):
            if update > 0:
                total += forward * generator
            total += (forward + inputs_only) * discriminator
            total += backward * generator
    return 2 * total * settings.training.batch_size


STEPS = [{"d_steps": 1}, {"d_steps": 3}, {"g_steps": 2}, {"d_steps": 2, "g_steps": 3}]


@pytest.mark.parametrize("training", [*STEPS, {"batch_size": 7, "epochs": 1}], ids=str)
@pytest.mark.parametrize("model", ["dcgan", "small_dcgan"])
def test_operations_are_those_of_each_pass(make: Callable[..., Job], training: dict[str, Any], model: str) -> None:
    sections: dict[str, Any] = {"training": training}
    job = make(**sections) if model == "dcgan" else make({"model": [{"kind": model}]}, **sections)
    (trial,) = job.trials
    assert operations(trial.settings) == count(trial.settings)


DYNAMICS = [*STEPS, {"unrolled_steps": 1}, {"unrolled_steps": 3, "g_steps": 2}, {"accumulate": 2, "d_steps": 2}]


@pytest.mark.parametrize("objective", ["saturating", "ralsgan"])
@pytest.mark.parametrize("training", DYNAMICS, ids=str)
def test_operations_are_close_to_what_torch_counts(
    make: Callable[..., Job], training: dict[str, Any], objective: str
) -> None:
    sections: dict[str, Any] = {"objective": {"kind": objective}, "model": {"width": 16, "latent_dim": 32}}
    job = make(training={**training, "epochs": 1, "batch_size": 750}, **sections)
    assert_close_to_torchs_count(job.trials[0].settings)


CODED = {"kind": "encoder_decoder", "latent_dim": 20, "width": 16}
FLOW = {"kind": "glow", "levels": 2, "steps": 4, "width": 16}


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(
    ("objective", "model"),
    [("autoencoder", CODED), ("wae_mmd", CODED), ("wae_adversarial", CODED), ("glo", CODED), ("likelihood", FLOW)],
)
def test_other_families_operations_are_close_to_what_torch_counts(
    make: Callable[..., Job], objective: str, model: dict[str, Any], parts: int
) -> None:
    training = {"epochs": 1, "batch_size": 750, "accumulate": parts}
    job = make({"model": [model]}, training=training, objective={"kind": objective})
    assert_close_to_torchs_count(job.trials[0].settings)


def assert_close_to_torchs_count(settings: TrialSettings) -> None:
    """A step of ten images against the estimate of one that takes more."""
    training = settings.training.model_copy(update={"batch_size": 10})
    images = torch.zeros(750, *settings.data.shape, dtype=torch.uint8)
    learner = learner_of(settings.model_copy(update={"training": training}), images, ALONE)
    learner.step()  # a flow's scales are fitted to the first batch
    with FlopCounterMode(display=False) as counted:
        learner.step()
    per_image = counted.get_total_flops() / 10
    assert operations(settings) / settings.total_steps / 750 == pytest.approx(per_image, rel=0.1)


def test_by_size_alone_steps_have_a_floor_and_trials_an_overhead(make: Callable[..., Job]) -> None:
    """A grid of the smallest trials takes as long as its processes take to turn from one to the next."""

    def seconds(device: str = "cpu", cores: int = 1, **sections: Any) -> float:
        (trial,) = make(**sections).trials
        return estimate_device_s([trial], {}, device, cores)[trial.id]

    short, tiny = {"training": {"epochs": 1}}, {"model": {"width": 1}}
    assert seconds(**short, **tiny) > 0.5
    # 930 steps of 16 images took 8.4 and 9.6 s on one core, and their trial half a second more
    assert seconds(training={"epochs": 10, "batch_size": 16}) == pytest.approx(9.5, rel=0.3)
    assert seconds(**tiny) > 0.5 * seconds(model={"width": 4})
    wide = {"model": {"width": 64}, "training": {"epochs": 100}}
    assert 2 < seconds(cores=1, **wide) / seconds(cores=4, **wide) < 4
    assert seconds("cuda", **wide) < 0.2 * seconds(**wide)
    assert seconds("cuda", **tiny) > 0.9 * seconds("cuda"), "launches take as long, however little they compute"
    sizes = [{"training.seed": workers, "resources.workers": workers} for workers in (1, 2, 4)]
    more = make({"size": sizes}, **wide)
    alone, two, four = estimate_device_s(more.trials, {}, "cpu", 1).values()
    assert alone < two < four < 2 * alone, "device-seconds of a worker group are those of all its devices"


def measured(trial: Trial, factor: float, rest: float = 1.0, **changes: Any) -> Ended:
    """A trial whose steps, and all that is no step, took so many times as long as by their size."""
    steps, step_s, rest_s = by_size(trial.settings, trial.workers, "cpu", 1)
    done = {"step": steps, "train_s": factor * steps * step_s, "wall_s": factor * steps * step_s + rest * rest_s}
    return Ended(Status.FINISHED, device="cpu", **{**done, **changes})


def test_what_is_measured_counts(make: Callable[..., Job]) -> None:
    job = make({"training.d_steps": [1, 2, 6], "training.seed": [0, 1, 2]})
    one, other, third, two, *_, six, _, _ = job.trials
    ended = {one.id: measured(one, 3.0, 0.5), other.id: measured(other, 5.0, 0.5), third.id: measured(third, 4.0, 0.5)}
    seconds = estimate_device_s(job.trials, ended, "cpu", 1)

    def expected(trial: Trial, factor: float, rest: float) -> float:
        steps, step_s, rest_s = by_size(trial.settings, 1, "cpu", 1)
        return factor * steps * step_s + rest * rest_s

    # the median of its like, for others of the kind that is nearest in size, and the turn to the next
    for trial in (one, two, six):
        assert seconds[trial.id] == pytest.approx(expected(trial, 4.0, 0.5), abs=0.5)
    ended[six.id] = measured(six, 2.0, 7.0)
    seconds = estimate_device_s(job.trials, ended, "cpu", 1)
    assert seconds[six.id] == pytest.approx(expected(six, 2.0, 7.0), abs=0.5)
    assert seconds[two.id] == pytest.approx(expected(two, 4.0, 0.5), abs=0.5)


def test_the_like_is_of_the_same_networks_and_objective_before_it_is_of_the_same_size(make: Callable[..., Job]) -> None:
    grid = {"model": [{"kind": "dcgan", "width": 4}, {"kind": "dcgan", "width": 32}, {"kind": "small_dcgan"}]}
    job = make(grid, model=None)
    narrow, wide, small = job.trials
    ended = {narrow.id: measured(narrow, 10.0), small.id: measured(small, 1.0)}
    steps, step_s, _ = by_size(wide.settings, 1, "cpu", 1)
    assert estimate_device_s(job.trials, ended, "cpu", 1)[wide.id] == pytest.approx(10 * steps * step_s, rel=0.2)


@pytest.mark.parametrize(
    "changes",
    [{"device": "cuda"}, {"step": None, "train_s": None}, {"step": 0, "train_s": 0.0}, {"train_s": None}],
    ids=["another device", "not measured", "no step", "no time"],
)
def test_what_measures_nothing_is_left_out(make: Callable[..., Job], changes: dict[str, Any]) -> None:
    (trial,) = make().trials
    useless = replace(measured(trial, 9.0), **changes)
    assert estimate_device_s([trial], {trial.id: useless}, "cpu", 1) == estimate_device_s([trial], {}, "cpu", 1)


def test_a_trial_that_was_interrupted_tells_of_its_steps_alone(make: Callable[..., Job]) -> None:
    (trial,) = make().trials
    steps, step_s, rest_s = by_size(trial.settings, 1, "cpu", 1)
    past = measured(trial, 2.0, 100.0, wall_s=None)
    seconds = estimate_device_s([trial], {trial.id: past}, "cpu", 1)[trial.id]
    assert seconds == pytest.approx(2 * steps * step_s + rest_s, abs=0.5)


def test_trials_are_begun_in_their_order_as_others_end() -> None:
    assert wall_s([], 3) == 0
    assert wall_s([2.0], 4) == 2
    assert wall_s([2.0] * 3, 2) == 4
    assert wall_s([3.0, 1.0, 1.0, 1.0], 2) == 3
    assert wall_s([1.0] * 20_000, 2) == 10_000


def test_the_classifier_that_samples_are_measured_by_takes_its_time(make: Callable[..., Job]) -> None:
    assert (CLASSIFIER_EPOCHS, CLASSIFIER_IMAGES) == (classifier._EPOCHS, classifier._MOST_IMAGES)
    assert classifiers_s(make().trials, (), "cpu", 1) == 0
    first, second = make({"training.seed": [0, 1]}, training={"measure_every": 1}).trials
    alone = classifiers_s([first], (), "cpu", 1)
    assert alone == pytest.approx(16 * 1500 * 784 * 2.1e-6)
    assert classifiers_s([first, second], (), "cpu", 2) == pytest.approx(alone / 2)
    assert classifiers_s([second], [first], "cpu", 1) == 0


def test_a_large_grid_of_short_trials_takes_hours(make: Callable[..., Job]) -> None:
    job = make({"training.seed": list(range(20_000))}, training={"epochs": 1, "batch_size": 16})
    plan = make_plan(job, {}, (), Cluster((Machine(2, 0),)), "")
    assert plan.wall_s > 2 * 3600
    assert plan.device_s > 4 * 3600
