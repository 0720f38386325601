"""GLO: how the vectors of the images move, what Gaussian fits them, and how they come through a crash."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from orchestrator.data.ranges import from_bytes
from orchestrator.errors import CheckpointError
from orchestrator.store.local import LocalStore
from orchestrator.store.tensors import pack
from orchestrator.training import fitted_prior, latent_table
from orchestrator.training.checkpoint import checkpoint_key, load_checkpoint
from orchestrator.training.fitted_prior import FittedPrior
from orchestrator.training.latent_table import drop_latents, latents_key, load_latents, save_latents
from orchestrator.training.session import Session
from tests.training.families import ID, assert_resumes_bitwise, finish, make, trial

if TYPE_CHECKING:
    from pathlib import Path

LATENTS = 3
STEEP = {"batch_norm": "none", "initialization": "orthogonal"}
"""Each image is made of its vector alone, and its error leans noticeably on it."""


@pytest.fixture
def five_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The 22 vectors take five shards, of which the last has two."""
    monkeypatch.setattr(latent_table, "SHARD_ROWS", 5)


@pytest.mark.parametrize("rate", [1e3, 1e5])
def test_a_step_moves_the_vectors_of_its_batch_alone_by_the_gradient_of_each_images_own_error(
    images: Tensor, rate: float
) -> None:
    settings = trial("glo", model=STEEP, objective_latent_lr=rate)
    learner, twin = make(settings, images), make(settings, images)
    with torch.no_grad():
        learner.table.mul_(0.5)  # from within the ball, which the higher rate leads out of
    before, network = learner.table.clone(), deepcopy(learner.network)
    indices = twin.batches.next_with_indices()[1].tolist()
    learner.step()
    for number in range(len(images)):
        if number not in indices:
            assert torch.equal(learner.table[number], before[number])
            continue
        latent = before[number].clone().requires_grad_()
        made = network(latent[None])
        error = settings.objective.errors(from_bytes(images[number][None]), made).sum()
        (gradient,) = torch.autograd.grad(error, latent)
        moved = before[number] - rate * gradient
        assert (moved.norm() > 1) == (rate > 1e4)
        assert not torch.allclose(moved, before[number], atol=1e-3)
        torch.testing.assert_close(learner.table[number], moved / max(1.0, moved.norm().item()), rtol=1e-5, atol=1e-6)


def test_vectors_begin_and_stay_in_the_unit_ball(images: Tensor) -> None:
    learner = make(trial("glo", model=STEEP, objective_latent_lr=1e3), images)
    for _ in range(6):
        assert learner.table.norm(dim=1).max() <= 1 + 1e-6
        learner.step()
    assert learner.table.norm(dim=1).max() <= 1 + 1e-6


def test_the_rate_of_the_vectors_falls_with_the_schedule(images: Tensor) -> None:
    settings = trial("glo", model=STEEP, epochs=1, schedule={"kind": "linear"}, objective_latent_lr=1e3)
    learner = make(settings, images)
    for _ in range(4):
        learner.step()
    before = learner.table.clone()
    learner.step()  # the last of five, at a rate of 0
    torch.testing.assert_close(learner.table, before, rtol=0, atol=1e-6)


