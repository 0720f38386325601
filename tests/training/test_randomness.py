"""Where the random numbers of a trial come from, and what does not touch them."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch


def test_the_same_seed_gives_the_same_numbers(make_gan, differences) -> None:
    one, other = make_gan(seed=5, d_steps=2), make_gan(seed=5, d_steps=2)
    for _ in range(7):
        assert torch.equal(one.step(), other.step())
    assert differences(one.state_dict(), other.state_dict()) == []


def test_another_seed_gives_others_everywhere(make_gan) -> None:
    one, other = make_gan(seed=5), make_gan(seed=6)
    assert not torch.equal(one.fixed_latents, other.fixed_latents)
    assert not torch.equal(one.batches.next(), other.batches.next())
    for ours, theirs in zip((one.generator, one.discriminator), (other.generator, other.discriminator), strict=True):
        for (name, weight), other_weight in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            assert name.endswith("bias") or not torch.equal(weight, other_weight)
    assert not torch.equal(one.step(), other.step())


def test_torchs_global_generator_neither_decides_nor_is_moved_by_a_step(make_gan, differences) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        one = make_gan()
        torch.manual_seed(2)
        other = make_gan()
        before = torch.get_rng_state()
        one.step()
        other.step()
        one.sample(one.fixed_latents)
        assert torch.equal(torch.get_rng_state(), before)
    assert differences(one.state_dict(), other.state_dict()) == []


def test_a_change_to_one_stream_leaves_the_others(make_gan) -> None:
    """Trials of one seed that differ in a setting begin alike in all else."""
    plain = make_gan()
    for other in (make_gan(d_steps=3), make_gan(objective="saturating"), make_gan(g_optimizer={"lr": 0.1})):
        assert all(torch.equal(a, b) for a, b in zip(plain.g_parameters, other.g_parameters, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(plain.d_parameters, other.d_parameters, strict=True))
    wider = make_gan(width=3)
    assert torch.equal(plain.fixed_latents, wider.fixed_latents)
    plain.step()
    wider.step()
    assert torch.equal(plain.batches.next(), wider.batches.next())
    assert torch.equal(plain.latents.get_state(), wider.latents.get_state())


def test_no_two_streams_are_the_same(make_gan) -> None:
    """One seed for two of them would tie latents to the order of the images, or to the weights."""
    gan = make_gan(seed=3)
    first = torch.randn(64, 3, generator=gan.latents)
    assert not torch.equal(gan.fixed_latents, first)
    starts = [make_gan(seed=3).latents.get_state(), gan.batches.state_dict()["pass_generator"]]
    starts.append(torch.Generator().manual_seed(3).get_state())
    assert len({tuple(state.tolist()) for state in starts}) == 3
    weights = gan.g_parameters[0].detach().flatten()
    for state in starts:
        drawn = torch.empty_like(weights).normal_(0.0, 0.02, generator=torch.Generator().set_state(state))
        assert not torch.equal(weights, drawn)


def test_latents_are_standard_normal(make_gan) -> None:
    gan = make_gan()
    latents = torch.stack([gan._draw()[0] for _ in range(400)]).double()
    assert latents.shape == (400, 4, 3)
    assert len(latents.flatten().unique()) == latents.numel()
    error = latents.numel() ** -0.5
    assert abs(latents.mean().item()) < 5 * error
    assert abs(latents.std().item() - 1) < 5 * error
    assert abs((latents.abs() < 1).double().mean().item() - 0.6827) < 5 * 0.4654 * error


def test_samples_leave_training_as_it_is(make_gan, differences) -> None:
    plain, sampled = make_gan(), make_gan()
    for _ in range(3):
        plain.step()
        sampled.step()
        before = deepcopy(sampled.state_dict())
        sampled.sample(sampled.fixed_latents)
        assert differences(sampled.state_dict(), before) == []
        assert all(module.training for module in sampled.generator.modules())
    assert torch.equal(plain.step(), sampled.step())


def test_a_sample_depends_on_its_latent_only(make_gan) -> None:
    gan = make_gan()
    gan.step()
    images = gan.sample(gan.fixed_latents)
    assert images.shape == (64, 1, 28, 28)
    assert not images.requires_grad
    assert images.abs().max() <= 1
    torch.testing.assert_close(gan.sample(gan.fixed_latents[5:6])[0], images[5])
    assert not torch.allclose(images[0], images[1], atol=1e-9)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_ends_of_the_range_of_seeds_work(make_gan, seed: int) -> None:
    assert make_gan(seed=seed).step().isfinite().all()
