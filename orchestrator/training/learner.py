"""Every family's training shares these: networks, random numbers, batches, and the gradient of a whole batch's loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from numpy.random import SeedSequence
from torch import Tensor, nn

from orchestrator.data.batches import BatchStream
from orchestrator.data.ranges import from_bytes
from orchestrator.distributed.group import ALONE
from orchestrator.training.lr_schedule import LRSchedule, PlateauState
from orchestrator.training.networks import EMA, build, encoder_of, place
from orchestrator.training.precision import precision_on
from orchestrator.training.statistics import running_statistics, statistics_held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orchestrator.data.images import ImageShape
    from orchestrator.distributed.group import Group
    from orchestrator.models.model import Model
    from orchestrator.objectives import Objective
    from orchestrator.training.settings import TrainingSettings

    Tensors = tuple[Tensor, ...]


class Learner(ABC):
    """A trial's networks with their optimizers and random numbers, on one device of a group.

    Only the device's kind distinguishes a GPU from a CPU here. Random numbers come from separate streams derived from
    the seed (weights, batches, latents, noise): a change to one leaves the others as they were. Every process of the
    group draws them for the whole batch and computes on its share. Weights, batches, latents and the state are
    therefore the same for any number of processes.
    """

    parts: tuple[str, ...] = ("networks", "g_optimizer", "batches")
    """Attributes with a state of their own; checkpoints use the same names."""
    batches_a_step: int = 1
    """Batches of real images in a step."""
    table: Tensor | None = None
    """One latent vector for each training image, stored apart from the checkpoint; None where there are none."""

    def __init__(
        self,
        model: Model,
        objective: Objective,
        settings: TrainingSettings,
        images: Tensor,
        shape: ImageShape,
        group: Group = ALONE,
    ) -> None:
        self.model, self.settings, self.objective, self.group = model, settings, objective, group
        self.images, self.shape, self.device = images, shape, images.device
        self.precision = precision_on(self.device, model, objective, settings, shape)
        weights_seed, batches_seed, latents_seed, fixed_seed, self.noise_seed = (
            int(s) for s in SeedSequence(settings.seed).generate_state(5)
        )
        self.weights = torch.Generator().manual_seed(weights_seed)
        self.networks = build(model, objective, shape)
        for network in self.networks.values():
            model.init_weights(network, self.weights)
        self.networks = self._place(self.networks)
        self.generator: nn.Module = self.networks["generator"]
        self.g_parameters = list(self.networks.parameters())
        self.d_parameters: list[nn.Parameter] = []
        self.g_optimizer = settings.g_optimizer.build(self.g_parameters)
        self.averaged = EMA(self.networks, settings.g_ema, settings.g_steps) if settings.g_ema else None
        self.steps, self.steps_per_epoch = 0, len(images) // settings.batch_size
        self.rates = LRSchedule(settings.schedule, self.steps_per_epoch * settings.epochs)
        self.rates.add(self.g_optimizer, settings.g_optimizer.lr)
        self._synced_at: int | None = None
        self.latents = torch.Generator(self.device).manual_seed(latents_seed)
        self.noise = torch.Generator(self.device).manual_seed(self.noise_seed)
        self.metric_names = objective.metrics
        self.state = {name: value.to(self.device) for name, value in objective.initial_state().items()}
        stream = torch.Generator(self.device).manual_seed(batches_seed)
        self.batches = BatchStream(images, settings.batch_size, stream, group.local_slice(settings.batch_size))
        self.latent_dim = model.latents(shape)
        fixed = torch.Generator().manual_seed(fixed_seed)
        self.fixed_latents = torch.randn(64, self.latent_dim, generator=fixed).to(self.device)

    def step(self) -> Tensor:
        """Train one step; returns ``metric_names`` as a tensor on the device, without waiting for the device.

        Metrics come from the last update of each network and cover the whole batch of all processes: every process
        returns the same.
        """
        self.prepare()
        metrics = self.update()
        self.steps += 1
        return metrics

    def prepare(self) -> None:
        """Write what the next step has of its own into tensors that ``update`` reads: its batches, rates and decays."""
        self.batches.choose(self.batches_a_step)
        self.rates.set_for(self.steps)
        if self.averaged is not None:
            self.averaged.prepare()

    def update(self) -> Tensor:
        """Make the updates of the prepared step; returns as ``step``.

        From the second step on this is static: the same operations, with the same numbers, on the same memory, as a
        CUDA graph would repeat them. Only the contents of tensors differ. docs/gpu.md tells what the variants are.
        """
        metrics = self._update()
        return torch.stack([metrics[name].to(metrics["g_loss"].dtype) for name in self.metric_names])

    @abstractmethod
    def _update(self) -> Mapping[str, Tensor]:
        """Make the updates of a step; returns at least its metrics."""

    def _place(self, network: nn.Module) -> Any:
        return place(network, self.model, self.group, self.device)

    def _add_discriminator(self, network: nn.Module) -> None:
        """Make the optimizer of a discriminator of images or of codes."""
        self.d_parameters = list(network.parameters())
        self.d_optimizer = self.settings.d_optimizer.build(self.d_parameters)
        self.rates.add(self.d_optimizer, self.settings.d_optimizer.lr)

    def _forward(self, network: Callable[[Tensor], Any], inputs: Tensor) -> Any:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return network(inputs)

    def _draw(self) -> Tensors:
        """This process's latent vectors for one update, in ``accumulate`` parts."""
        size = self.settings.batch_size, self.latent_dim
        return self._parts(self.group.local_shard(torch.randn(size, generator=self.latents, device=self.device)))

    def _parts(self, local: Tensor) -> Tensors:
        return torch.tensor_split(local, self.settings.accumulate)

    def _backward(
        self,
        forward: Callable[[int], Tensors],
        global_loss: Callable[..., Tensor],
        parameters: list[nn.Parameter],
        extra_sums: Sequence[Tensor] = (),
        inputs: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensors, Tensors]:
        """Add the gradient of the whole batch's loss L(y_1, ..., y_n) to the parameters' gradients; L has any form.

        And to those of ``inputs``, tensors of this process alone.

        1. ``forward`` computes the outputs y of one part of this process's images: one or more tensors (part, width).
        2. The outputs of all parts and processes are gathered, and each process computes ``global_loss`` of them and
           its gradients dL/dy.
        3. Each process backpropagates its own rows of dL/dy through its own forward passes: a vector-Jacobian product.
        4. The parameters' gradients, and ``extra_sums``, which the passes may have added to, are summed over processes.

        With ``accumulate`` above 1 only the outputs of a part are kept at first, and its pass is made again for step 3.

        Returns the loss, all outputs (batch, width) of each kind, and their gradients dL/dy.
        """
        parts = range(self.settings.accumulate)
        if len(parts) == 1:
            local = [forward(0)]
        else:
            with torch.no_grad(), self._state_kept():
                local = [forward(part) for part in parts]
        joined = _cat([_cat(kind) for kind in zip(*local, strict=True)], dim=1)
        gathered = self.group.gather(joined, self.settings.batch_size)
        widths = [kind.shape[1] for kind in local[0]]
        outputs = tuple(kind.detach().requires_grad_() for kind in torch.split(gathered, widths, dim=1))
        loss = global_loss(*outputs)
        gradients = torch.autograd.grad(loss, outputs, materialize_grads=True)
        local_gradients = [self._parts(self.group.local_shard(gradient)) for gradient in gradients]
        leaves = [*parameters, *inputs]
        for part in parts:
            part_outputs = local[part] if len(parts) == 1 else forward(part)
            pairs = [
                (output, gradient[part])
                for output, gradient in zip(part_outputs, local_gradients, strict=True)
                if output.requires_grad
            ]
            # Named, so that no gradient is computed in what else has one: unrolled, the discriminator's first weights.
            wanted, towards = [output for output, _ in pairs], [gradient for _, gradient in pairs]
            torch.autograd.backward(wanted, towards, inputs=leaves)
        self.group.sum_gradients(parameters, extra_sums)
        return loss.detach(), tuple(output.detach() for output in outputs), gradients

    @contextmanager
    def _state_kept(self) -> Iterator[None]:
        """Restore running statistics and random number generators after the forward passes within."""
        with statistics_held(*self._trained()):
            yield

    def _trained(self) -> tuple[nn.Module, ...]:
        """All networks that are trained."""
        return (self.networks,)

    def _end_update(self, number: int = 0) -> None:
        """Update the weights of ``networks`` and their average; ``number`` counts such updates in a step."""
        self.g_optimizer.step()
        if self.averaged is not None:
            self.averaged.update(self.networks, number)

    def _gradient_norm(self) -> Tensor:
        """The norm of the gradient in the weights of ``networks``."""
        return nn.utils.get_total_norm([p.grad for p in self.g_parameters if p.grad is not None])

    @property
    def sampling_networks(self) -> nn.ModuleDict:
        """The networks of the trained model, with averaged weights if there are any."""
        return self.averaged.module if self.averaged is not None else self.networks

    @torch.no_grad()
    def sample(self, latents: Tensor) -> Tensor:
        """Images (n, c, h, w) in [-1, 1] in eval mode, by the averaged weights if there are any.

        Batch norm uses its running statistics, so that each image depends on its own latent vector only.
        """
        return self._in_eval_mode(self.sampling_networks, lambda: self.sampling_networks["generator"](latents))

    def encode(self, images: Tensor) -> Tensor | None:
        """Latent vectors (n, latent_dim) of images (n, c, h, w) in [-1, 1], likewise; None without an encoder."""
        encoder = encoder_of(self.sampling_networks)
        return None if encoder is None else self._in_eval_mode(self.sampling_networks, lambda: encoder(images))

    def codes(self, indices: Tensor) -> Tensor | None:
        """Latent vectors (n, latent_dim) of the training images at these indices (n,); None where they have none."""
        return self.encode(from_bytes(self.images[indices]))

    def panel(self, across: int) -> Sequence[Tensor]:
        """Rows of images (across, c, h, w) in [-1, 1] to show beside samples; none without latent vectors.

        They are the first training images and their reconstructions from their latent vectors.
        """
        indices = torch.arange(min(across, len(self.images)), device=self.device)
        codes = self.codes(indices)
        return () if codes is None else (from_bytes(self.images[indices]), self.sample(codes))

    @staticmethod
    @torch.no_grad()
    def _in_eval_mode(network: nn.Module, compute: Callable[[], Tensor]) -> Tensor:
        network.eval()
        outputs = compute()
        network.train()
        return outputs

    def sync_buffers(self) -> None:
        """Update the buffers used for sampling, before samples, sample metrics and checkpoints: at most once a step."""
        if self._synced_at != self.steps:
            self._sync_buffers()
            self._synced_at = self.steps

    def _sync_buffers(self) -> None:
        """Replace the running statistics of each process by their mean over all processes.

        Running statistics are linear in those of the batches: continuing from the mean changes no later mean.
        """
        if self.model.batch_statistics == "per_device":
            self.group.average([statistic for network in self._trained() for statistic in running_statistics(network)])
            if self.averaged is not None:
                self.averaged.copy_buffers(self.networks)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on: tensors and numbers only, as ``weights_only`` loading requires."""
        return {
            **{name: getattr(self, name).state_dict() for name in self.parts},
            "latents": self.latents.get_state(),
            "noise": self.noise.get_state(),
            "objective": dict(self.state),
            "steps": self.steps,
            "stall": list(self.rates.plateau),
            "averaged": self.averaged.state_dict() if self.averaged else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from ``state_dict()``: bitwise the same numbers on the same CPU with as many processes."""
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])
        self.latents.set_state(state["latents"])
        self.noise.set_state(state["noise"])
        self.steps, self.rates.plateau, self._synced_at = state["steps"], PlateauState(*state["stall"]), None
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        for name, value in self.state.items():
            value.copy_(state["objective"][name])


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """``torch.cat``, without a copy where there is one tensor."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tuple(tensors), dim=dim)
