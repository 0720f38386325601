"""A worker's process: how it is set up, and what it gives back of a trial that it leaves."""

from __future__ import annotations

import gc
import weakref
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest
import torch

from orchestrator.data import ImageSet
from orchestrator.distributed.group import ALONE
from orchestrator.errors import NonFiniteLossError
from orchestrator.plan.placement import Placement
from orchestrator.runtime import classifiers
from orchestrator.runtime import trainer as trainer_module
from orchestrator.runtime.device import give_back_memory, set_up
from orchestrator.runtime.trainer import SweepContext, Trainer
from orchestrator.spec.job import Trial
from orchestrator.state.ledger import FailureKind, Status, provenance, read_ledger
from orchestrator.store.local import LocalStore
from orchestrator.training.gan import Gan
from tests.jobs import trial_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from orchestrator.training.learner import Learner

FIRST, SECOND = "0" * 16, "1" * 16
CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")
FAMILIES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "gan": {},
        "average": {"training": {"g_ema": 0.9}},
        "spectral norm": {"model": {"kind": "residual", "width": 2, "latent_dim": 4, "spectral_norm": "both"}},
        "wae": {"model": {"kind": "encoder_decoder", "latent_dim": 3, "width": 2}, "objective": {"kind": "wae_mmd"}},
        "glo": {"objective": {"kind": "glo"}},
        "flow": {
            "model": {"kind": "glow", "levels": 2, "steps": 1, "width": 2},
            "objective": {"kind": "likelihood"},
        },
    }
)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """What is set for a whole process."""
    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    yield
    cudnn.benchmark, cudnn.deterministic = before
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Trainer]:
    """A worker alone with its trials; the images are noise."""

    def trainer(share: float = 0.0, sections: Mapping[str, Any] = FAMILIES["gan"]) -> Trainer:
        training = {"batch_size": 4, "epochs": 2, "log_every": 2, **sections.get("training", {})}
        settings = trial_settings(**{**sections, "training": training})
        made = {name: Trial(name, settings, {}) for name in (FIRST, SECOND)}
        pixels = np.random.default_rng(0).integers(0, 256, (12, 1, 28, 28), dtype=np.uint8)
        data = {trial.settings.data: ImageSet(pixels) for trial in made.values()}
        marks = dict.fromkeys(data, "0" * 16)
        context = SweepContext("study", made, data, {}, LocalStore(tmp_path), provenance(), marks)
        return Trainer(context, CPU, Placement("cpu", 1, 1, share, 1), ALONE)

    return trainer


@pytest.mark.parametrize(
    ("device", "share", "asked"),
    [(CPU, 0.0, []), (CUDA, 1.0, []), (CUDA, 0.5, [0.5]), (CUDA, 0.25, [0.25]), (CUDA, 0.01, [0.01])],
)
def test_a_process_may_take_its_share_of_a_gpus_memory(device: torch.device, share: float, asked: list[float]) -> None:
    with mock.patch("torch.cuda.set_per_process_memory_fraction") as limit:
        set_up(device, 3, share)
    assert limit.call_args_list == [mock.call(fraction, device) for fraction in asked]
    assert torch.get_num_threads() == 3


def train_a_classifier() -> None:
    """The classifier's training itself, where it begins, ends in an error: there are no images."""
    with mock.patch("orchestrator.runtime.classifiers.ray.get", side_effect=LookupError), pytest.raises(LookupError):
        classifiers._train([], "cpu", 1)


@pytest.mark.parametrize("begin", [partial(set_up, CPU, 1, 0.0), train_a_classifier], ids=["worker", "classifier"])
def test_cudnn_chooses_by_rule_among_what_comes_to_the_same_numbers(begin: Callable[[], None]) -> None:
    torch.backends.cudnn.benchmark = True
    begin()
    assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.deterministic


@pytest.mark.parametrize(("device", "calls"), [(CPU, 0), (CUDA, 1)], ids=str)
def test_memory_is_given_back_to_a_gpu(device: torch.device, calls: int) -> None:
    with mock.patch("torch.cuda.empty_cache") as empty:
        give_back_memory(device)
    assert empty.call_count == calls


class Watched:
    """In the place of ``give_back_memory``: whether anything is left of the networks of trials so far."""

    def __init__(self) -> None:
        self.networks: list[weakref.ref[Any]] = []
        self.left: list[int] = []

    def __call__(self, device: torch.device) -> None:
        gc.collect()
        self.left.append(sum(reference() is not None for reference in self.networks))

    def watch(self, learner: Learner) -> None:
        networks = [*learner.networks.modules(), *learner.networks.parameters(), *learner.d_parameters]
        self.networks += [weakref.ref(thing) for thing in networks]


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_is_left_of_a_trial_when_its_memory_is_given_back(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """After its end, and where another is to be trained before its end."""
    watched = Watched()
    monkeypatch.setattr(trainer_module, "give_back_memory", watched)
    monkeypatch.setattr(trainer_module, "_SLICE_S", 0.0)
    trainer = make(sections=FAMILIES[name])
    trainer.take(trainer.context.trials[FIRST])
    trainer.advance()
    watched.watch(trainer.session.learner)  # type: ignore[union-attr]
    trainer.take(trainer.context.trials[SECOND])
    assert trainer.session is None
    while not trainer.advance()["done"]:
        watched.watch(trainer.session.learner)  # type: ignore[union-attr]
    assert watched.left == [0, 0, 0]
    assert len(watched.networks) > 10


def test_nothing_is_left_of_a_trial_that_failed(make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback of its error holds all that it was computing on, until the error is dealt with."""
    watched = Watched()

    def fail(learner: Learner) -> None:
        watched.watch(learner)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer_module, "give_back_memory", watched)
    monkeypatch.setattr(Gan, "_update", fail)
    trainer = make(1.0)
    trainer.take(trainer.context.trials[FIRST])
    assert trainer.advance()["ended"] == Status.FAILED
    assert watched.left == [0, 0]
    assert len(watched.networks) > 10


ERRORS: list[tuple[Exception, float, FailureKind | None]] = [
    (torch.OutOfMemoryError("CUDA out of memory"), 1.0, FailureKind.OUT_OF_MEMORY),
    (torch.OutOfMemoryError("CUDA out of memory"), 0.5, None),
    (MemoryError("no memory"), 0.5, FailureKind.OUT_OF_MEMORY),
    (NonFiniteLossError(3), 0.5, FailureKind.NON_FINITE),
    (ValueError("a mistake"), 0.5, FailureKind.PROGRAM),
    (ConnectionError("gone"), 1.0, None),
]
"""What training raises, the trial's share of a GPU, and how it ends; None where it is to be tried again."""


@pytest.mark.parametrize(("error", "share", "kind"), ERRORS, ids=lambda value: str(value)[:20])
def test_what_ends_a_trial_and_what_is_tried_again(
    make: Callable[..., Trainer],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    share: float,
    kind: FailureKind | None,
) -> None:
    trainer = make(share)
    trainer.take(trainer.context.trials[FIRST])
    monkeypatch.setattr(trainer, "_advance", mock.Mock(side_effect=error))
    if kind is None:
        with pytest.raises(type(error)) as caught:
            trainer.advance()
        assert caught.value is error
        assert read_ledger(trainer.context.store) == {}
    else:
        assert trainer.advance()["ended"] == Status.FAILED
        assert read_ledger(trainer.context.store)[FIRST].error_kind is kind
