"""Glow in training: what it minimises, what it begins with, and that a checkpoint holds all of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from orchestrator.hardware import Processor
from orchestrator.models._flow import Flow
from orchestrator.models._flow_layers import ActNorm
from orchestrator.store.local import LocalStore
from orchestrator.training import precision
from orchestrator.training.session import Session
from tests.training.families import ID, assert_resumes_bitwise, finish, make, trial

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = 28 * 28


def bits_of(flow: Flow, batch: Tensor, noise: Tensor) -> Tensor:
    """-log2 of the density of bytes with noise, by number and in units of a byte: change of variables, by hand."""
    latents, log_det = flow.encode(((batch + 1) * 127.5 + noise) / 256 - 0.5)
    log_density = Normal(0.0, 1.0).log_prob(latents.double()).sum(1) + log_det
    return -log_density / math.log(2) / NUMBERS + 8


def test_the_loss_of_a_step_is_the_mean_bits_of_its_images_with_fresh_noise(images: Tensor) -> None:
    settings = trial("likelihood", g_optimizer={"kind": "sgd", "lr": 0.01})
    learner, twin = make(settings, images), make(settings, images)
    optimizer = torch.optim.SGD(twin.flow.parameters(), lr=0.01)
    for _ in range(3):
        batch, noise = twin.batches.next(), torch.rand(4, 1, 28, 28, generator=twin.noise)
        loss = bits_of(twin.flow, batch, noise).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        told = dict(zip(learner.metric_names, learner.step().tolist(), strict=True))
        norm = torch.cat([p.grad.flatten() for p in twin.flow.parameters() if p.grad is not None]).norm().item()
        assert told["g_loss"] == told["bits_per_dimension"] == pytest.approx(loss.item(), rel=1e-5)
        assert told["g_grad_norm"] == pytest.approx(norm, rel=1e-3)
    for ours, theirs in zip(learner.flow.parameters(), twin.flow.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_actnorms_are_fitted_to_the_first_batch_which_is_not_used_up(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted_to: list[Tensor] = []
    original = Flow.fit_actnorms

    def watched(flow: Flow, batch: Tensor) -> None:
        fitted_to.append(batch)
        original(flow, batch)

    monkeypatch.setattr(Flow, "fit_actnorms", watched)
    learner = make(trial("likelihood"), images)
    (batch,) = fitted_to
    noise = (batch + 0.5) * 256 - ((learner.batches.next() + 1) * 127.5).round()
    assert -1e-4 <= noise.min() < 0.1
    assert 0.9 < noise.max() < 1 + 1e-4
    outputs: list[Tensor] = []
    norms = [module for module in learner.flow.modules() if isinstance(module, ActNorm)]
    for norm in norms:
        norm.register_forward_hook(lambda module, inputs, output: outputs.append(output[0]))
    with torch.no_grad():
        learner.flow.encode(batch)
    assert len(outputs) == len(norms) == 2
    for output in outputs:
        by_channel = output.transpose(0, 1).flatten(1)
        torch.testing.assert_close(by_channel.mean(1), torch.zeros(len(by_channel)), rtol=0, atol=1e-4)
        torch.testing.assert_close(by_channel.std(1, correction=0), torch.ones(len(by_channel)), rtol=0, atol=1e-2)


def test_equal_seeds_begin_with_equal_weights_and_others_do_not(images: Tensor) -> None:
    one, same, other = (make(trial("likelihood", seed=seed), images).networks.state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    drawn = [name for name in one if not torch.equal(one[name], other[name])]
    assert any("norm" in name for name in drawn)
    assert any("mix" in name for name in drawn)


def test_the_average_of_the_weights_begins_with_the_fitted_ones(images: Tensor) -> None:
    learner = make(trial("likelihood", g_ema=0.9), images)
    averaged = learner.averaged.module.state_dict()
    assert all(torch.equal(value, averaged[name]) for name, value in learner.networks.state_dict().items())


@pytest.mark.parametrize("training", [{}, {"g_ema": 0.5, "accumulate": 2}])
def test_a_resumed_trial_is_bitwise_the_one_that_was_never_interrupted(
    images: Tensor, tmp_path: Path, differences: Any, training: dict[str, Any]
) -> None:
    assert_resumes_bitwise(trial("likelihood", epochs=2, **training), images, tmp_path, differences)


def test_bits_fall_with_training_and_no_picture_of_reconstructions_is_drawn(images: Tensor, tmp_path: Path) -> None:
    store, settings = LocalStore(tmp_path), trial("likelihood", epochs=4, log_every=5, g_optimizer={"lr": 0.002})
    bits = [row["bits_per_dimension"] for row in finish(Session(ID, settings, images, store)).progress.rows]
    assert bits == sorted(bits, reverse=True)
    names = {key.rpartition("/")[2].partition("-")[0] for key in store.keys("samples")}
    assert names == {"epoch"}


def test_it_computes_in_single_precision_whatever_the_device_prefers(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "processor", lambda: Processor(None, computes_bf16=True))
    assert make(trial("likelihood"), images).precision == "fp32"
    assert make(trial("wae_mmd", precision="bf16"), images).precision == "bf16"
