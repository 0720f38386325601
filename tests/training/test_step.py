"""The step against the loop of the usual DCGAN tutorial, and what a step must not do."""

from __future__ import annotations

import math
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.training.gan import Gan

KINDS = ["saturating", "non_saturating", "least_squares"]
RHYTHMS = [(1, 1), (3, 1), (1, 2), (2, 3)]
RATES = {"g_optimizer": {"lr": 1e-3, "betas": [0.5, 0.9]}, "d_optimizer": {"lr": 3e-3, "eps": 1e-6}}


@pytest.fixture
def doubles() -> Iterator[None]:
    """Double precision: two orders of the same sums then agree to many digits."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Recorder:
    """Notes the batches and latents that a Gan uses, in their order."""

    def __init__(self, gan: Gan) -> None:
        self.batches: list[Tensor] = []
        self.latents: list[Tensor] = []
        chosen = gan.batches.chosen

        def noted(batch: int) -> tuple[Tensor, Tensor]:
            images, numbers = chosen(batch)
            self.batches.append(images.to(torch.get_default_dtype()))
            return self.batches[-1], numbers

        gan.batches.chosen = noted  # type: ignore[method-assign]
        gan.generator.register_forward_pre_hook(lambda _module, inputs: self.latents.append(inputs[0].clone()))


class Tutorial:
    """Sigmoid outputs, BCELoss or MSELoss with labels, plain Adam, contiguous tensors, one update after another."""

    def __init__(self, gan: Gan, kind: str) -> None:
        self.kind, self.training = kind, gan.settings
        self.netG, self.netD = (
            deepcopy(n).to(memory_format=torch.contiguous_format) for n in (gan.generator, gan.discriminator)
        )
        self.optimizerG = torch.optim.Adam(
            self.netG.parameters(), lr=1e-3, betas=(0.5, 0.9), eps=1e-8, foreach=False, fused=False
        )
        self.optimizerD = torch.optim.Adam(
            self.netD.parameters(), lr=3e-3, betas=(0.5, 0.999), eps=1e-6, foreach=False, fused=False
        )

    def loss(self, output: Tensor, label: float, *, maximise: bool = False) -> Tensor:
        if self.kind == "least_squares":
            return 0.5 * nn.MSELoss()(output, torch.full_like(output, label))
        loss = nn.BCELoss()(torch.sigmoid(output), torch.full_like(output, label))
        return -loss if maximise else loss

    @contextmanager
    def frozen_statistics(self, network: nn.Module) -> Iterator[None]:
        """Put the running statistics back to what they were."""
        before = [buffer.clone() for buffer in network.buffers()]
        yield
        for buffer, value in zip(network.buffers(), before, strict=True):
            buffer.copy_(value)

    def update_d(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        self.netD.zero_grad()
        output_real = self.netD(real.contiguous()).scores
        err_real = self.loss(output_real, 1.0)
        err_real.backward()
        err_fake = self.loss(self.netD(fake.detach()).scores, 0.0)
        err_fake.backward()
        self.optimizerD.step()
        scores = output_real.detach().numpy().astype(np.float64)
        return {
            "d_loss": err_real.item() + err_fake.item(),
            "d_real": scores.mean(),
            "d_real_probability": (1 / (1 + np.exp(-scores))).mean(),
        }

    def update_g(self, fake: Tensor) -> dict[str, float]:
        self.netG.zero_grad()
        fake.retain_grad()
        output = self.netD(fake).scores
        saturating = self.kind == "saturating"
        err = self.loss(output, 0.0 if saturating else 1.0, maximise=saturating)
        err.backward()
        self.optimizerG.step()
        scores = output.detach().numpy().astype(np.float64)
        sigma = 1 / (1 + np.exp(-scores))
        table = {"saturating": sigma, "non_saturating": 1 - sigma, "least_squares": np.abs(scores - 1)}
        return {
            "g_loss": err.item(),
            "d_fake": scores.mean(),
            "d_fake_probability": sigma.mean(),
            "g_score_gradient": table[self.kind].mean(),
            # of each image's own loss, n times its share of the mean
            "g_image_gradient": (len(scores) * fake.grad).flatten(1).norm(dim=1).mean().item(),
            "g_grad_norm": math.sqrt(sum((p.grad.double() ** 2).sum().item() for p in self.netG.parameters())),
        }

    def step(self, batches: Iterator[Tensor], latents: Iterator[Tensor]) -> dict[str, float]:
        for _ in range(self.training.d_steps - 1):
            with self.frozen_statistics(self.netG):
                fake = self.netG(next(latents))
            of_d = self.update_d(next(batches), fake)
        fake = self.netG(next(latents))
        of_d = self.update_d(next(batches), fake)
        with self.frozen_statistics(self.netD):
            of_g = self.update_g(fake)
            for _ in range(self.training.g_steps - 1):
                of_g = self.update_g(self.netG(next(latents)))
        return of_d | of_g


def compare(gan: Gan, kind: str, **tolerance: float) -> Tutorial:
    """Three steps of both; every signal of every step agrees."""
    tutorial, recorder = Tutorial(gan, kind), Recorder(gan)
    ours = [dict(zip(gan.metric_names, gan.step().tolist(), strict=True)) for _ in range(3)]
    assert len(recorder.batches) == 3 * gan.settings.d_steps
    assert len(recorder.latents) == 3 * (gan.settings.d_steps + gan.settings.g_steps - 1)
    batches, latents = iter(recorder.batches), iter(recorder.latents)
    for step in ours:
        expected = tutorial.step(batches, latents)
        assert step.keys() == expected.keys()
        for name in gan.metric_names:
            np.testing.assert_allclose(step[name], expected[name], **tolerance, err_msg=name)
    return tutorial


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("d_steps", "g_steps"), RHYTHMS)
@pytest.mark.usefixtures("doubles")
def test_the_tutorial_loop_comes_to_the_same_numbers(make_gan, kind: str, d_steps: int, g_steps: int) -> None:
    gan = make_gan(kind, d_steps=d_steps, g_steps=g_steps, **RATES)
    start = deepcopy(gan.generator.state_dict()), deepcopy(gan.discriminator.state_dict())
    tutorial = compare(gan, kind, rtol=1e-8)
    for ours, theirs, before in zip(
        (gan.generator, gan.discriminator), (tutorial.netG, tutorial.netD), start, strict=True
    ):
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-8, atol=1e-11, msg=name)
            assert not torch.equal(before[name], value), f"{name} was not trained"


@pytest.mark.parametrize("kind", KINDS)
def test_in_single_precision_it_does_so_to_single_precision(make_gan, kind: str) -> None:
    compare(make_gan(kind, d_steps=2, g_steps=2, **RATES), kind, rtol=1e-3, atol=1e-6)
