"""What a step of training costs: its floating point operations, and the operations that a GPU launches for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from orchestrator.models.model import Layers
from orchestrator.models.pair import Pair
from orchestrator.objectives.adversarial import Adversarial
from orchestrator.objectives.wae_adversarial import WaeAdversarial

if TYPE_CHECKING:
    from orchestrator.data.images import ImageShape
    from orchestrator.models.model import Model, MultiplyAdds, NetworkLayers
    from orchestrator.objectives import Objective
    from orchestrator.training.settings import TrainingSettings

Precision = Literal["fp32", "bf16"]

LAUNCH_S = 12e-6
"""From the launch of an operation on a GPU to the next: Python, torch's dispatcher and its autograd, and the driver."""
_CASTS = 1.3
"""Launches of a step in bf16 over those in fp32: autocast casts weights and inputs."""
_GPU_OPERATIONS_PER_S = {"fp32": 10e12, "bf16": 40e12}
"""Floating point operations a second that convolutions of some width sustain on a GPU; half of the 19.5e12 that are
published of an A100 in float32, and an eighth of its 312e12 in bf16, which narrow layers do not come near. Estimates:
they have not been measured."""

_UNROLL, _UNROLL_SAVED, _PENALTY = 17, 6, 6
"""Cost in forward passes of the discriminator: of an unrolled update (two passes, their gradients, and the backward
pass through both), of the backward pass that the first one saves where the gradient at real images does not depend on
generated ones, and of a gradient penalty (a pass, its gradient in the image, the backward pass through both)."""

_UPDATE = 38
"""Launches of an update beside its passes: batch, latent vectors, loss, gradients' norm, optimizer, metrics."""
_LINEAR, _NORM = 2.2, 1.6
"""Launches of a pass, forwards or backwards, for each linear layer with its activation, and for each norm."""
_PENALTY_LINEAR, _PENALTY_NORM = 15, 90
"""Launches of a gradient penalty's passes for each layer of the discriminator."""
_UNROLL_LINEAR, _UNROLL_NORM, _UNROLL_ADAM = 64, 200, 43
"""Launches of an unrolled update and its backward pass, likewise, and of Adam's update of each parameter in it."""
_SPECTRAL, _AUGMENTATION, _NOISE = 17, 19, 3.3
"""Launches in a pass of spectral norm for each layer, of each of the augmentation's policies, and of each noise."""


def step_operations(model: Model, objective: Objective, training: TrainingSettings, shape: ImageShape) -> float:
    """Floating point operations of a step of the whole batch."""
    critic = objective.multiply_adds(model.latents(shape)) if isinstance(objective, WaeAdversarial) else 0
    return 2.0 * training.batch_size * passes(objective, training, model.multiply_adds(shape), critic)


def passes(objective: Objective, training: TrainingSettings, cost: MultiplyAdds, critic: int) -> int:
    """The cost of a step's passes per image; ``cost`` and ``critic`` are that of a forward pass through each network.

    ``critic`` is the network that discriminates codes from the prior. A backward pass costs twice its forward pass; the
    generator's step skips the discriminator's weight gradients, and reuses the last discriminator step's images where
    it may. With ``accumulate`` each forward pass is made once more, for its outputs.
    """
    generator, discriminator, encoder = cost
    again = int(training.accumulate > 1)
    if not isinstance(objective, Adversarial):
        step = (3 + again) * (generator + encoder if "encoder" in objective.trains else generator)
        return step + (encoder + (8 + 3 * again) * critic if isinstance(objective, WaeAdversarial) else 0)
    d_passes = 1 + again
    d_update = generator + (6 + 2 * again + _PENALTY * len(objective.penalties)) * discriminator
    unrolled = _UNROLL * training.unrolled_steps
    unrolled -= _UNROLL_SAVED if unrolled and not objective.relativistic else 0
    g_update = (3 + again) * generator + (1 + d_passes + unrolled) * discriminator
    if objective.needs_real:
        g_update += d_passes * discriminator
    saved = 0 if again or objective.fresh_latents else generator
    return training.d_steps * d_update + training.g_steps * g_update - saved


