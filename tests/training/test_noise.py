"""Noise while a trial trains: how it falls, what draws it, and what it does to penalties and to passes made twice."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from orchestrator.distributed.group import ALONE
from orchestrator.models._layers import Noise, set_generator
from orchestrator.objectives.adversarial import Penalty
from orchestrator.training.discriminator_noise import DiscriminatorNoise
from orchestrator.training.penalties import gradient_penalty
from tests.distributed.trials import make_gan, trial
from tests.models.pairs import KINDS, small

if TYPE_CHECKING:
    from orchestrator.training.gan import Gan

NOISE = {"instance_noise": 0.3, "feature_noise": 0.5}
STEPS_PER_EPOCH = 3
"""40 images in batches of 12."""


def make(name: str = "non_saturating", model: Any = NOISE, **training: Any) -> Gan:
    return make_gan(ALONE, trial(name, model=model, **training))


def shares(gan: Gan) -> set[float]:
    return {module.share for module in gan.discriminator.modules() if isinstance(module, Noise)}


def test_both_noises_fall_linearly_to_none_over_their_epochs() -> None:
    gan, seen = make(noise_epochs=2), []
    for _ in range(3 * STEPS_PER_EPOCH):
        gan.step()
        (share,) = shares(gan)
        seen.append(share)
    assert seen == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0, 0, 0])


def test_without_epochs_to_fall_over_they_stay() -> None:
    gan = make()
    for _ in range(2 * STEPS_PER_EPOCH):
        gan.step()
    assert shares(gan) == {1.0}


def test_once_they_are_gone_a_step_is_that_of_a_trial_without(differences: Any) -> None:
    gan, plain = make(noise_epochs=1), make(model={})
    for step in range(STEPS_PER_EPOCH + 1):
        plain.load_state_dict(deepcopy(gan.state_dict()))
        assert torch.equal(gan.step(), plain.step()) == (step == STEPS_PER_EPOCH)
    assert differences(gan.state_dict(), plain.state_dict()) == []


@pytest.mark.parametrize("more", [{}, {"accumulate": 2}, {"unrolled_steps": 2}], ids=str)
def test_a_trial_with_noise_goes_on_bitwise(more: dict[str, Any], differences: Any) -> None:
    whole, resumed = (make(noise_epochs=2, d_steps=2, g_steps=2, **more) for _ in range(2))
    for _ in range(2):
        whole.step()
    resumed.load_state_dict(deepcopy(whole.state_dict()))
    for _ in range(3):
        assert torch.equal(whole.step(), resumed.step())
    assert differences(whole.state_dict(), resumed.state_dict()) == []


def test_it_depends_on_seed_process_and_step() -> None:
    def drawn(seed: int, rank: int, step: int) -> Tensor:
        network = Noise(1.0)
        DiscriminatorNoise(network, seed, rank, 0, torch.device("cpu")).set_for(step)
        noise: Tensor = network(torch.zeros(8))
        return noise

    first = drawn(0, 0, 0)
    assert torch.equal(drawn(0, 0, 0), first)
    assert not any(torch.equal(drawn(*other), first) for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))


def test_every_pass_has_noise_of_its_own() -> None:
    gan = make()
    gan.discriminator_noise.set_for(0)
    images = torch.zeros(4, 1, 28, 28)
    scores = torch.stack([gan._run_discriminator(images)[:, 0].detach() for _ in range(3)])
    assert not torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[1], scores[2])


def test_a_pass_that_is_made_again_has_the_same_noise() -> None:
    gan = make(model={**NOISE, "batch_norm": "none"}, accumulate=2)
    run, outputs = gan._run_discriminator, []

    def watched(*args: Any) -> Tensor:
        outputs.append(run(*args))
        return outputs[-1]

    gan._run_discriminator = watched  # type: ignore[method-assign]
    gan.step()
    # Of D's update a real and a generated part each, twice; of G's a generated part each.
    for first, second in ((outputs[:4], outputs[4:8]), (outputs[8:10], outputs[10:12])):
        for scores, again in zip(first, second, strict=True):
            torch.testing.assert_close(scores, again, rtol=1e-5, atol=1e-6)
    assert len(outputs) == 12
    assert not torch.allclose(outputs[0], outputs[2])


@pytest.mark.parametrize("penalty", [Penalty("real", 2.0, 0.0), Penalty("between", 10.0, 1.0)], ids=str)
def test_a_gradient_penalty_is_of_the_slope_where_the_noise_has_put_the_image(penalty: Penalty) -> None:
    torch.manual_seed(0)
    body = nn.Sequential(Noise(0.3), nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0))
    images = torch.randn(6, 1, 4, 4)
    set_generator(body, torch.Generator().manual_seed(2))
    noise = 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    found, expected = gradient_penalty(body, images, penalty), gradient_penalty(body[1:], images + noise, penalty)
    torch.testing.assert_close(found, expected)
    parameters = list(body.parameters())[:-1]
    ours, theirs = (torch.autograd.grad(value.sum(), parameters, allow_unused=True) for value in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["wgan_gp", "R1", "feature matching"])
def test_steps_with_noise_and_additions_are_finite(name: str) -> None:
    gan = make(name)
    assert gan.step().isfinite().all()
    assert gan.step().isfinite().all()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_pair_of_networks_trains_with_both(kind: str) -> None:
    model = {**small(kind).model_dump(), "latent_dim": 3, "skip_z": "none", **NOISE}
    model = {name: value for name, value in model.items() if name in KINDS[kind].model_fields}
    gan = make("began" if KINDS[kind].judges == "reconstruction" else "hinge", model)
    before = [parameter.clone() for parameter in gan.g_parameters + gan.d_parameters if parameter.ndim > 1]
    assert gan.step().isfinite().all()
    after = [parameter for parameter in gan.g_parameters + gan.d_parameters if parameter.ndim > 1]
    assert not any(map(torch.equal, before, after))


@pytest.mark.parametrize("noise", [{"instance_noise": 0.1}, {"feature_noise": 0.1}])
def test_noise_that_is_to_fall_must_be_there(noise: dict[str, float]) -> None:
    assert trial(model=noise, noise_epochs=5).training.noise_epochs == 5
    with pytest.raises(ValidationError, match=r"training.noise_epochs: got 5, expected 0 without noise"):
        trial(noise_epochs=5)
