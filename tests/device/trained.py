"""Trials of every family, the classifier of their images, and what their evaluations get, on the pretended device."""

from __future__ import annotations

import copy
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from orchestrator.data import ImageSet
from orchestrator.data.batches import to_device
from orchestrator.evaluations.evaluation import TrainedModel
from orchestrator.metrics.classifier import dump, load, train_classifier
from orchestrator.metrics.sample_quality import SampleQuality
from orchestrator.store.local import LocalStore
from orchestrator.training.checkpoint import load_networks
from orchestrator.training.networks import encoder_of
from orchestrator.training.session import Session
from tests.device.cases import cases
from tests.training.families import ID, finish

if TYPE_CHECKING:
    from orchestrator.metrics.classifier import Classifier
    from orchestrator.training.learner import Learner
    from tests.device.cases import Case
    from tests.device.pretend import Pretended, Wait

TRAINED, HELD_OUT, CLASSES = 150, 40, 3


@cache
def labelled(count: int) -> ImageSet:
    """Images of three classes, which differ in how bright they are; FID needs more than a classifier has features."""
    labels = np.arange(count) % CLASSES
    dark = np.random.default_rng(count).integers(0, 120, (count, 1, 28, 28))
    return ImageSet((dark + 60 * labels[:, None, None, None]).astype(np.uint8), labels)


@cache
def of_each_family() -> tuple[Case, ...]:
    """The first plain case of each way of training, two steps an epoch and two epochs.

    Ways differ in the family, in the networks and settings that it has a use for, in what a discriminator judges, and
    in whether the objective has a state.
    """
    found: dict[Any, Case] = {}
    for case in cases():
        model, objective = case.settings.model, case.settings.objective
        judged = getattr(model, "judges", None) if "discriminator" in objective.trains else None
        way = objective.family, objective.trains, objective.ignores, judged, bool(objective.initial_state())
        found.setdefault(way, case)
    training = {"batch_size": TRAINED // 2, "epochs": 2, "g_ema": 0.5, "log_every": 1}
    return tuple(case.with_training(**training) for case in found.values())


@cache
def _classifier() -> bytes:
    return dump(train_classifier(labelled(TRAINED), labelled(HELD_OUT), "cuda"))


def classifier() -> Classifier:
    """One that was trained on a device, on the one that there is now."""
    return load(_classifier()).to("cuda")


@cache
def _networks(case: Case) -> torch.nn.ModuleDict:
    with TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        finish(Session(ID, case.settings, to_device(labelled(TRAINED), "cuda"), store))
        return load_networks(store, ID, case.settings)


def trained_model(case: Case) -> TrainedModel:
    """What an evaluation gets of a trial that was trained on a device and stored."""
    networks, device = copy.deepcopy(_networks(case)).to("cuda"), torch.device("cuda")
    splits: Any = {"train": labelled(TRAINED), "test": labelled(HELD_OUT)}
    judge = classifier()
    return TrainedModel(
        ID,
        case.settings,
        networks["generator"],  # type: ignore[arg-type]
        device,
        splits,
        judge,
        lambda: SampleQuality(splits["train"], splits["test"], judge, device),
        encoder=encoder_of(networks),  # type: ignore[arg-type]
    )


def waits_of_steps(device: Pretended, learner: Learner) -> Counter[Wait]:
    """What the learner's steps will have waited for, without what is logged, measured and stored between them."""
    seen: Counter[Wait] = Counter()
    step = learner.step

    def counted() -> torch.Tensor:
        before = device.waits.copy()
        metrics = step()
        seen.update(device.waits - before)
        return metrics

    learner.step = counted  # type: ignore[method-assign]
    return seen