def test_the_generator_learns_from_the_mean_error_of_the_batch(images: Tensor) -> None:
    settings = trial("glo", model=STEEP, g_optimizer={"kind": "sgd", "lr": 0.1})
    learner, twin = make(settings, images), make(settings, images)
    batch, indices = twin.batches.next_with_indices()
    network = deepcopy(learner.network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    made = network(learner.table[indices].clone())
    loss = settings.objective.errors(batch, made).mean()
    loss.backward()
    optimizer.step()
    told = dict(zip(learner.metric_names, learner.step().tolist(), strict=True))
    assert told["g_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert told["reconstruction"] == pytest.approx(nn.functional.mse_loss(made / 2, batch / 2).item(), rel=1e-5)
    for ours, theirs in zip(learner.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def correlated(count: int = 300, dimensions: int = 4) -> Tensor:
    source = torch.Generator().manual_seed(0)
    mixed = torch.randn(count, dimensions, generator=source) @ torch.randn(dimensions, dimensions, generator=source)
    return 0.2 * mixed + torch.arange(dimensions)


@pytest.mark.parametrize("rows_at_once", [7, 65_536])
def test_standard_normal_numbers_become_the_gaussian_of_the_vectors(
    rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitted_prior, "_ROWS_AT_ONCE", rows_at_once)
    learned, prior = correlated(), FittedPrior(nn.Identity(), 4)
    prior.fit(learned)
    origin = prior(torch.zeros(1, 4))
    linear = prior(torch.eye(4)) - origin  # rows are the images of the axes: their covariance is linear' linear
    np.testing.assert_allclose(origin[0], learned.numpy().mean(0), rtol=1e-5, atol=1e-6)
    expected = np.cov(learned.numpy().T, bias=True)
    np.testing.assert_allclose(linear.T @ linear, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_standardized_is_the_way_back() -> None:
    learned, prior = correlated(), FittedPrior(nn.Identity(), 4)
    prior.fit(learned)
    standard = prior.standardized(learned)
    torch.testing.assert_close(prior(standard), learned, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(standard.mean(0), np.zeros(4), atol=1e-4)
    np.testing.assert_allclose(np.cov(standard.numpy().T, bias=True), np.eye(4), atol=1e-3)


@pytest.mark.parametrize("learned", [torch.ones(5, 4), torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]])])
def test_vectors_that_fill_no_volume_still_have_a_gaussian(learned: Tensor) -> None:
    prior = FittedPrior(nn.Identity(), 4)
    prior.fit(learned)
    drawn = prior(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)))
    assert drawn.isfinite().all()
    torch.testing.assert_close(prior.mean, learned.mean(0))


def test_vectors_that_are_not_finite_leave_the_gaussian_as_it_was() -> None:
    learned, prior = correlated(), FittedPrior(nn.Identity(), 4)
    prior.fit(learned)
    before = {name: value.clone() for name, value in prior.state_dict().items()}
    prior.fit(torch.cat([learned, torch.full((1, 4), torch.nan)]))
    assert all(torch.equal(value, before[name]) for name, value in prior.state_dict().items())


def test_codes_give_back_what_the_generator_makes_of_the_learned_vectors(images: Tensor) -> None:
    learner = make(trial("glo", model={"initialization": "orthogonal"}), images)
    for _ in range(5):
        learner.step()
    learner.sync_buffers()
    indices = torch.tensor([3, 0, 17])
    codes = learner.codes(indices)
    made = learner.sample(codes)
    torch.testing.assert_close(made, learner.network.eval()(learner.table[indices]), rtol=1e-4, atol=1e-4)
    everyone = learner.codes(torch.arange(len(images)))
    np.testing.assert_allclose(np.cov(everyone.numpy().T, bias=True), np.eye(LATENTS), atol=1e-3)


@pytest.mark.usefixtures("five_rows")
def test_a_table_is_read_back_from_its_shards(tmp_path: Path) -> None:
    store, table = LocalStore(tmp_path), torch.randn(22, LATENTS)
    save_latents(store, ID, 5, table)
    assert list(store.keys("checkpoints")) == [latents_key(ID, 5, shard) for shard in range(5)]
    assert torch.equal(load_latents(store, ID, 5, 22, LATENTS), table)
    assert len(store.read(latents_key(ID, 5, 0))) < 2 * len(store.read(latents_key(ID, 5, 4)))  # none holds all


def other_rows(shape: tuple[int, ...], trial_id: str = ID) -> bytes:
    return pack({"trial_id": trial_id, "step": 5, "latents": torch.zeros(shape)})


