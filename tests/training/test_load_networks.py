"""A trained generator, read back from a checkpoint to be used alone."""

from __future__ import annotations

import re

import pytest
import torch

from orchestrator.errors import CheckpointError
from orchestrator.store.local import LocalStore
from orchestrator.training.checkpoint import load_networks, save_best
from orchestrator.training.session import Session

ID = "0123456789abcdef"


def trained(settings, images, store) -> Session:
    session = Session(ID, settings, images, store)
    while not session.progress.done:
        session.advance(60.0)
    return session


@pytest.mark.parametrize("training", [{}, {"g_ema": 0.5}], ids=["last weights", "averaged weights"])
def test_it_makes_the_images_of_the_trials_samples(make_trial, images, tmp_path, training) -> None:
    store, settings = LocalStore(tmp_path), make_trial(epochs=1, **training)
    session = trained(settings, images, store)
    generator = load_networks(store, ID, settings)["generator"]
    assert not generator.training
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    latents = session.learner.fixed_latents
    assert torch.equal(generator(latents), session.learner.sample(latents))
    if training:
        session.learner.averaged = None
        assert not torch.equal(generator(latents), session.learner.sample(latents))


def test_spectral_norm_is_read_back(make_trial, images, tmp_path) -> None:
    store, settings = LocalStore(tmp_path), make_trial(epochs=1)
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"spectral_norm": "both"})})
    session = trained(settings, images, store)
    latents = session.learner.fixed_latents
    torch.testing.assert_close(
        load_networks(store, ID, settings)["generator"](latents), session.learner.sample(latents)
    )


def test_what_is_missing_or_does_not_fit_is_told_in_one_line(make_trial, images, tmp_path) -> None:
    store, settings = LocalStore(tmp_path), make_trial(epochs=1)
    with pytest.raises(CheckpointError, match=re.escape(f"{ID}.pt: no such checkpoint")):
        load_networks(store, ID, settings)
    trained(settings, images, store)
    with pytest.raises(CheckpointError, match=r"\.pt: does not fit these settings \(RuntimeError\); delete it"):
        load_networks(store, ID, make_trial(width=3))
    with pytest.raises(CheckpointError, match="does not fit"):
        load_networks(store, ID, make_trial(g_ema=0.5))
    with pytest.raises(CheckpointError, match=r"\.best\.pt: no such checkpoint.*training\.measure_every"):
        load_networks(store, ID, settings, "best")


@pytest.mark.parametrize("training", [{}, {"g_ema": 0.5}], ids=["last weights", "averaged weights"])
def test_the_best_is_read_back_too(make_trial, images, tmp_path, training) -> None:
    store, settings = LocalStore(tmp_path), make_trial(epochs=1, **training)
    session = Session(ID, settings, images, store)
    save_best(store, ID, {"step": 0, "fid": 9.0, "networks": session.learner.sampling_networks.state_dict()})
    latents = session.learner.fixed_latents
    before = session.learner.sample(latents)
    while not session.progress.done:
        session.advance(60.0)
    assert not torch.equal(before, session.learner.sample(latents))
    generator = load_networks(store, ID, settings, "best")["generator"]
    assert torch.equal(generator(latents), before)
