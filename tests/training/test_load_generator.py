"""A trained generator, read back from a checkpoint to be used alone."""

from __future__ import annotations

import re

import pytest
import torch

from orchestrator.errors import CheckpointError
from orchestrator.store.local import LocalStore
from orchestrator.training.checkpoint import load_generator, save_best
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
    generator = load_generator(store, ID, settings)
    assert not generator.training
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    latents = session.gan.fixed_latents
    assert torch.equal(generator(latents), session.gan.sample(latents))
    if training:
        session.gan.averaged = None
        assert not torch.equal(generator(latents), session.gan.sample(latents))


def test_spectral_norm_is_read_back(make_trial, images, tmp_path) -> None:
    store, settings = LocalStore(tmp_path), make_trial(epochs=1)
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"spectral_norm": "both"})})
    session = trained(settings, images, store)
    latents = session.gan.fixed_latents
    torch.testing.assert_close(load_generator(store, ID, settings)(latents), session.gan.sample(latents))


def test_what_is_missing_or_does_not_fit_is_told_in_one_line(make_trial, images, tmp_path) -> None:
    store, settings = LocalStore(tmp_path), make_trial(epochs=1)
    with pytest.raises(CheckpointError, match=re.escape(f"{ID}.pt: no such checkpoint")):
        load_generator(store, ID, settings)
    trained(settings, images, store)
    with pytest.raises(CheckpointError, match=r"\.pt: does not fit these settings \(RuntimeError\); delete it"):
        load_generator(store, ID, make_trial(width=3))
    with pytest.raises(CheckpointError, match="does not fit"):
        load_generator(store, ID, make_trial(g_ema=0.5))
    with pytest.raises(CheckpointError, match=r"\.best\.pt: no such checkpoint.*training\.measure_every"):
        load_generator(store, ID, settings, "best")


@pytest.mark.parametrize("training", [{}, {"g_ema": 0.5}], ids=["last weights", "averaged weights"])
def test_the_best_is_read_back_too(make_trial, images, tmp_path, training) -> None:
    store, settings = LocalStore(tmp_path), make_trial(epochs=1, **training)
    session = Session(ID, settings, images, store)
    save_best(store, ID, {"step": 0, "fid": 9.0, "generator": session.gan.drawing.state_dict()})
    latents = session.gan.fixed_latents
    before = session.gan.sample(latents)
    while not session.progress.done:
        session.advance(60.0)
    assert not torch.equal(before, session.gan.sample(latents))
    generator = load_generator(store, ID, settings, "best")
    assert torch.equal(generator(latents), before)
