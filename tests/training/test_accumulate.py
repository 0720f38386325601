"""Gradients accumulated over parts of a batch, against autograd on the whole."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from orchestrator.discriminator_output import DiscriminatorOutput
from orchestrator.distributed.group import ALONE
from orchestrator.objectives.adversarial import UpdateContext
from orchestrator.objectives.binary_cross_entropy import NonSaturating
from tests.distributed.trials import EVERY, bend, make_gan, trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.training.gan import Gan


@pytest.fixture(autouse=True)
def doubles() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make(name: str, *, batch_norm: str = "synchronized", width: int = 2, **training: Any) -> Gan:
    """A Gan in double precision with weights far from zero, where the objectives bend."""
    return bend(make_gan(ALONE, trial(name, model={"batch_norm": batch_norm, "width": width}, **training)))


def gradients(gan: Gan) -> list[Tensor]:
    return [parameter.grad for parameter in gan.g_parameters + gan.d_parameters]


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [2, 8])
@pytest.mark.parametrize("kind", EVERY)
def test_without_batch_norm_they_are_those_of_the_whole_batch(kind: str, accumulate: int) -> None:
    whole = make(kind, batch_norm="none", batch_size=8, d_steps=2, g_steps=2)
    parts = make(kind, batch_norm="none", batch_size=8, d_steps=2, g_steps=2, accumulate=accumulate)
    torch.testing.assert_close(parts.step(), whole.step(), rtol=1e-6, atol=1e-9)
    for ours, theirs in zip(gradients(parts), gradients(whole), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ["saturating", "least_squares", "rasgan", "feature matching"])
def test_batch_norm_is_that_of_each_part(kind: str) -> None:
    """By hand: each part passes alone, all scores come to one loss, and autograd goes through all of it at once."""
    gan = make(kind, batch_size=8, accumulate=2)
    generator, discriminator = deepcopy(gan.generator), deepcopy(gan.discriminator)
    drawn: list[Tensor] = []
    chosen = gan.batches.chosen

    def noted(batch: int) -> tuple[Tensor, Tensor]:
        images, numbers = chosen(batch)
        drawn.append(images)
        return images, numbers

    gan.batches.chosen = noted  # type: ignore[method-assign]
    latents = torch.randn(8, 3, generator=torch.Generator().set_state(gan.latents.get_state())).split(4)
    gan.step()
    reals = list(drawn[0].split(4))

    def judged(images: list[Tensor]) -> DiscriminatorOutput:
        parts = [discriminator(part) for part in images]
        return DiscriminatorOutput(torch.cat([p.scores for p in parts]), torch.cat([p.features for p in parts]))

    update = UpdateContext({}, torch.Generator())
    with torch.no_grad():
        fakes = [generator(part) for part in latents]
    loss = gan.objective.discriminator(judged(reals), judged(fakes), update)
    of_d = torch.autograd.grad(loss, list(discriminator.parameters()))
    torch.testing.assert_close([p.grad for p in gan.d_parameters], list(of_d), rtol=1e-7, atol=1e-10)
    discriminator.load_state_dict(gan.discriminator.state_dict())
    loss = gan.objective.generator_loss(judged([generator(part) for part in latents]), judged(reals), update)
    of_g = torch.autograd.grad(loss, list(generator.parameters()))
    torch.testing.assert_close([p.grad for p in gan.g_parameters], list(of_g), rtol=1e-7, atol=1e-10)


class Largest(TorchDispatchMode):
    """The largest tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.numel = max([self.numel, *(t.numel() for t in tree_leaves(made) if isinstance(t, Tensor))])
        return made


def test_feature_maps_are_those_of_one_part() -> None:
    """Sixteen images of 28x28 are the only tensors of the whole batch."""
    largest = {}
    for accumulate in (1, 4):
        gan = make("least_squares", batch_size=16, accumulate=accumulate, width=16)
        with Largest() as watch:
            gan.step()
        largest[accumulate] = watch.numel
    assert largest[1] == 16 * 16 * 14 * 14
    assert largest[4] < largest[1] / 2


def test_the_generator_makes_its_images_of_the_latents_that_were_judged() -> None:
    whole, parts = make("least_squares", batch_size=8), make("least_squares", batch_size=8, accumulate=2)
    for gan in (whole, parts):
        gan.step()
    assert torch.equal(whole.latents.get_state(), parts.latents.get_state())
    assert torch.equal(whole.batches.next(), parts.batches.next())


def test_each_loss_is_computed_once_an_update_whatever_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    original = NonSaturating.generator
    monkeypatch.setattr(
        NonSaturating,
        "generator",
        lambda self, fake, *rest: calls.append(len(fake.scores)) or original(self, fake, *rest),
    )
    make("non_saturating", batch_size=8, accumulate=4, g_steps=3).step()
    assert calls == [8, 8, 8]