def step_launches(model: Model, objective: Objective, training: TrainingSettings, shape: ImageShape) -> float:
    """The operations that a step in single precision launches on each GPU, whatever the sizes of batches and maps.

    A sum over the passes through each network, by its layers (``Model.network_layers``), with factors fitted to what
    torch's dispatcher counts: within a factor of 1.5 for every objective with every network.
    """
    layers = model.network_layers(shape)
    if isinstance(objective, Adversarial):
        return _adversarial_launches(objective, training, layers, model)
    parts, again = training.accumulate, 1 + int(training.accumulate > 1)
    both = parts * (again + 1)
    networks = _launches(layers.generator) + (_launches(layers.encoder) if "encoder" in objective.trains else 0)
    launches = _UPDATE + both * networks + objective.loss_operations
    launches += parts * again * _SPECTRAL * _spectral_layers(model, layers)[0]
    if isinstance(objective, WaeAdversarial):
        critic = _launches(Layers(objective.critic_layers + 1))
        launches += _UPDATE + parts * _launches(layers.encoder) + 3 * both * critic
    elif objective.family != "autoencoding":  # whose losses are of whole batches
        launches += (both / 2 - 1) * objective.loss_operations
    return launches


def _launches(layers: Layers) -> float:
    """Launches of a pass through a network, forwards or backwards, on average."""
    return _LINEAR * layers.linear + _NORM * layers.norms + layers.others


def _adversarial_launches(
    objective: Adversarial, training: TrainingSettings, layers: NetworkLayers, model: Model
) -> float:
    """The same of training against a discriminator; the passes are those of ``passes``."""
    generator, discriminator = _launches(layers.generator), _launches(layers.discriminator)
    parts, again, judged = training.accumulate, 1 + int(training.accumulate > 1), 1 + int(objective.needs_real)
    d_steps, g_steps = training.d_steps, training.g_steps
    saved = 0 if parts > 1 or objective.fresh_latents else 1
    g_forward = parts * (d_steps + again * g_steps) - saved
    d_forward = parts * again * (2 * d_steps + judged * g_steps)
    launches = (g_forward + parts * g_steps) * generator
    launches += (d_steps + g_steps) * (_UPDATE + objective.loss_operations)
    launches += (d_forward + parts * (2 * d_steps + judged * g_steps)) * discriminator
    of_d = layers.discriminator
    penalties = d_steps * parts * len(objective.penalties)
    launches += penalties * (_PENALTY_LINEAR * of_d.linear + _PENALTY_NORM * of_d.norms)
    unrolled = g_steps * training.unrolled_steps
    launches += unrolled * (_UPDATE + _UNROLL_LINEAR * of_d.linear + _UNROLL_NORM * of_d.norms)
    if training.d_optimizer.kind == "adam":
        launches += unrolled * _UNROLL_ADAM * (2 * of_d.linear + of_d.norms)
    launches += d_forward * (_AUGMENTATION * len(training.augmentation.policies) + _NOISE * _noises(model, of_d))
    of_generator, of_discriminator = _spectral_layers(model, layers)
    return launches + _SPECTRAL * (g_forward * of_generator + (d_forward + penalties + 2 * unrolled) * of_discriminator)


def _spectral_layers(model: Model, layers: NetworkLayers) -> tuple[int, int]:
    """The layers of generator and discriminator with spectral norm."""
    where = model.spectral_norm if isinstance(model, Pair) else "none"
    return (
        layers.generator.linear if where == "both" else 0,
        layers.discriminator.linear if where != "none" else 0,
    )


def _noises(model: Model, discriminator: Layers) -> int:
    """The places of a discriminator at which there is noise or dropout."""
    if not isinstance(model, Pair):
        return 0
    dropped = discriminator.linear if model.of_vectors else 1
    return dropped * (model.dropout > 0) + (model.instance_noise > 0) + (model.feature_noise > 0)


def gpu_step_s(
    model: Model,
    objective: Objective,
    training: TrainingSettings,
    shape: ImageShape,
    precision: Precision,
    workers: int = 1,
) -> float:
    """Estimated seconds of a step on ``workers`` GPUs: the longer of launching it and computing it.

    A GPU computes while the next operations are launched.
    """
    launching = step_launches(model, objective, training, shape) * LAUNCH_S * (_CASTS if precision == "bf16" else 1.0)
    computing = step_operations(model, objective, training, shape) / workers / _GPU_OPERATIONS_PER_S[precision]
    return max(launching, computing)
