"""What holds of every way of training without a discriminator of images: parts, averages, memory, noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from orchestrator.distributed.group import ALONE, Group
from orchestrator.models._flow import Flow
from orchestrator.training.learners import learner_of
from tests.distributed.trials import doubles, in_default_precision
from tests.training.families import assert_resumes_bitwise, make, trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.training.settings import TrialSettings

    InputsOf = Callable[[Group, int], list[Tensor]]

APART = {"batch_norm": "none", "initialization": "orthogonal"}
"""Networks that see each image by itself, and codes as far from zero as the images."""
FAMILIES: dict[str, dict[str, Any]] = {
    "autoencoder": {"model": APART},
    "wae_moments": {"model": APART, "objective_weight": 1.0, "objective_encoder_reconstruction": 0.5},
    "wae_mmd": {"model": APART},
    "wae_adversarial": {"model": APART, "objective_critic_width": 4, "objective_critic_layers": 1},
    "glo": {"model": APART, "objective_latent_lr": 100.0},
    "likelihood": {},
}
SGD = {"kind": "sgd", "lr": 0.01}
every_family = pytest.mark.parametrize("kind", FAMILIES)


@pytest.fixture
def in_doubles() -> Iterator[None]:
    with doubles():
        yield


def family(kind: str, **training: Any) -> TrialSettings:
    return trial(kind, **FAMILIES[kind], **training)


def weights_of(learner: Any) -> dict[str, Tensor]:
    """Weights, the critic's too, and learned vectors."""
    critic = {} if getattr(learner, "critic", None) is None else learner.critic.state_dict()
    table = {} if learner.table is None else {"table": learner.table}
    found = {**learner.networks.state_dict(), **{f"critic.{name}": value for name, value in critic.items()}, **table}
    return {name: value.detach().clone() for name, value in found.items()}


@pytest.mark.usefixtures("in_doubles")
@every_family
@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_is_the_whole_batch(images: Tensor, kind: str, parts: int) -> None:
    """To rounding, even where the loss is no mean over images and a part of a single one has no moments."""
    learners = [
        in_default_precision(make(family(kind, g_optimizer=SGD, accumulate=count), images)) for count in (1, parts)
    ]
    first = weights_of(learners[0])
    for _ in range(3):
        whole, cut = (learner.step() for learner in learners)
        torch.testing.assert_close(cut, whole, rtol=1e-9, atol=1e-10)
    expected, found = (weights_of(learner) for learner in learners)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-10, msg=name)
    assert any(not torch.equal(value, expected[name]) for name, value in first.items())


@every_family
def test_the_average_is_of_every_network_that_a_trained_model_consists_of(images: Tensor, kind: str) -> None:
    """Of the weights after each step, of which the n-th keeps min(decay, (1 + n) / (10 + n)) of those before."""
    learner = make(family(kind, g_ema=0.15, g_optimizer={"lr": 0.01}), images)
    expected = {name: parameter.detach().clone() for name, parameter in learner.networks.named_parameters()}
    for number in range(1, 4):
        learner.step()
        kept = min(0.15, (1 + number) / (10 + number))
        for name, parameter in learner.networks.named_parameters():
            expected[name] = kept * expected[name] + (1 - kept) * parameter.detach()
    averaged = dict(learner.sampling_networks.named_parameters())
    assert averaged.keys() == expected.keys()
    last = dict(learner.networks.named_parameters())
    for name, value in expected.items():
        torch.testing.assert_close(averaged[name], value, rtol=1e-5, atol=1e-7, msg=name)
    networks = {name.partition(".")[0] for name in expected if not torch.equal(averaged[name], last[name])}
    assert networks == set(learner.networks)


class Allocated(TorchDispatchMode):
    """Numbers in the largest tensor that an operation within returned, but for those that were there before it."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        there = {one.untyped_storage().data_ptr() for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        for one in tree_leaves(found):
            if isinstance(one, Tensor) and one.untyped_storage().data_ptr() not in there:
                self.largest = max(self.largest, one.untyped_storage().nbytes())
        return found


@every_family
def test_a_step_allocates_as_much_however_many_images_there_are(images: Tensor, kind: str) -> None:
    allocated = []
    for times in (1, 2000):
        learner = make(family(kind), images.repeat(times, 1, 1, 1))
        learner.step()  # optimizers make their state
        with Allocated() as mode:
            learner.step()
        allocated.append(mode.largest)
    assert allocated[0] == allocated[1] > 0
    assert kind != "glo" or learner.table.nbytes > allocated[1]


class Mute(Group):
    """One of several processes that hears nothing of the others: what they would have said is zero."""

    def gather(self, part: Tensor, total: int) -> Tensor:
        joined = part.new_zeros(total, *part.shape[1:])
        joined[self.local_slice(total)] = part.detach()
        return joined

    def sum_gradients(self, *_: Any) -> None:
        pass


@pytest.fixture
def inputs_of(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> InputsOf:
    """What a flow is given in steps of its training, in units of a byte: bytes and noise."""
    original, seen = Flow.encode, []

    def watched(flow: Flow, inputs: Tensor) -> Any:
        seen.append((inputs + 0.5) * 256)
        return original(flow, inputs)

    monkeypatch.setattr(Flow, "encode", watched)

    def find(group: Group, steps: int) -> list[Tensor]:
        learner = learner_of(trial("likelihood"), images, group)
        seen.clear()
        for _ in range(steps):
            learner.step()
        return list(seen)

    return find


def test_noise_is_in_0_to_1_and_new_in_every_step(images: Tensor, inputs_of: InputsOf) -> None:
    twin = make(trial("likelihood"), images)
    noises = [inputs - ((twin.batches.next() + 1) * 127.5).round() for inputs in inputs_of(ALONE, 3)]
    for noise in noises:
        assert -1e-4 <= noise.min() < 0.01
        assert 0.99 < noise.max() < 1 + 1e-4
        assert noise.mean().item() == pytest.approx(0.5, abs=5 / math.sqrt(12 * noise.numel()))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (noises[one] - noises[other]).abs().mean() == pytest.approx(1 / 3, abs=0.03)


def test_every_process_takes_its_share_of_the_noise_of_the_whole_batch(inputs_of: InputsOf) -> None:
    shares = [inputs_of(Mute(rank, 3), 2) for rank in range(3)]
    assert [len(inputs[0]) for inputs in shares] == [1, 1, 2]
    for parts, whole in zip(zip(*shares, strict=True), inputs_of(ALONE, 2), strict=True):
        assert torch.equal(torch.cat(parts), whole)


def test_a_resumed_trial_under_the_discrepancy_is_bitwise_the_one_that_was_never_interrupted(
    images: Tensor, tmp_path: Path, differences: Any
) -> None:
    """Its draws from N(0, I) go on where they were."""
    assert_resumes_bitwise(family("wae_mmd", epochs=2), images, tmp_path, differences)