@pytest.mark.usefixtures("five_rows")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such shard of latent vectors"),
        (b"no shard at all, but more bytes than its digest has", "damaged shard of latent vectors"),
        (other_rows((4, LATENTS)), "holds 4 vectors of 3 numbers, expected 5 vectors of 3 numbers"),
        (other_rows((5, 2)), "holds 5 vectors of 2 numbers, expected 5 vectors of 3 numbers"),
        (other_rows((5,)), "not the latent vectors of this trial"),
        (other_rows((5, LATENTS), "f" * 16), "not the latent vectors of this trial"),
        (pack({"trial_id": ID}), "not the latent vectors of this trial"),
    ],
)
def test_a_shard_that_is_not_what_it_should_be_is_named_in_one_line(
    images: Tensor, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    store, settings = LocalStore(tmp_path), trial("glo", epochs=1)
    finish(Session(ID, settings, images, store))
    key = latents_key(ID, 5, 2)
    if content is None:
        store.delete(key)
    else:
        store.write(key, content)
    with pytest.raises(CheckpointError, match=re.escape(f"{key}: {problem}")):
        load_latents(store, ID, 5, len(images), LATENTS)
    with pytest.raises(CheckpointError) as caught:
        Session(ID, settings, images, store)
    assert str(caught.value) == (
        f"{store.uri}/{checkpoint_key(ID)}: {key}: {problem}; delete it to train this trial from the start"
    )


@pytest.mark.usefixtures("five_rows")
def test_shards_of_other_steps_are_dropped_and_those_of_other_trials_are_not(tmp_path: Path) -> None:
    store, table = LocalStore(tmp_path), torch.zeros(6, LATENTS)
    for trial_id, step in ((ID, 5), (ID, 10), ("f" * 16, 5)):
        save_latents(store, trial_id, step, table)
    drop_latents(store, ID, 10)
    kept = {latents_key(*one, shard) for one in ((ID, 10), ("f" * 16, 5)) for shard in range(2)}
    assert set(store.keys("checkpoints")) == kept


class Crash(Exception):  # noqa: N818
    """Stands for kill -9: nothing catches it."""


class NoSecondCheckpoint(LocalStore):
    """Dies where the checkpoint of step 10 would be written, its shards being there."""

    checkpoints = 0

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        self.checkpoints += key == checkpoint_key(ID)
        if self.checkpoints == 2:
            raise Crash
        return super().write(key, data, replace=replace)


def test_only_shards_are_dropped(tmp_path: Path) -> None:
    store, table = LocalStore(tmp_path), torch.zeros(6, LATENTS)
    for step in (5, 10):
        save_latents(store, ID, step, table)
    mine = [f"checkpoints/{ID}.latents/{name}" for name in ("000000005-00000.pt.bak", "5.pt", "notes.txt", "sub/a.pt")]
    for key in mine:
        store.write(key, b"mine")
    drop_latents(store, ID, 10)
    assert store.keys() == sorted([*mine, f"checkpoints/{ID}.latents/000000010-00000.pt"])


def steps_there(store: LocalStore) -> set[str]:
    return {key.rpartition("/")[2].partition("-")[0] for key in store.keys("checkpoints") if ".latents" in key}


@pytest.mark.usefixtures("five_rows")
def test_a_trial_that_died_between_its_shards_and_its_checkpoint_goes_on_from_the_older_step(
    images: Tensor, tmp_path: Path, differences: Any
) -> None:
    settings = trial("glo", epochs=2, model=STEEP)
    whole, died = LocalStore(tmp_path / "whole"), LocalStore(tmp_path / "died")
    finish(Session(ID, settings, images, whole))
    with pytest.raises(Crash):
        finish(Session(ID, settings, images, NoSecondCheckpoint(tmp_path / "died")))
    assert steps_there(died) == {"000000005", "000000010"}
    resumed = Session(ID, settings, images, died)
    assert resumed.progress.step == 5
    assert torch.equal(resumed.learner.table, load_latents(died, ID, 5, len(images), LATENTS))
    finish(resumed)
    assert steps_there(died) == steps_there(whole) == {"000000010"}
    tables = [load_latents(store, ID, 10, len(images), LATENTS) for store in (whole, died)]
    assert torch.equal(*tables)
    learners = [(load_checkpoint(store, ID) or {})["learner"] for store in (whole, died)]
    assert differences(*learners) == []


@pytest.mark.usefixtures("five_rows")
@pytest.mark.parametrize("training", [{}, {"g_ema": 0.5, "schedule": {"kind": "cosine"}, "accumulate": 2}])
def test_a_resumed_trial_is_bitwise_the_one_that_was_never_interrupted(
    images: Tensor, tmp_path: Path, differences: Any, training: dict[str, Any]
) -> None:
    assert_resumes_bitwise(trial("glo", epochs=2, **training), images, tmp_path, differences)
