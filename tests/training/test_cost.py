"""The launches of a step, by its settings alone, against what torch's dispatcher counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from torch.utils._python_dispatch import TorchDispatchMode

from orchestrator.distributed.group import ALONE
from orchestrator.models import NETWORKS
from orchestrator.objectives import FAMILIES
from orchestrator.training.cost import gpu_step_s, step_launches
from orchestrator.training.learners import learner_of
from tests.device.pretend import LAUNCH_NOTHING
from tests.jobs import trial_settings

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.training.settings import TrialSettings

FACTOR = 1.5
"""Estimated over counted launches, either way."""
MODELS: dict[str, dict[str, Any]] = {
    "dcgan": {"width": 4},
    "residual": {"width": 2},
    "fully_connected": {"generator_widths": [6, 8], "discriminator_widths": [8, 6]},
    "autoencoding": {"width": 2, "code_dim": 7},
    "encoder_decoder": {"width": 2},
    "glow": {"levels": 2, "steps": 1, "width": 2},
}
NEEDED = {"ebgan": {"margin": 1.0}}
LAYER = {"discriminator_norm": "layer"}
AUGMENTED = {"augmentation": {"color": True, "translation": True, "cutout": True}}
VARIANTS: list[tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("non_saturating", "dcgan", {"batch_norm": "none", "depth": 4}, {}, {}),
    ("non_saturating", "dcgan", LAYER, {"r1": 1.0}, {"accumulate": 2}),
    ("hinge", "dcgan", {"spectral_norm": "both"}, {}, {"d_steps": 3, "g_ema": 0.9}),
    ("hinge", "residual", {"skip_z": "whole"}, {"r1": 1.0, "r2": 1.0}, {"g_steps": 2}),
    ("wgan_gp", "residual", {}, {}, {"d_steps": 5}),
    ("hinge", "fully_connected", {"dropout": 0.2, "instance_noise": 0.1, "feature_noise": 0.1}, {}, {}),
    ("hinge", "dcgan", {}, {"feature_matching": 0.1}, AUGMENTED),
    ("non_saturating", "dcgan", {}, {}, {"unrolled_steps": 2}),
    ("non_saturating", "fully_connected", {}, {}, {"unrolled_steps": 5, "d_optimizer": {"kind": "sgd"}}),
    ("ebgan", "autoencoding", {"pooling": "max"}, {}, {"accumulate": 2}),
    ("likelihood", "glow", {"steps": 8}, {}, {"accumulate": 2}),
    ("glo", "dcgan", {"spectral_norm": "both"}, {}, {"accumulate": 2}),
    ("wae_adversarial", "encoder_decoder", {"depth": 4}, {}, {"accumulate": 2}),
]


class Launches(TorchDispatchMode):
    """Counts the operations that would launch a kernel on a GPU."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func._schema.name.split("::")[1] not in LAUNCH_NOTHING
        return func(*args, **(kwargs or {}))


def settings_of(objective: str, model: str, *more: dict[str, Any]) -> TrialSettings:
    of_model, of_objective, training = more or ({}, {}, {})
    latents = {} if model == "glow" else {"latent_dim": 5}
    return trial_settings(
        model={"kind": model, **latents, **MODELS[model], **of_model},
        objective={"kind": objective, **NEEDED.get(objective, {}), **of_objective},
        training={"batch_size": 4, **training},
    )


def estimated_over_counted(settings: TrialSettings, images: Tensor) -> float:
    learner = learner_of(settings, images, ALONE)
    learner.step()  # optimizers make their state
    with Launches() as counted:
        learner.step()
    estimated = step_launches(settings.model, settings.objective, settings.training, settings.data.shape)
    return estimated / counted.count


@pytest.mark.parametrize("objective", FAMILIES)
def test_the_launches_of_a_step_are_known_without_torch(objective: str, images: Tensor) -> None:
    """For each of the models that it goes with, but those whose layers are another's."""
    ratios = {}
    for model in MODELS:
        try:
            settings = settings_of(objective, model)
        except ValidationError:
            continue  # the model lacks what the objective trains
        ratios[model] = estimated_over_counted(settings, images)
    assert ratios
    assert all(1 / FACTOR < ratio < FACTOR for ratio in ratios.values()), ratios


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_so_are_those_of_other_settings(variant: Any, images: Tensor) -> None:
    assert 1 / FACTOR < estimated_over_counted(settings_of(*variant), images) < FACTOR


def test_every_model_tells_its_layers() -> None:
    """Those whose step is not counted above as well."""
    shape = trial_settings().data.shape
    for kind in NETWORKS:
        layers = trial_settings(model={"kind": kind}, objective=_any_objective(kind)).model.network_layers(shape)
        assert sum(layers.generator) > 0


def _any_objective(model: str) -> dict[str, Any]:
    kinds = {"autoencoding": "began", "encoder_decoder": "autoencoder", "glow": "likelihood"}
    return {"kind": kinds.get(model, "hinge")}


def test_a_narrow_step_takes_as_long_as_its_launches_and_a_wide_one_as_its_computing() -> None:
    def seconds(width: int, precision: Any, workers: int = 1) -> float:
        settings = trial_settings(model={"width": width}, training={"batch_size": 128})
        return gpu_step_s(
            settings.model, settings.objective, settings.training, settings.data.shape, precision, workers
        )

    assert seconds(2, "fp32") == seconds(8, "fp32") == seconds(8, "fp32", workers=8) > 100 * 12e-6
    assert seconds(8, "bf16") > seconds(8, "fp32")
    assert seconds(512, "fp32") == pytest.approx(2 * seconds(512, "fp32", workers=2))
    assert seconds(512, "fp32") > 50 * seconds(8, "fp32")
    assert seconds(512, "bf16") < seconds(512, "fp32") / 2
