"""Training of an invertible network by the exact likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from orchestrator.models._flow import Flow, bits_per_dimension, dequantize
from orchestrator.training.learner import Learner

if TYPE_CHECKING:
    from collections.abc import Mapping


class MaximumLikelihood(Learner):
    """Maximum likelihood of bytes with uniform noise; Kingma and Dhariwal, arXiv 1807.03039, section 2 and 3.1."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As ``Learner``; also fit the actnorms to a batch of images, which is the same on every process."""
        super().__init__(*args, **kwargs)
        flow = self.generator
        assert isinstance(flow, Flow)
        self.flow = flow
        first = self.batches.first()
        noise = torch.rand(first.shape, generator=self.weights).to(self.device)
        self.flow.fit_actnorms(dequantize(first, noise))
        if self.averaged is not None:
            self.averaged.module.load_state_dict(self.networks.state_dict())

    def _update(self) -> Mapping[str, Tensor]:
        images = self.batches.chosen()[0]
        size = self.settings.batch_size, *images.shape[1:]
        noise = self.group.local_shard(torch.rand(size, generator=self.noise, device=self.device))
        inputs = self._parts(dequantize(images, noise))

        def forward(part: int) -> tuple[Tensor, ...]:
            return (bits_per_dimension(*self.flow.encode(inputs[part]))[:, None],)

        self.g_optimizer.zero_grad(set_to_none=True)
        loss, _, _ = self._backward(forward, lambda bits: bits.mean(), self.g_parameters)
        self._end_update()
        return {"g_loss": loss, "g_grad_norm": self._gradient_norm(), "bits_per_dimension": loss}

    def panel(self, across: int) -> tuple[Tensor, ...]:
        """No rows: an invertible network's reconstruction is the image itself."""
        return ()
