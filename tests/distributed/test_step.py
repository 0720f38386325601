"""A step of one process against the same step of several: the batch is global, whatever the objective."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from orchestrator.distributed.group import ALONE, Group
from orchestrator.training.gan import Gan
from tests.distributed.trials import EVERY, NOT_A_MEAN, OfEachProcess, bend, doubles, make_gan, trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.training.settings import TrialSettings
    from tests.distributed.processes import Processes


class LossOfEachProcess(OfEachProcess, Gan):
    """A GAN so."""


def gradients(
    group: Group, kind: str, batch_norm: str, accumulate: int = 1, of: Callable[..., Gan] = Gan
) -> list[list[Tensor]]:
    """Gradients of G and of D in the first step."""
    settings = trial(kind, model={"batch_norm": batch_norm}, accumulate=accumulate)
    with doubles():
        gan = bend(make_gan(group, settings, of))
        gan.step()
        return [[p.grad.clone() for p in parameters] for parameters in (gan.g_parameters, gan.d_parameters)]


def furthest(one: list[Tensor], other: list[Tensor]) -> float:
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", ["none", "synchronized"])
@pytest.mark.parametrize("kind", EVERY)
def test_gradients_are_those_of_one_process(two: Processes, kind: str, batch_norm: str) -> None:
    """The batch of two processes' halves against the same batch on one, for every objective there is."""
    expected = gradients(ALONE, kind, batch_norm)
    answers = two.run(gradients, kind, batch_norm)
    differences = [max(furthest(a[network], expected[network]) for a in answers) for network in (0, 1)]
    sizes = [max(g.abs().max().item() for g in of_network) for of_network in expected]
    shown = f"{kind:26} {batch_norm:13} G: {differences[0]:.1e} of {sizes[0]:.1e}"
    print(f"\n{shown}   D: {differences[1]:.1e} of {sizes[1]:.1e}", end="")
    assert max(differences) < 1e-6
    assert max(differences) < 1e-9 * min(sizes)


@pytest.mark.slow
def test_the_property_sees_a_loss_of_each_process(two: Processes) -> None:
    """Which equals that of the whole batch where the loss is a mean over images, and only there."""
    for kind in EVERY:
        expected = gradients(ALONE, kind, "none")
        answers = two.run(gradients, kind, "none", 1, LossOfEachProcess)
        sizes = [max(g.abs().max().item() for g in of_network) for of_network in expected]
        apart = [furthest(*both) / size for *both, size in zip(answers[0], expected, sizes, strict=True)]
        # Feature matching and the pulling-away term are in the generator's loss alone.
        assert max(apart) > 1e-3 if kind in NOT_A_MEAN else max(apart) < 1e-9, (kind, apart)


@pytest.mark.slow
def test_the_property_sees_batch_norm_over_each_process(two: Processes) -> None:
    expected = gradients(ALONE, "non_saturating", "synchronized")
    for network, of_network in enumerate(two.run(gradients, "non_saturating", "per_device")[0]):
        assert furthest(of_network, expected[network]) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY)
def test_parts_on_several_processes_add_up_as_well(three: Processes, kind: str) -> None:
    expected = gradients(ALONE, kind, "none")
    for answer in three.run(gradients, kind, "none", 2):
        assert max(furthest(a, b) for a, b in zip(answer, expected, strict=True)) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["non_saturating", "rasgan"])
def test_batch_norm_takes_the_same_part_of_all_processes_together(two: Processes, kind: str) -> None:
    """As one process would whose parts are made of these images: of 12, the first has 0 to 5, in two parts."""
    parts = torch.tensor([0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11])
    expected = gradients(ALONE, kind, "synchronized", 2, partial(Reordered, order=parts))
    for answer in two.run(gradients, kind, "synchronized", 2):
        assert max(furthest(a, b) for a, b in zip(answer, expected, strict=True)) < 1e-6
    as_they_come = gradients(ALONE, kind, "synchronized", 2)
    assert max(furthest(a, b) for a, b in zip(as_they_come, expected, strict=True)) > 1e-3


class Reordered(Gan):
    """The same images and latent vectors in another order within each batch."""

    def __init__(self, *arguments: Any, order: Tensor) -> None:
        super().__init__(*arguments)
        chosen, self.order = self.batches.chosen, order
        self.batches.chosen = lambda batch: tuple(t[order] for t in chosen(batch))  # type: ignore[method-assign]

    def _draw(self) -> tuple[Tensor, ...]:
        return torch.tensor_split(torch.cat(super()._draw())[self.order], self.settings.accumulate)


def steps(group: Group, settings: TrialSettings, count: int, *, double: bool) -> tuple[Tensor, dict[str, Any]]:
    """Signals of so many steps, and the state after them."""
    with doubles(wanted=double):
        gan = make_gan(group, settings)
        signals = torch.stack([gan.step() for _ in range(count)])
        gan.sync_buffers()
        return signals, gan.state_dict()


def networks(state: dict[str, Any]) -> dict[str, Tensor]:
    return {f"{name}.{key}": v for name in ("networks", "discriminator") for key, v in state[name].items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({}, {}),
        ({}, {"d_steps": 2, "g_steps": 3}),
        ({"batch_norm": "none"}, {"accumulate": 2}),
        ({"kind": "small_dcgan"}, {}),
        ({}, {"batch_size": 13}),
    ],
    ids=["dcgan", "another rhythm", "accumulated", "small_dcgan", "unequal shares"],
)
def test_training_comes_to_the_same_numbers(
    processes: Processes, model: dict[str, Any], training: dict[str, Any]
) -> None:
    """Signals of three steps, weights, statistics, optimizers, random numbers; bitwise alike on all processes."""
    settings = trial(model=model, **training)
    signals, state = steps(ALONE, settings, 3, double=True)
    answers = processes.run(in_doubles, settings)
    for answer in answers:
        torch.testing.assert_close(answer[0], signals, rtol=1e-8, atol=1e-11)
        for name, value in networks(answer[1]).items():
            torch.testing.assert_close(value, networks(state)[name], rtol=1e-7, atol=1e-9, msg=name)
            assert torch.equal(value, networks(answers[0][1])[name]), name
        assert torch.equal(answer[1]["latents"], state["latents"])
        assert torch.equal(answer[1]["batches"]["generator"], state["batches"]["generator"])


def in_doubles(group: Group, settings: TrialSettings) -> tuple[Tensor, dict[str, Any]]:
    return steps(group, settings, 3, double=True)


def in_singles(group: Group, settings: TrialSettings) -> tuple[Tensor, dict[str, Any]]:
    return steps(group, settings, 3, double=False)


@pytest.mark.slow
def test_in_single_precision_it_does_so_to_single_precision(processes: Processes) -> None:
    settings = trial(model={"width": 8}, d_steps=2)
    signals, state = steps(ALONE, settings, 3, double=False)
    for answer in processes.run(in_singles, settings):
        torch.testing.assert_close(answer[0], signals, rtol=1e-3, atol=1e-5)
        for name, value in networks(answer[1]).items():
            torch.testing.assert_close(value, networks(state)[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
def test_over_each_device_alone_they_are_others(two: Processes) -> None:
    """And the running statistics, once joined, are the same on both."""
    settings = trial(model={"batch_norm": "per_device"})
    signals, _ = steps(ALONE, settings, 3, double=True)
    one, other = two.run(in_doubles, settings)
    assert not torch.allclose(one[0], signals, rtol=1e-3)
    assert torch.equal(one[0], other[0])
    for name, value in networks(one[1]).items():
        assert torch.equal(value, networks(other[1])[name]), name
