"""Trials of every family with checkpoints, resumed, and the classifier of their images."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
import torch

from orchestrator.data.batches import to_device
from orchestrator.metrics import classifier as classifiers
from orchestrator.metrics.sample_metrics import SampleMetrics
from orchestrator.store.local import LocalStore
from orchestrator.training.checkpoint import load_checkpoint
from orchestrator.training.session import Session
from tests.device.pretend import needs_pretended
from tests.device.test_steps import tensors_of
from tests.device.trained import HELD_OUT, TRAINED, classifier, labelled, of_each_family, waits_of_steps
from tests.training.families import ID, finish

if TYPE_CHECKING:
    from pathlib import Path

    from tests.device.cases import Case
    from tests.device.pretend import Pretended

pytestmark = needs_pretended


@pytest.mark.parametrize("case", of_each_family(), ids=lambda case: case.name)
def test_a_trial_is_measured_stored_and_resumed(device: Pretended, tmp_path: Path, case: Case) -> None:
    """The resumed one bitwise: the device computes as the CPU does."""
    settings = case.with_training(measure_every=1, measure_samples=200).settings
    data, metrics = to_device(labelled(TRAINED), "cuda"), SampleMetrics(labelled(TRAINED), classifier(), "cuda")

    def session(folder: str) -> Session:
        return Session(ID, settings, data, LocalStore(tmp_path / folder), sample_metrics=metrics)

    whole, interrupted = session("whole"), session("resumed")
    waits = waits_of_steps(device, whole.learner)
    finish(whole)
    resumed = finish(interrupted, (1, 3), lambda: session("resumed"))
    assert not waits
    assert resumed.resumes == 2
    summary = resumed.summary()
    assert summary["device"] == "cuda"
    assert summary["fid"] is not None
    ours, theirs = tensors_of(resumed.learner), tensors_of(whole.learner)
    assert {name for name, value in ours.items() if value.device.type != "cuda"} == set()
    assert {name for name, value in ours.items() if not torch.equal(value, theirs[name])} == set()
    state = load_checkpoint(resumed.store, ID)
    assert state is not None
    assert state["device"] == "cuda"
    assert {value.device.type for value in state["learner"]["networks"].values()} == {"cpu"}


def test_training_a_classifier_waits_for_no_step(device: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    for epochs in (3, 6):
        monkeypatch.setattr(classifiers, "_EPOCHS", epochs)
        device.forget()
        classifiers.train_classifier(labelled(TRAINED), labelled(HELD_OUT), "cuda")
        waits.append(Counter(device.waits))
    assert waits[0] == waits[1]
