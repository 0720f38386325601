"""The networks of a trial that is named by the beginning of its id."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
import torch

from orchestrator.errors import CheckpointError, NotFoundError, OrchError, SettingsError
from orchestrator.store.local import LocalStore
from orchestrator.study.trained import device_of, find_trial, load_trained, one_of
from orchestrator.training.checkpoint import load_checkpoint
from orchestrator.training.networks import build
from tests.trained import small_job, train

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """Two trials, one with averaged weights."""
    return train(tmp_path_factory.mktemp("trained"), small_job(grid={"training.g_ema": [0.0, 0.5]}))


@pytest.fixture
def store(trained: LocalStore, tmp_path: Path) -> LocalStore:
    shutil.copytree(trained.uri, tmp_path / "study")
    return LocalStore(tmp_path / "study")


def ids(store: LocalStore) -> list[str]:
    return [key.removeprefix("trials/").removesuffix(".parquet") for key in store.keys("trials")]


def test_the_generator_is_that_of_the_checkpoint_and_frozen(trained: LocalStore) -> None:
    latents = torch.randn(5, 4)
    for trial_id in ids(trained):
        found = load_trained(trained, trial_id[:6])
        assert (found.trial_id, found.device, found.encoder) == (trial_id, torch.device("cpu"), None)
        state = load_checkpoint(trained, trial_id)
        assert state is not None
        learner, averaged = state["learner"], found.settings.training.g_ema > 0
        networks = build(found.settings.model, found.settings.objective, found.settings.data.shape).eval()
        networks.load_state_dict(learner["averaged"]["module"] if averaged else learner["networks"])
        images = found.generator(latents)
        assert images.shape == (5, 1, 28, 28)
        assert torch.equal(images, networks["generator"](latents))
        assert not found.generator.training
        assert not any(one.requires_grad for one in found.networks.parameters())


@pytest.mark.parametrize("lost", ["job.yaml", "trials"])
def test_settings_are_those_of_the_job_or_of_the_row(store: LocalStore, lost: str) -> None:
    """A trial that is still training has no row; one of an earlier submission is not in the job."""
    (trial_id, *_) = ids(store)
    before = find_trial(store, trial_id)
    for key in [lost] if lost == "job.yaml" else store.keys(lost):
        store.delete(key)
    assert find_trial(store, trial_id) == before
    assert load_trained(store, trial_id).settings == before[1]


def test_a_trial_is_named_by_the_beginning_of_its_id(trained: LocalStore) -> None:
    assert one_of(["ab12", "ab34"], "ab3", trained) == "ab34"
    assert one_of(["ab", "ab34"], "ab", trained) == "ab"
    assert one_of(["ab12"], "", trained) == "ab12"
    with pytest.raises(SettingsError, match=r"TRIAL: got 'ab', with which 2 ids begin \(ab12, ab34\), expected more"):
        one_of(["ab34", "ab12"], "ab", trained)
    with pytest.raises(
        NotFoundError, match=r"got 'c', with which no trial's id begins; trials there: a0, .* and 3 more"
    ):
        one_of([f"a{number}" for number in range(8)], "c", trained)
    with pytest.raises(NotFoundError, match="there are no trials yet"):
        one_of([], "", trained)


@pytest.mark.parametrize("named", ["zz", "..", "a/b", "[red]", "\x1b[2J", "a\nb", "0" * 5000, "%s"])
def test_what_is_no_beginning_of_an_id_is_one_line(trained: LocalStore, named: str) -> None:
    with pytest.raises(OrchError) as error:
        load_trained(trained, named)
    line = str(error.value)
    assert line.isprintable()
    assert len(line) < 1000


def test_checkpoints_that_cannot_be_used(store: LocalStore) -> None:
    first, second = ids(store)
    with pytest.raises(CheckpointError, match=r"\.best\.pt: no such checkpoint.*measure_every"):
        load_trained(store, first, which="best")
    store.write(f"checkpoints/{first}.pt", b"no checkpoint")
    with pytest.raises(CheckpointError, match=re.escape(f"{first}.pt: ")):
        load_trained(store, first)
    store.delete(f"checkpoints/{second}.pt")
    with pytest.raises(CheckpointError, match=r"no such checkpoint.*was it deleted"):
        load_trained(store, second)
    store.write("checkpoints/0123456789abcdef.pt", b"of a trial that nothing is known of")
    with pytest.raises(CheckpointError, match="settings of trial 0123456789abcdef are not known"):
        load_trained(store, "0123456789ab")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "mps", "cuda:99", "meta", "cpu\n"])
def test_devices_that_are_not_here(name: str) -> None:
    with pytest.raises(SettingsError, match=r"device: got .*, expected cpu"):
        device_of(name)
