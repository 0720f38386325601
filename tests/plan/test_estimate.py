"""How long a trial is thought to take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.distributed.group import ALONE
from orchestrator.plan.estimate import estimate_device_s, operations
from orchestrator.plan.ledger import Ended, Status
from orchestrator.training.learners import learner_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.job import Job
    from orchestrator.training.settings import TrialSettings


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


def test_the_unmeasured_estimate_follows_the_operations_and_the_cores(make: Callable[..., Job]) -> None:
    job = make({"training.d_steps": [1, 3]})
    one, three = (operations(trial.settings) for trial in job.trials)
    seconds = [estimate_device_s(job.trials, {}, "cpu", cores) for cores in (1, 4)]
    first, second = (trial.id for trial in job.trials)
    assert seconds[0][second] / seconds[0][first] == pytest.approx(three / one)
    assert seconds[0][first] / seconds[1][first] == pytest.approx(4)
    assert estimate_device_s(job.trials, {}, "cuda", 1)[first] < seconds[0][first]


def test_measured_speed_is_used_where_there_is_any(make: Callable[..., Job]) -> None:
    job = make({"training.d_steps": [1, 2], "training.seed": [0, 1]})
    one, _, two, _ = job.trials
    # 15 steps an epoch, 2 epochs, 100 images to a discriminator step: 3,000 images at 300 a second take 10 s
    ended = {one.id: Ended(Status.FINISHED, images_per_second=300.0, device="cpu")}
    seconds = estimate_device_s(job.trials, ended, "cpu", 1)
    assert seconds[one.id] == pytest.approx(10)
    assert seconds[two.id] == pytest.approx(10 * operations(two.settings) / operations(one.settings))


def test_the_median_speed_counts(make: Callable[..., Job]) -> None:
    job = make({"training.seed": [0, 1, 2]})
    speeds = (300.0, 30.0, 600.0)
    ended = {
        trial.id: Ended(Status.STOPPED, images_per_second=speed, device="cpu")
        for trial, speed in zip(job.trials, speeds, strict=True)
    }
    assert list(estimate_device_s(job.trials, ended, "cpu", 1).values()) == pytest.approx([10, 10, 10])


@pytest.mark.parametrize(
    "useless",
    [
        Ended(Status.FINISHED, images_per_second=300.0, device="cuda"),
        Ended(Status.FAILED, images_per_second=None, device="cpu"),
        Ended(Status.FAILED, images_per_second=0.0, device="cpu"),
    ],
    ids=["another device", "not measured", "no step"],
)
def test_what_measures_nothing_is_left_out(make: Callable[..., Job], useless: Ended) -> None:
    job = make()
    assert estimate_device_s(job.trials, {job.trials[0].id: useless}, "cpu", 1) == estimate_device_s(
        job.trials, {}, "cpu", 1
    )
